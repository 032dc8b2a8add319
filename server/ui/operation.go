package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

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

	Elsewhere bool // the snapshots that it asks for are another repository's
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
	Instead   web.Link
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
		{ID: "move", Title: "Back up and restore", Note: "Brings data into the repository, or out of it"},
		{ID: "maintain", Title: "Maintain", Note: "Has the repository for itself, or changes what is in it"},
		{ID: "automatic", Title: "Ordered by this server", Note: "When they are due; seldom by hand"},
	}}
	for _, o := range list.Operations {
		i := max(0, slices.IndexFunc(view.Groups, func(g operationGroup) bool { return g.ID == string(o.Group) }))
		view.Groups[i].Operations = append(view.Groups[i].Operations, p.row(o))
	}
	view.Groups = slices.DeleteFunc(view.Groups, func(g operationGroup) bool { return len(g.Operations) == 0 })
	return v.show(http.StatusOK, "operations", view)
}

func (p place) row(o api.Operation) operationRow {
	row := operationRow{Operation: o, Href: p.Href + "/run/" + url.PathEscape(o.Name), Off: p.lacks(o)}
	switch {
	case len(fieldsNamed(o, "schedule_id")) > 0 && p.Host != nil:
		row.Instead = web.Link{Label: "Its schedules", Href: p.Href + "/schedules"}
	case len(fieldsNamed(o, "schedule_id")) > 0:
		row.Instead = web.Link{Label: "Hosts", Href: "/hosts"}
	case len(fieldsNamed(o, "secret_id")) > 0 && p.Source != nil:
		row.Instead = web.Link{Label: "Its settings", Href: p.Href + "/settings#key"}
	case o.Name == "restore" && p.Host != nil:
		row.Href = p.Href + "/restore" // the wizard picks files in a tree
	}
	return row
}

// lacks says why an operation cannot be started at a place.
func (p place) lacks(o api.Operation) string {
	switch {
	case p.Host != nil && len(fieldsNamed(o, "schedule_id")) > 0:
		return "It is started from the host's schedules."
	case p.Source != nil && len(fieldsNamed(o, "schedule_id")) > 0:
		return "It is started from a host."
	case len(fieldsNamed(o, "secret_id")) > 0:
		return "It needs a password, so it is started from the repository's settings."
	case p.Host != nil && away(*p.Host) != "":
		return away(*p.Host)
	case p.Host != nil && !slices.Contains(o.Places, api.OperationPlaces("host")) && (p.Host.Policy == nil || len(p.Host.Policy.Maintenance) == 0):
		return "It runs only at a maintenance host, and this host's policy does not make it one."
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
	Rare      []input // behind a disclosure
	RareOpen  bool
	Confirm   *web.Field
	Refused   *web.Banner
	Action    string
	Group     string
	Off       string
	May       bool
	Terms     []web.Crumb // what it does to others, each a word and its meaning
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
	if len(fieldsNamed(o, "secret_id")) > 0 { // a form of fields has no place for a password
		if p.Source != nil {
			return v.goTo(p.Href + "/settings#key")
		}
		return &problem{Status: http.StatusNotFound, Code: "not_found"}
	}
	p.Elsewhere = p.Source != nil && len(fieldsNamed(o, "from_repository_id")) > 0
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
		if !field.Rare {
			view.Inputs = append(view.Inputs, in)
			continue
		}
		view.Rare = append(view.Rare, in)
		view.RareOpen = view.RareOpen || in.Field.Error != "" || f.get(field.Name) != ""
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
