package ui

import (
	"encoding/json"
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
	Uses     []use      // what the rows can be handed to
	Do       []web.Link // of those, what takes all of them together
}

type resultRow struct {
	Cells []valueCell
	Do    []web.Link // what can be done with what the row names
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

// factsOf are what an operation found out; one that has the name of a field has its words.
func factsOf(o api.Operation, raw json.RawMessage) (list []found) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	for _, column := range o.Facts {
		c, ok := memberOf(column, members)
		if !ok {
			continue
		}
		for _, f := range fieldsNamed(o, column.Name) {
			c.Text = inWords(f, c.Text)
		}
		list = append(list, found{name: column.Name, Label: column.Label, Value: c})
	}
	return list
}

// inWords is a value as the form of its field calls it.
func inWords(f api.OperationField, value string) string {
	for _, choice := range f.Choices {
		if choice.Value == value {
			return choice.Label
		}
	}
	return value
}

// asked is what a job was asked for, by the fields of its operation.
func (v *visit) asked(j api.Job, o api.Operation) (list []found, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(j.Params, &members) != nil {
		return nil, nil
	}
	for _, f := range o.Fields {
		if f.Name == "repository_id" || strings.HasPrefix(f.Name, "schedule_") || strings.HasPrefix(f.Name, "secret_") {
			continue // said above, or filled in by the server
		}
		c, ok := memberOf(api.OperationColumn{Name: f.Name, Type: kindOf(f)}, members)
		if !ok {
			continue
		}
		c.Text = inWords(f, c.Text)
		switch {
		case f.Type == "snapshot_id":
			if c.Text != "" && j.RepositoryId != "" {
				c.Href = snapshotHref(string(j.RepositoryId), c.Text)
			}
		case f.Type == "path_list":
			c.Kind = f.Type
		case strings.HasSuffix(f.Name, "_repository_id"):
			r, known, err := part[api.Repository](v, "/api/v1/repositories/"+url.PathEscape(c.Text), nil)
			if err != nil {
				return nil, err
			}
			if known {
				c.Kind, c.Text = "text", string(r.Name)
			}
		}
		list = append(list, found{name: f.Name, Label: f.Label, Value: c})
	}
	return list, nil
}

// kindOf is the type of a column that shows a field as it was given.
func kindOf(f api.OperationField) string {
	if strings.HasSuffix(f.Type, "_list") {
		return "list"
	}
	return map[string]string{"int": "int", "bool": "bool", "uuid": "id", "snapshot_id": "id", "path": "path"}[f.Type]
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

// jobResult reads what a job's page shows of its result; may tells whether who looks at it
// may start operations.
func (v *visit) jobResult(j api.Job, o api.Operation, may bool) (r jobResult, err error) {
	r.Columns = o.Rows
	if r.Asked, err = v.asked(j, o); err != nil {
		return r, err
	}
	if j.Outcome != nil {
		r.Facts = factsOf(o, j.Outcome.Facts)
		if r.Verdict = verdictOf(j); r.Verdict != nil {
			r.Facts = slices.DeleteFunc(r.Facts, func(f found) bool { return slices.Contains(judged, f.name) })
		}
	}
	if len(o.Rows) == 0 {
		return r, nil
	}
	if may {
		if err := v.uses(&r, j); err != nil {
			return r, err
		}
	}
	if err := v.rows(&r, j, o); err != nil {
		return r, err
	}
	return r, r.compare(v, j, o)
}
