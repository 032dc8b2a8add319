package ui

import (
	"strings"

	"restic-manager/web"
)

// form is what a person typed, and what was wrong with it.
type form struct {
	values map[string][]string
	errors map[string]string

	focused bool // a field with a mistake was given the focus
}

// typed reads the posted form.
func (v *visit) typed() (*form, error) {
	if err := v.r.ParseForm(); err != nil {
		return nil, &problem{Status: 400, Code: "invalid_request", Title: "This form could not be read", Detail: "It may be too large. Go back and try again."}
	}
	return &form{values: v.r.PostForm, errors: map[string]string{}}, nil
}

// filled is a form before anybody typed.
func filled(values map[string]string) *form {
	f := &form{values: map[string][]string{}, errors: map[string]string{}}
	for k, v := range values {
		f.values[k] = []string{v}
	}
	return f
}

// get gives a value without the blanks around it.
func (f *form) get(name string) string { return strings.TrimSpace(f.raw(name)) }

// raw gives a value as it was typed, which matters for passwords.
func (f *form) raw(name string) string {
	if len(f.values[name]) == 0 {
		return ""
	}
	return f.values[name][0]
}

// has tells whether the form had the field at all: a page of before an upgrade, or a
// script, may send fewer.
func (f *form) has(name string) bool { _, ok := f.values[name]; return ok }

// set fills in a value that nobody typed.
func (f *form) set(name, value string) { f.values[name] = []string{value} }

// wrong marks a field; what was found first stays.
func (f *form) wrong(name, detail string) {
	if f.errors[name] == "" {
		f.errors[name] = detail
	}
}

// checked tells whether a check was set: a box that is not sends nothing.
func (f *form) checked(name string) bool { return f.raw(name) != "" }

// lines gives one item a line, without empty ones, of all controls of a name. A name may
// begin or end with a blank, so only line ends are cut.
func (f *form) lines(name string) []string {
	var items []string
	for _, text := range f.values[name] {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
				items = append(items, line)
			}
		}
	}
	return items
}

// words gives what is separated by blanks or commas.
func (f *form) words(name string) []string {
	return strings.FieldsFunc(f.raw(name), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' || r == '\t' })
}

// refused takes a refusal of the contract in: each mistake goes to its field, by the
// names that the contract's members have in this form. What belongs to no field
// comes back as a banner. An error that is no refusal comes back as it is.
func (f *form) refused(err error, shown ...string) (*web.Banner, error) {
	list, ok := mistakes(err)
	if !ok {
		p, isProblem := err.(*problem)
		if !isProblem || p.Status == 401 || p.Status == 404 || p.Status >= 500 {
			return nil, err
		}
		return refusal(p.Title, p.Detail), nil
	}
	var rest []string
	for _, m := range list {
		name, ok := fieldOf(m.pointer, shown)
		switch {
		case !ok:
			rest = append(rest, strings.TrimPrefix(m.pointer, "/")+": "+m.detail)
		case f.errors[name] == "":
			f.errors[name] = m.detail
		case !strings.Contains(f.errors[name], m.detail):
			f.errors[name] += " " + m.detail
		}
	}
	if len(rest) > 0 {
		return refusal("Not saved", strings.Join(rest, " ")), nil
	}
	return refusal("Not saved", "Look at the fields that are marked."), nil
}

func refusal(word, text string) *web.Banner {
	if word == "" {
		word = "Not done"
	}
	return &web.Banner{State: web.State{Tone: web.Risk, Glyph: "risk", Word: word}, Text: text}
}

// with fills in a field's value and mistake. After a mistake the first field that has
// one gets the focus.
func (f *form) with(field web.Field) web.Field {
	field.Value, field.Error = f.raw(field.Name), f.errors[field.Name]
	if len(f.errors) > 0 {
		field.Autofocus = field.Error != "" && !f.focused
		f.focused = f.focused || field.Autofocus
	}
	return field
}
