package ui

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// The rows of a job's result: a page of them, the filter, and what can be done with each.

const (
	rowsShown  = 50
	rowsAsked  = 200 // at a time, the most that the contract gives
	pagesAsked = 50  // before the page says how far it looked
)

// rows reads a page of rows. With a filter it reads on until it found a page full, or has
// looked at so many that a person should say whether to go on.
func (v *visit) rows(r *jobResult, j api.Job, o api.Operation) error {
	path := "/api/v1/jobs/" + string(j.Id) + "/rows"
	words, only := v.query("q"), v.query("only")
	size := rowsShown
	if words != "" || only != "" {
		size = rowsAsked
	}
	q := url.Values{"page_size": {fmt.Sprint(size)}}
	if t := v.query("page_token"); t != "" {
		q.Set("page_token", t)
	}
	facet, kinds, err := v.facet(path, r.Columns)
	if err != nil {
		return err
	}
	looked, next := 0, ""
	for range pagesAsked {
		page, ok, err := part[api.RowPage](v, path, q)
		if err != nil {
			return err
		}
		if !ok {
			r.Empty = "The rows are not known now."
			return nil
		}
		r.Total, next = max(page.Total, r.Total), page.NextPageToken
		looked += len(page.Rows)
		for _, raw := range page.Rows {
			if row, members := rowOf(o, raw, j); matching(row, members, words, facet, only) {
				row.handTo(r.Uses, members)
				r.Rows = append(r.Rows, row)
			}
		}
		if next == "" || size == rowsShown || len(r.Rows) >= rowsShown {
			break
		}
		q.Set("page_token", next)
	}
	r.Pager = v.pager(next)
	if words != "" || only != "" {
		r.Pager.Note = plural(len(r.Rows), "row is", "rows are") + " like that among the " + web.Count(int64(looked)) + " looked at"
	}
	r.Filter = rowFilter(words, only, facet, kinds)
	r.sayEmpty(j, words+only != "")
	return nil
}

func (r *jobResult) sayEmpty(j api.Job, filtered bool) {
	switch {
	case len(r.Rows) > 0:
	case filtered && r.Pager.Next != "":
		r.Empty = "None is like that so far. Look further, or change the filter."
	case filtered:
		r.Empty = "None is like that. Change or clear the filter."
	case j.State != api.JobStateFinished:
		r.Empty = "Nothing has come yet."
	default:
		r.Empty = "Nothing was found."
	}
	if len(r.Rows) == 0 && !filtered {
		r.Filter = nil
	}
}

func rowOf(o api.Operation, raw json.RawMessage, j api.Job) (resultRow, map[string]json.RawMessage) {
	members := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &members) != nil {
		members = map[string]json.RawMessage{}
	}
	row := resultRow{Cells: make([]valueCell, len(o.Rows))}
	snapshot := snapshotOf(j, o, members)
	for i, column := range o.Rows {
		row.Cells[i], _ = memberOf(column, members)
		c := &row.Cells[i]
		if c.Kind == "path" && snapshot != "" && strings.HasPrefix(c.Text, "/") && j.RepositoryId != "" && j.Operation != "restore" {
			c.Href = snapshotHref(string(j.RepositoryId), snapshot) + "?" + url.Values{"path": {folderOf(c.Text)}}.Encode()
			if j.Operation == "diff" && text(members, "change") == "added" {
				continue // the older snapshot does not have it
			}
			row.Do = []web.Link{{Label: "Restore…", Href: "/restore?" + url.Values{"repository": {string(j.RepositoryId)}, "snapshot": {snapshot}, "path": {"/" + strings.Trim(c.Text, "/")}}.Encode()}}
		}
	}
	return row, members
}

// snapshotOf is the snapshot that a row is about: its own, else the first that the job was
// asked for, which of two is the older.
func snapshotOf(j api.Job, o api.Operation, members map[string]json.RawMessage) string {
	if id := text(members, "snapshot_id"); id != "" {
		return id
	}
	if names := fieldsOf(o, "snapshot_id"); len(names) > 0 {
		return snapshotAsked(j, names[0])
	}
	return ""
}

// snapshotAsked is the snapshot that a member of a job's params names.
func snapshotAsked(j api.Job, member string) string {
	var params map[string]json.RawMessage
	if json.Unmarshal(j.Params, &params) != nil {
		return ""
	}
	return text(params, member)
}

func text(members map[string]json.RawMessage, name string) (s string) {
	if json.Unmarshal(members[name], &s) != nil {
		return ""
	}
	return s
}

// facet finds the column of words (not of signs) by which rows can be told apart, and those words, by
// a look at the first rows.
func (v *visit) facet(path string, columns []api.OperationColumn) (*api.OperationColumn, []string, error) {
	page, ok, err := part[api.RowPage](v, path, url.Values{"page_size": {fmt.Sprint(rowsAsked)}})
	if err != nil || !ok {
		return nil, nil, err
	}
	for i, column := range columns {
		if column.Type != "text" {
			continue
		}
		var words []string
		for _, raw := range page.Rows {
			var members map[string]json.RawMessage
			if json.Unmarshal(raw, &members) != nil {
				continue
			}
			if s := text(members, column.Name); len(s) > 1 && !slices.Contains(words, s) {
				words = append(words, s)
			}
		}
		if len(words) > 0 && len(words) <= 8 {
			slices.Sort(words)
			return &columns[i], words, nil
		}
	}
	return nil, nil, nil
}

func rowFilter(words, only string, facet *api.OperationColumn, kinds []string) []web.Field {
	fields := []web.Field{{Name: "q", Label: "Holds the words", Value: words, Type: "search"}}
	if facet == nil {
		return fields
	}
	if only != "" && !slices.Contains(kinds, only) {
		kinds = append(kinds, only)
	}
	if len(kinds) > 1 || only != "" {
		fields = append(fields, choice("only", facet.Label, only, kinds...))
	}
	return fields
}

func matching(row resultRow, members map[string]json.RawMessage, words string, facet *api.OperationColumn, only string) bool {
	if only != "" && (facet == nil || text(members, facet.Name) != only) {
		return false
	}
	if words == "" {
		return true
	}
	words = strings.ToLower(words)
	return slices.ContainsFunc(row.Cells, func(c valueCell) bool {
		return strings.Contains(strings.ToLower(c.Text), words) || slices.ContainsFunc(c.List, func(s string) bool { return strings.Contains(strings.ToLower(s), words) })
	})
}
