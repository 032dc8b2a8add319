package ui

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// What came out of a job, shown by the columns that its operation says it has.

// valueCell is a value of a result as its column's type says it is shown.
type valueCell struct {
	Kind string // a column's type
	Text string
	N    int64
	At   time.Time
	List []string
	Href string // of a path: where it can be looked at
}

// found is a fact with its name.
type found struct {
	name  string
	Label string
	Value valueCell
}

// result is what a job's page shows of its facts and rows.
type jobResult struct {
	Asked   []found
	Facts   []found
	Verdict *verdict // of a restore
	Columns []api.OperationColumn
	Rows    []resultRow
	Total   int64
	Filter  []web.Field
	Empty   string // why there are no rows to see
	Pager   web.Pager

	Unlisted []web.Link // snapshots whose files must be listed before rows can have sizes
}

type resultRow struct {
	Cells   []valueCell
	Restore string // where what the row names can be restored
}

// memberOf reads a member; ok is false where the agent did not tell it.
func memberOf(column api.OperationColumn, members map[string]json.RawMessage) (c valueCell, ok bool) {
	raw, ok := members[column.Name]
	if !ok || string(raw) == "null" {
		return valueCell{Kind: column.Type}, false
	}
	c.Kind = column.Type
	switch column.Type {
	case "int", "bytes", "duration_ms":
		ok = json.Unmarshal(raw, &c.N) == nil
	case "bool":
		var yes bool
		ok = json.Unmarshal(raw, &yes) == nil
		c.Text = map[bool]string{true: "yes", false: "no"}[yes]
	case "time":
		ok = json.Unmarshal(raw, &c.At) == nil
	case "share":
		var share float64
		ok = json.Unmarshal(raw, &share) == nil
		c.Text = web.Percent(share)
	case "list":
		ok = json.Unmarshal(raw, &c.List) == nil
	default:
		ok = json.Unmarshal(raw, &c.Text) == nil
	}
	if !ok { // an agent of another version: what it wrote is better than nothing
		c = valueCell{Kind: "text", Text: string(raw)}
	}
	return c, true
}

func factsOf(columns []api.OperationColumn, raw json.RawMessage) (list []found) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	for _, column := range columns {
		if c, ok := memberOf(column, members); ok {
			list = append(list, found{name: column.Name, Label: column.Label, Value: c})
		}
	}
	return list
}

// asked is what a job was asked for, by the fields of its operation.
func asked(j api.Job, o api.Operation) (list []found) {
	var members map[string]json.RawMessage
	if json.Unmarshal(j.Params, &members) != nil {
		return nil
	}
	kinds := map[string]string{"int": "int", "bool": "bool", "uuid": "id", "snapshot_id": "id", "path": "path"}
	for _, f := range o.Fields {
		if f.Name == "repository_id" || strings.HasPrefix(f.Name, "schedule_") {
			continue // said above
		}
		kind := kinds[f.Type]
		if strings.HasSuffix(f.Type, "_list") {
			kind = "list"
		}
		c, ok := memberOf(api.OperationColumn{Name: f.Name, Type: kind}, members)
		if f.Type == "snapshot_id" && c.Text != "" && j.RepositoryId != "" {
			c.Href = snapshotHref(string(j.RepositoryId), c.Text)
		}
		if ok && f.Type == "path_list" {
			c.Kind = f.Type
		}
		if ok {
			list = append(list, found{name: f.Name, Label: f.Label, Value: c})
		}
	}
	return list
}

// operation finds the operation of a job; a job of a version that is gone has none.
func (v *visit) operation(name string) (api.Operation, error) {
	list, ok, err := part[api.OperationList](v, "/api/v1/operations", nil)
	if err != nil || !ok {
		return api.Operation{}, err
	}
	for _, o := range list.Operations {
		if o.Name == name {
			return o, nil
		}
	}
	return api.Operation{Name: name, Title: name}, nil
}

func (v *visit) jobResult(j api.Job, o api.Operation) (jobResult, error) {
	r := jobResult{Columns: o.Rows, Asked: asked(j, o)}
	if j.Outcome != nil {
		r.Facts = factsOf(o.Facts, j.Outcome.Facts)
		if r.Verdict = verdictOf(j); r.Verdict != nil {
			r.Facts = slices.DeleteFunc(r.Facts, func(f found) bool { return slices.Contains(judged, f.name) })
		}
	}
	if len(o.Rows) == 0 {
		return r, nil
	}
	if err := v.rows(&r, j, o); err != nil {
		return r, err
	}
	return r, r.compare(v, j, o)
}

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
			row.Restore = "/restore?" + url.Values{"repository": {string(j.RepositoryId)}, "snapshot": {snapshot}, "path": {"/" + strings.Trim(c.Text, "/")}}.Encode()
		}
	}
	if j.Operation == "diff" && text(members, "change") == "added" {
		row.Restore = "" // the older snapshot does not have it
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

// verdict compares what a restore planned with what it did.
type verdict struct {
	State    web.State
	Text     string
	Planned  amountOf
	Restored amountOf
	Skipped  int64
	DryRun   bool
	Target   string
	Again    string // the same for real
}

type amountOf struct{ Files, Bytes int64 }

// restoreFacts are the members that the pages for restores read.
type restoreFacts struct {
	TargetPath    string `json:"target_path"`
	PlannedFiles  *int64 `json:"planned_files"`
	PlannedBytes  int64  `json:"planned_bytes"`
	RestoredFiles *int64 `json:"restored_files"`
	RestoredBytes int64  `json:"restored_bytes"`
	SkippedFiles  int64  `json:"skipped_files"`
	Errors        *int64 `json:"errors"`
	Stripped      int64  `json:"stripped"`
	Verified      bool   `json:"verified"`
}

// judged are the facts that a verdict shows by itself.
var judged = []string{"target_path", "planned_files", "planned_bytes", "restored_files", "restored_bytes", "skipped_files"}

// verdictOf judges by the facts alone; nil where a job did not plan to restore anything.
func verdictOf(j api.Job) *verdict {
	var f restoreFacts
	if j.Outcome == nil || json.Unmarshal(j.Outcome.Facts, &f) != nil || f.PlannedFiles == nil {
		return nil
	}
	var p restoreParams
	_ = json.Unmarshal(j.Params, &p)
	v := &verdict{Planned: amountOf{*f.PlannedFiles, f.PlannedBytes}, Skipped: f.SkippedFiles, DryRun: p.DryRun, Target: f.TargetPath}
	if f.RestoredFiles != nil {
		v.Restored = amountOf{*f.RestoredFiles, f.RestoredBytes}
	}
	lost := v.Planned.Files - v.Restored.Files - v.Skipped
	if f.Errors != nil { // it has the missing ones, and not the device nodes that were taken away
		lost = *f.Errors
	}
	switch {
	case p.DryRun && j.Outcome.Result == api.JobResultSucceeded:
		v.State = web.State{Tone: web.OK, Glyph: "ok", Word: "Dry run agrees"}
		v.Text = "restic would restore " + entries(v.Planned.Files) + ", " + web.Bytes(v.Planned.Bytes) + ". Nothing was written."
		v.Again = "/hosts/" + string(j.HostId) + "/restore?dry=" + string(j.Id)
	case p.DryRun:
		v.State = web.State{Tone: web.Risk, Glyph: "risk", Word: "The dry run failed"}
		v.Text = "Nothing was written. " + because(j)
	case f.RestoredFiles == nil:
		v.State = web.State{Tone: web.Risk, Glyph: "risk", Word: "Not restored"}
		v.Text = entries(v.Planned.Files) + " were planned, and the restore ended before any was counted. " + because(j)
	case lost > 0:
		v.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Not everything is back"}
		v.Text = entries(lost) + " of " + web.Count(v.Planned.Files) + " could not be restored; they are listed below."
	case j.Outcome.Result != api.JobResultSucceeded:
		v.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Look at the result"}
		v.Text = "As much was restored as was planned, and still the job did not end well. " + because(j)
	default:
		v.State = web.State{Tone: web.OK, Glyph: "ok", Word: "Everything is back"}
		v.Text = "As much was restored as was planned."
		if v.Skipped > 0 {
			v.Text = "What was planned is there; " + entries(v.Skipped) + " were left as they were."
		}
		if f.Stripped > 0 {
			v.Text += " Privileges of " + entries(f.Stripped) + " were taken away, each listed below."
		}
		if f.Verified {
			v.Text += " It was read again and is the same as in the snapshot."
		}
	}
	return v
}

// because is what a job says of itself.
func because(j api.Job) string {
	text := capital(strings.TrimSuffix(j.Outcome.Message, "."))
	if text != "" {
		text += "."
	}
	return visible(strings.TrimSpace(text + " " + j.Outcome.NextStep))
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return web.Count(n) + " entries"
}
