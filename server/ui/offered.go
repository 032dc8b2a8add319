package ui

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// Nobody types an id that a job has listed: a field says in whose rows its values are found,
// and the page of such a job leads to the form, filled in.

// use is a field that takes what a column of a result lists.
type use struct {
	Operation api.Operation
	Field     api.OperationField
	From      api.FieldSource
	Form      string // where it is

	pattern *regexp.Regexp // of a value
}

func useOf(field api.OperationField, from api.FieldSource) (use, error) {
	pattern, err := regexp.Compile("^(?:" + field.Pattern + ")$")
	return use{Field: field, From: from, pattern: pattern}, err
}

// value is what a row hands to the field; "" for a row that is about something else.
func (u use) value(members map[string]json.RawMessage) string {
	value, ok := strings.CutPrefix(text(members, u.From.Column), u.From.Prefix)
	if !ok || !u.pattern.MatchString(value) {
		return ""
	}
	return value
}

func (u use) many() bool { return strings.HasSuffix(u.Field.Type, "_list") }

// usesOf finds the fields, of any operation, that take what an operation's rows list.
func usesOf(all []api.Operation, operation, repository string) (list []use, err error) {
	for _, o := range all {
		for _, field := range o.Fields {
			for _, from := range field.From {
				if from.Operation != operation {
					continue
				}
				u, err := useOf(field, from)
				if err != nil {
					return nil, err
				}
				u.Operation, u.Form = o, "/repositories/"+repository+"/run/"+url.PathEscape(o.Name)
				list = append(list, u)
			}
		}
	}
	return list, nil
}

// uses says what a job's rows can be handed to, and makes a link of what takes all of them.
func (v *visit) uses(r *jobResult, j api.Job) error {
	if j.RepositoryId == "" || j.State != api.JobStateFinished {
		return nil
	}
	list, ok, err := part[api.OperationList](v, "/api/v1/operations", nil)
	if err != nil || !ok {
		return err
	}
	if r.Uses, err = usesOf(list.Operations, j.Operation, string(j.RepositoryId)); err != nil {
		return err
	}
	for _, u := range r.Uses {
		if !u.many() {
			continue
		}
		offered, err := v.listedIn(j, u)
		if err != nil {
			return err
		}
		if n := len(offered); n > 0 {
			r.Do = append(r.Do, web.Link{Label: u.Operation.Title + ": " + strconv.Itoa(n) + " listed here…", Href: u.Form + "?listed=" + string(j.Id)})
		}
	}
	return nil
}

// handTo adds links to the forms that take one value, with the row's.
func (row *resultRow) handTo(uses []use, members map[string]json.RawMessage) {
	for _, u := range uses {
		if value := u.value(members); value != "" && !u.many() {
			row.Do = append(row.Do, web.Link{Label: u.Operation.Title + "…", Href: u.Form + "?" + url.Values{u.Field.Name: {value}}.Encode()})
		}
	}
}

// offer is a value that was listed, with what was said of it.
type offer struct{ Value, Label string }

// mostOffered is how many values a form takes from a list: more take no field.
const mostOffered = 1000

// listedIn reads what a job's rows list for a field, each value once.
func (v *visit) listedIn(j api.Job, u use) (list []offer, err error) {
	source, err := v.operation(j.Operation)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	q := url.Values{"page_size": {"200"}}
	for range 2 * mostOffered / 200 {
		page, ok, err := part[api.RowPage](v, "/api/v1/jobs/"+string(j.Id)+"/rows", q)
		if err != nil || !ok {
			return list, err
		}
		for _, raw := range page.Rows {
			var members map[string]json.RawMessage
			if json.Unmarshal(raw, &members) != nil {
				continue
			}
			value := u.value(members)
			if value == "" || seen[value] || len(list) == mostOffered {
				continue
			}
			seen[value] = true
			list = append(list, offer{value, captioned(short(value), source.Rows, members)})
		}
		if page.NextPageToken == "" {
			break
		}
		q.Set("page_token", page.NextPageToken)
	}
	return list, nil
}

// captioned is a value with the last text of its row, which says what is wrong with it.
func captioned(value string, columns []api.OperationColumn, members map[string]json.RawMessage) string {
	for _, c := range slices.Backward(columns) {
		if words := text(members, c.Name); c.Type == "text" && words != "" {
			return value + " · " + visible(words)
		}
	}
	return value
}

// offers finds what was listed for a field at a repository: by the job that the address
// names, else by one whose finding still stands there, else by the newest that ended.
func (v *visit) offers(o api.OperationField, r api.Repository, named string) (j *api.Job, list []offer, err error) {
	candidates := []string{named}
	for _, c := range r.Conditions {
		candidates = append(candidates, string(c.JobId))
	}
	for _, id := range candidates {
		if id == "" {
			continue
		}
		found, ok, err := part[api.Job](v, "/api/v1/jobs/"+url.PathEscape(id), nil)
		if err != nil {
			return nil, nil, err
		}
		if ok && found.RepositoryId == r.Id {
			if list, err = v.offeredBy(o, found); err != nil || len(list) > 0 {
				return &found, list, err
			}
		}
	}
	for _, from := range o.From {
		page, ok, err := part[api.JobPage](v, "/api/v1/jobs", url.Values{"repository_id": {string(r.Id)}, "operation": {from.Operation}, "state": {"finished"}, "page_size": {"1"}})
		if err != nil {
			return nil, nil, err
		}
		if !ok || len(page.Jobs) == 0 {
			continue
		}
		if list, err = v.offeredBy(o, page.Jobs[0]); err != nil || len(list) > 0 {
			return &page.Jobs[0], list, err
		}
	}
	return nil, nil, nil
}

func (v *visit) offeredBy(o api.OperationField, j api.Job) ([]offer, error) {
	i := slices.IndexFunc(o.From, func(s api.FieldSource) bool { return s.Operation == j.Operation })
	if i < 0 {
		return nil, nil
	}
	u, err := useOf(o, o.From[i])
	if err != nil {
		return nil, err
	}
	return v.listedIn(j, u)
}

// offered makes the control of a field whose values a job has listed; ok is false where none
// has. All that the address's job lists is chosen, and what it does not list can be typed.
func (v *visit) offered(o api.OperationField, field web.Field, p place, f *form) (in input, ok bool, err error) {
	if len(o.From) == 0 || p.Source == nil {
		return in, false, nil
	}
	named := f.get("listed")
	j, list, err := v.offers(o, *p.Source, named)
	if err != nil || len(list) == 0 {
		return in, false, err
	}
	field.Hint = "Listed by “" + visible(api.OperationTitle(j.Operation)) + "” " + web.Relative(j.FinishedAt, v.u.now()) + "."
	if !strings.HasSuffix(o.Type, "_list") {
		field.Options = []web.Option{{Label: "choose…"}}
		for _, l := range list {
			field.Options = append(field.Options, web.Option{Value: l.Value, Label: l.Label})
		}
		if typed := f.raw(o.Name); typed != "" && !slices.ContainsFunc(list, func(l offer) bool { return l.Value == typed }) {
			field.Options = append(field.Options, web.Option{Value: typed, Label: visible(typed)})
		}
		return input{Kind: "choose", Field: f.with(field)}, true, nil
	}
	chosen := f.lines(o.Name)
	in = input{Kind: "offers"}
	for _, l := range list {
		all := string(j.Id) == named && !f.has(o.Name)
		in.Picks = append(in.Picks, snapshotPick{Value: l.Value, Label: l.Label, Checked: all || slices.Contains(chosen, l.Value)})
		chosen = slices.DeleteFunc(chosen, func(s string) bool { return s == l.Value })
	}
	f.values[o.Name] = []string{strings.Join(chosen, "\n")}
	in.Field = field
	in.Other = f.with(web.Field{Name: o.Name, Label: "Others", Hint: "One a line.", Mono: true, Rows: 2, Autocomplete: "off"})
	return in, true, nil
}
