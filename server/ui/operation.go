package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// Any operation can be started from a form that is made of its fields. The place is a
// host, or a repository whose host the server finds.

// place is where an operation is started.
type place struct {
	Name   string
	Href   string // the page of the host or repository
	Host   *api.Host
	Source *api.Repository
	Typed  string // what a person types where the operation wants it
}

type operationsView struct {
	web.Shell
	Place  place
	Groups []operationGroup
	May    bool
}

type operationGroup struct {
	ID, Title, Note string
	Operations      []operationRow
}

type operationRow struct {
	Operation api.Operation
	Href      string
	Off       string // why it cannot be started from here
}

// place reads the host or the repository of the address.
func (v *visit) place() (place, error) {
	if id := v.param("host"); id != "" {
		h, err := get[api.Host](v, "/api/v1/hosts/"+url.PathEscape(id), nil)
		return place{Name: string(h.Name), Href: "/hosts/" + string(h.Id), Host: &h, Typed: string(h.Name)}, err
	}
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	return place{Name: string(r.Name), Href: "/repositories/" + string(r.Id), Source: &r, Typed: string(r.Name)}, err
}

func (p place) crumbs(more ...web.Crumb) []web.Crumb {
	list := web.Crumb{Label: "Hosts", Href: "/hosts"}
	if p.Source != nil {
		list = web.Crumb{Label: "Repositories", Href: "/repositories"}
	}
	return append([]web.Crumb{list, {Label: visible(p.Name), Href: p.Href}}, more...)
}

func (u *UI) operations(v *visit) error {
	p, err := v.place()
	if err != nil {
		return err
	}
	shell, err := v.shell("Run on "+visible(p.Name), p.crumbs(web.Crumb{Label: "Run"})...)
	if err != nil {
		return err
	}
	list, err := get[api.OperationList](v, "/api/v1/operations", nil)
	if err != nil {
		return err
	}
	view := operationsView{Shell: shell, Place: p, May: shell.User.May("operator"), Groups: []operationGroup{
		{ID: "look", Title: "Look", Note: "Reads, and changes nothing"},
		{ID: "move", Title: "Back up and restore", Note: "Shares the repository with others"},
		{ID: "maintain", Title: "Maintain", Note: "Has the repository for itself, or changes what is in it"},
	}}
	for _, o := range list.Operations {
		g := &view.Groups[groupOf(o)]
		g.Operations = append(g.Operations, operationRow{Operation: o, Href: p.Href + "/run/" + url.PathEscape(o.Name), Off: p.lacks(o)})
	}
	view.Groups = slices.DeleteFunc(view.Groups, func(g operationGroup) bool { return len(g.Operations) == 0 })
	return v.show(http.StatusOK, "operations", view)
}

// groupOf sorts by what an operation does to others: nothing, sharing, or not.
func groupOf(o api.Operation) int {
	switch {
	case o.Deletes, o.Slot == api.OperationSlotMaintenance, o.Lock == api.OperationLockExclusive:
		return 2
	case o.Lock == api.OperationLockShared:
		return 1
	}
	return 0
}

// lacks says why an operation cannot be started at a place.
func (p place) lacks(o api.Operation) string {
	switch {
	case p.Host != nil && len(fieldsNamed(o, "schedule_id")) > 0:
		return "started from the host's schedules"
	case p.Source != nil && len(fieldsNamed(o, "schedule_id")) > 0:
		return "started from a host"
	case p.Host != nil && away(*p.Host) != "":
		return away(*p.Host)
	case p.Host != nil && !slices.Contains(o.Places, api.OperationPlaces("host")) && (p.Host.Policy == nil || len(p.Host.Policy.Maintenance) == 0):
		return "only at a maintenance host, and this host's policy does not make it one"
	}
	return ""
}

func fieldsNamed(o api.Operation, name string) (list []api.OperationField) {
	for _, f := range o.Fields {
		if f.Name == name {
			list = append(list, f)
		}
	}
	return list
}

type operationView struct {
	web.Shell
	Place     place
	Operation api.Operation
	Inputs    []input
	Confirm   *web.Field
	Refused   *web.Banner
	Action    string
	Group     string
	Off       string
	May       bool
	Terms     []web.Crumb // what it does to others, each a word and its meaning
}

// input is a field with the kind of control that it gets.
type input struct {
	Kind  string // field, area, choose, check, snapshots
	Field web.Field
	Picks []snapshotPick // of "snapshots"
}

type snapshotPick struct {
	Value, Label string
	Checked      bool
}

func (u *UI) operationForm(v *visit) error {
	f := filled(nil)
	for name, values := range v.r.URL.Query() { // other pages fill in what they know
		f.values[name] = values
	}
	return v.showOperation(http.StatusOK, f, nil, false)
}

func (v *visit) showOperation(status int, f *form, refused *web.Banner, asked bool) error {
	p, err := v.place()
	if err != nil {
		return err
	}
	o, err := v.operation(v.param("operation"))
	if err != nil {
		return err
	}
	if len(o.Places) == 0 {
		return &problem{Status: http.StatusNotFound, Code: "not_found"}
	}
	title := o.Title + " · " + visible(p.Name)
	shell, err := v.shell(title, p.crumbs(web.Crumb{Label: "Run", Href: p.Href + "/run"}, web.Crumb{Label: o.Title})...)
	if err != nil {
		return err
	}
	shell.Address = v.r.URL.Path
	view := operationView{Shell: shell, Place: p, Operation: o, Refused: refused, Action: p.Href + "/run/" + url.PathEscape(o.Name), Off: p.lacks(o), May: shell.User.May("operator"), Terms: terms(o)}
	for _, field := range o.Fields {
		if p.Source != nil && field.Name == "repository_id" {
			continue
		}
		in, err := v.input(field, p, f)
		if err != nil {
			return err
		}
		view.Inputs = append(view.Inputs, in)
	}
	if o.Confirm || asked || f.errors["confirm"] != "" {
		confirm := f.with(web.Field{Name: "confirm", Label: "Type the name to go on", Mono: true, Autocomplete: "off", Hint: confirmHint(p)})
		view.Confirm = &confirm
	}
	return v.show(status, "operation", view)
}

func confirmHint(p place) string {
	if p.Source != nil {
		return "The repository's: " + visible(p.Typed)
	}
	return "The repository's; of a restore in place the host's"
}

// terms tells in plain words what an operation means for others.
func terms(o api.Operation) (list []web.Crumb) {
	lock := map[api.OperationLock]string{
		"none":      "Takes no lock, so it disturbs nobody.",
		"shared":    "Shares the repository with backups; what needs it alone waits until this has ended.",
		"exclusive": "Needs the repository alone: it waits for what runs there, and new backups wait until it has ended.",
	}
	slot := map[api.OperationSlot]string{
		"append":      "Uses the credential of hosts, which cannot delete.",
		"maintenance": "Uses access that can delete, so it runs only at the maintenance host.",
	}
	list = append(list, web.Crumb{Label: "Lock", Href: lock[o.Lock]}, web.Crumb{Label: "Access", Href: slot[o.Slot]})
	if o.Deletes {
		list = append(list, web.Crumb{Label: "Removes", Href: "Can remove snapshots or data for good, within the floors of the maintenance host's own policy file."})
	}
	if o.Anywhere {
		list = append(list, web.Crumb{Label: "Where", Href: "Also at a host that has no schedule there, where its policy allows the repository."})
	}
	return list
}

// input makes the control of a field.
func (v *visit) input(o api.OperationField, p place, f *form) (input, error) {
	field := web.Field{Name: o.Name, Label: o.Label, Hint: asSentence(o.Help), Required: o.Required, Autocomplete: "off"}
	switch {
	case o.Type == "bool":
		field.Required = false
		return input{Kind: "check", Field: f.with(field)}, nil
	case len(o.Options) > 0:
		if !o.Required {
			field.Options = []web.Option{{Label: "as usual"}}
		}
		for _, s := range o.Options {
			field.Options = append(field.Options, web.Option{Value: s, Label: strings.NewReplacer("-", " ", "_", " ").Replace(s)})
		}
		return input{Kind: "choose", Field: f.with(field)}, nil
	case o.Name == "repository_id":
		return v.repositoryInput(field, f)
	case strings.HasPrefix(o.Type, "snapshot_id"):
		return v.snapshotInput(o, field, p, f)
	case strings.HasSuffix(o.Type, "_list"):
		field.Mono, field.Required = o.Type == "path_list", false
		field.Hint = strings.TrimSpace(field.Hint + " One a line.")
		field.Value = strings.Join(f.values[o.Name], "\n")
		f.values[o.Name] = []string{field.Value}
		return input{Kind: "area", Field: f.with(field)}, nil
	case o.Type == "int":
		field.Type = "text"
		if o.Min != 0 || o.Max != 0 {
			field.Hint = strings.TrimSpace(field.Hint + " From " + strconv.FormatInt(o.Min, 10) + " to " + strconv.FormatInt(o.Max, 10) + ".")
		}
	}
	field.Mono = o.Type == "path" || o.Type == "uuid"
	return input{Kind: "field", Field: f.with(field)}, nil
}

// asSentence makes one of a short help.
func asSentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func (v *visit) repositoryInput(field web.Field, f *form) (input, error) {
	field.Hint = ""
	page, ok, err := part[api.RepositoryPage](v, "/api/v1/repositories", url.Values{"page_size": {"200"}})
	if err != nil {
		return input{}, err
	}
	if !ok || len(page.Repositories) == 0 {
		return input{Kind: "field", Field: f.with(field)}, nil
	}
	for _, r := range page.Repositories {
		field.Options = append(field.Options, web.Option{Value: string(r.Id), Label: visible(string(r.Name))})
	}
	return input{Kind: "choose", Field: f.with(field)}, nil
}

// snapshotInput offers the newest snapshots of the place.
func (v *visit) snapshotInput(o api.OperationField, field web.Field, p place, f *form) (input, error) {
	q := url.Values{"page_size": {"100"}}
	if p.Host != nil {
		q.Set("host_id", string(p.Host.Id))
	} else {
		q.Set("repository_id", string(p.Source.Id))
	}
	page, ok, err := part[api.SnapshotPage](v, "/api/v1/snapshots", q)
	if err != nil {
		return input{}, err
	}
	chosen := f.values[o.Name]
	if strings.HasSuffix(o.Type, "_list") {
		in := input{Kind: "snapshots"}
		for _, s := range page.Snapshots {
			in.Picks = append(in.Picks, snapshotPick{Value: s.Id, Label: v.snapshotLabel(s), Checked: slices.Contains(chosen, s.Id)})
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
		field.Options = []web.Option{{Label: "none"}}
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

func (u *UI) startOperation(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	p, err := v.place()
	if err != nil {
		return err
	}
	o, err := v.operation(v.param("operation"))
	if err != nil {
		return err
	}
	shown := []string{"confirm"}
	members := map[string]any{}
	for _, field := range o.Fields {
		shown = append(shown, field.Name)
		if value, ok := f.member(field); ok && field.Name != "repository_id" {
			members[field.Name] = value
		}
	}
	if len(f.errors) > 0 {
		return v.showOperation(http.StatusUnprocessableEntity, f, refusal("Not started", "Look at the fields that are marked."), false)
	}
	params, err := json.Marshal(members)
	if err != nil {
		return err
	}
	job, err := v.order(p, o, f, params)
	if err != nil {
		banner, refused := f.refused(err, shown...)
		if refused != nil {
			return refused
		}
		banner.State.Word = "Not started"
		return v.showOperation(http.StatusUnprocessableEntity, f, banner, is(err, "confirmation_required"))
	}
	return v.goTo("/jobs/" + string(job.Id))
}

func (v *visit) order(p place, o api.Operation, f *form, params json.RawMessage) (api.Job, error) {
	confirm := api.Confirm(f.raw("confirm"))
	if p.Source != nil {
		return send[api.Job](v, http.MethodPost, v.repositoryPath()+"/jobs", api.RepositoryJobCreate{Operation: o.Name, Params: params, Confirm: confirm})
	}
	return send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+string(p.Host.Id)+"/jobs", api.JobCreate{Operation: o.Name, RepositoryId: api.Id(f.get("repository_id")), Params: params, Confirm: confirm})
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
	if field.Type != "path" && field.Type != "string" {
		text = strings.TrimSpace(text)
	}
	return text, text != ""
}
