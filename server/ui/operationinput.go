package ui

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// input is a field with the kind of control that it gets.
type input struct {
	Kind  string // field, area, choose, check, snapshots, offers
	Field web.Field
	Picks []snapshotPick // of "snapshots" and "offers"
	Other web.Field      // of "offers": what is not among them
	More  bool           // there are older ones than those
}

type snapshotPick struct {
	Value, Label string
	Checked      bool
}

// input makes the control of a field.
func (v *visit) input(o api.OperationField, p place, f *form) (input, error) {
	field := web.Field{Name: o.Name, Label: o.Label, Hint: asSentence(o.Help), Required: o.Required, Unit: o.Unit, Autocomplete: "off"}
	if in, ok, err := v.offered(o, field, p, f); ok || err != nil {
		return in, err
	}
	switch {
	case o.Type == "bool":
		field.Required = false
		return input{Kind: "check", Field: f.with(field)}, nil
	case len(o.Choices) > 0:
		return input{Kind: "choose", Field: f.chosen(o, field)}, nil
	case strings.HasSuffix(o.Name, "repository_id") && o.Type == "uuid":
		return v.repositoryInput(field, p, f)
	case strings.HasPrefix(o.Type, "snapshot_id"):
		return v.snapshotInput(o, field, p, f)
	case strings.HasSuffix(o.Type, "_list"):
		field.Mono, field.Required, field.Rows = o.Type == "path_list", false, 3
		field.Hint = strings.TrimSpace(field.Hint+" One a line.") + leftOut(o)
		field.Value = strings.Join(f.values[o.Name], "\n")
		f.values[o.Name] = []string{field.Value}
		return input{Kind: "area", Field: f.with(field)}, nil
	case o.Type == "int":
		field.Type = "text"
		if o.Min != 0 || o.Max != 0 {
			field.Hint = strings.TrimSpace(field.Hint + " From " + strconv.FormatInt(o.Min, 10) + " to " + strconv.FormatInt(o.Max, 10) + ".")
		}
	}
	field.Hint += leftOut(o)
	field.Mono = o.Type == "path" || o.Type == "uuid"
	return input{Kind: "field", Field: f.with(field)}, nil
}

// chosen offers the values of a field in words. What holds without it is chosen from the
// start, and then not sent.
func (f *form) chosen(o api.OperationField, field web.Field) web.Field {
	if !o.Required && o.Default == "" {
		field.Options = []web.Option{{Label: "not said"}}
	}
	for _, c := range o.Choices {
		option := web.Option{Value: c.Value, Label: c.Label}
		if c.Value == o.Default {
			option.Label += " (as usual)"
		}
		field.Options = append(field.Options, option)
	}
	field = f.with(field)
	if field.Value == "" {
		field.Value = o.Default
	}
	return field
}

// leftOut says what holds without a field.
func leftOut(o api.OperationField) string {
	if o.Default == "" {
		return ""
	}
	return " Left empty: " + o.Default + "."
}

// asSentence makes one of a short help.
func asSentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func (v *visit) repositoryInput(field web.Field, p place, f *form) (input, error) {
	page, ok, err := part[api.RepositoryPage](v, "/api/v1/repositories", url.Values{"page_size": {"200"}})
	if err != nil {
		return input{}, err
	}
	if !ok || len(page.Repositories) == 0 {
		return input{Kind: "field", Field: f.with(field)}, nil
	}
	if field.Name == "repository_id" {
		field.Hint = ""
	}
	for _, r := range page.Repositories {
		if p.Source != nil && r.Id == p.Source.Id { // it asks for another one
			continue
		}
		field.Options = append(field.Options, web.Option{Value: string(r.Id), Label: visible(string(r.Name))})
	}
	return input{Kind: "choose", Field: f.with(field)}, nil
}

// snapshotInput offers the newest snapshots of the place.
func (v *visit) snapshotInput(o api.OperationField, field web.Field, p place, f *form) (input, error) {
	q := url.Values{"page_size": {"100"}}
	switch {
	case p.Host != nil:
		q.Set("host_id", string(p.Host.Id))
	case f.has("from_repository_id"):
		q.Set("repository_id", f.get("from_repository_id"))
	case !p.Elsewhere:
		q.Set("repository_id", string(p.Source.Id))
	}
	page, ok, err := part[api.SnapshotPage](v, "/api/v1/snapshots", q)
	if err != nil {
		return input{}, err
	}
	chosen := f.values[o.Name]
	if strings.HasSuffix(o.Type, "_list") {
		in := input{Kind: "snapshots", More: page.NextPageToken != ""}
		field.Hint = strings.TrimSpace(leftOut(o))
		for _, s := range page.Snapshots {
			pick := snapshotPick{Value: s.Id, Label: v.snapshotLabel(s), Checked: slices.Contains(chosen, s.Id)}
			if p.Elsewhere {
				if s.RepositoryId == p.Source.Id {
					continue
				}
				pick.Label += " · in " + visible(string(s.RepositoryName))
			}
			in.Picks = append(in.Picks, pick)
		}
		for _, id := range chosen {
			if id != "" && !slices.ContainsFunc(in.Picks, func(s snapshotPick) bool { return s.Value == id }) {
				in.Picks = append(in.Picks, snapshotPick{Value: id, Label: id, Checked: true})
			}
		}
		in.Field = f.with(field)
		return in, nil
	}
	if !ok || len(page.Snapshots) == 0 {
		field.Mono = true
		return input{Kind: "field", Field: f.with(field)}, nil
	}
	field.Hint = ""
	if !o.Required {
		field.Options = []web.Option{{Label: capital(cmp.Or(o.Default, "none"))}}
	}
	listed := false
	for _, s := range page.Snapshots {
		listed = listed || s.Id == f.raw(o.Name)
		field.Options = append(field.Options, web.Option{Value: s.Id, Label: v.snapshotLabel(s)})
	}
	if id := f.raw(o.Name); id != "" && !listed {
		field.Options = append(field.Options, web.Option{Value: id, Label: id})
	}
	return input{Kind: "choose", Field: f.with(field)}, nil
}

// member makes the JSON of what was typed into a field; ok is false for nothing, which
// is left out. What is no number is marked.
func (f *form) member(field api.OperationField) (value any, ok bool) {
	switch {
	case field.Type == "bool":
		return true, f.checked(field.Name)
	case field.Type == "int":
		text := strings.ReplaceAll(f.get(field.Name), " ", "")
		if text == "" {
			return nil, false
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			f.wrong(field.Name, "Type a whole number.")
		}
		return n, true
	case field.Type == "snapshot_id_list":
		list := slices.DeleteFunc(slices.Clone(f.values[field.Name]), func(s string) bool { return s == "" })
		return list, len(list) > 0
	case strings.HasSuffix(field.Type, "_list"):
		list := f.lines(field.Name)
		return list, len(list) > 0
	}
	text := f.raw(field.Name)
	if len(field.Choices) > 0 && text == field.Default {
		return nil, false
	}
	if field.Type != "path" && field.Type != "string" {
		text = strings.TrimSpace(text)
	}
	return text, text != ""
}
