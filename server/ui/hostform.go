package ui

import (
	"net/http"
	"net/url"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

type hostFormView struct {
	web.Shell
	Refused                                *web.Banner
	Name, Tags, Repository, Profile, Paths web.Field
	Availability                           web.Field
	NoRepository                           *web.Empty
}

func (u *UI) newHost(v *visit) error {
	return v.showHostForm(http.StatusOK, filled(map[string]string{"profile": "guarded", "repository_id": v.query("repository"), "availability": "always_on"}), nil)
}

func (v *visit) showHostForm(status int, f *form, refused *web.Banner) error {
	shell, err := v.shell("Add a host", web.Crumb{Label: "Hosts", Href: "/hosts"}, web.Crumb{Label: "Add a host"})
	if err != nil {
		return err
	}
	options, err := v.repositoryOptions()
	if err != nil {
		return err
	}
	if f.raw("repository_id") == "" && len(options) == 1 {
		f.values["repository_id"] = []string{options[0].Value}
	}
	view := hostFormView{
		Shell: shell, Refused: refused,
		Name:       f.with(web.Field{Name: "name", Label: "Name", Hint: "How the machine is called here.", Required: true, Autofocus: true, Autocomplete: "off"}),
		Tags:       f.with(web.Field{Name: "tags", Label: "Tags", Hint: "Optional, separated by blanks.", Autocomplete: "off"}),
		Repository: f.with(web.Field{Name: "repository_id", Label: "Repository", Options: options, Required: true}),
		Paths:      f.with(web.Field{Name: "paths", Label: "Back up these paths", Rows: 5, Mono: true, Required: true, Placeholder: "/etc\n/home", Hint: "One absolute path a line. They become an initial schedule that runs when you press Run now; give it a time later."}),
		Profile: f.with(web.Field{Name: "profile", Label: "What this server may ask of the machine", Options: []web.Option{
			{Value: "guarded", Label: "Guarded: back up, and restore into a folder of the agent's own"}, {Value: "trusting", Label: "Trusting: also restore in place, anywhere"}},
			Hint: "Written to the machine's own policy file when you paste the line; only root there can change it. Trusting means that whoever takes this server can overwrite files there."}),
	}
	view.Availability = f.with(availabilityField)
	if len(options) == 0 {
		view.NoRepository = &web.Empty{Title: "First, a place for backups", Text: "A host needs a repository to back up to.", Action: web.Link{Label: "Add a repository", Href: "/repositories/new"}}
	}
	return v.show(status, "host-new", view)
}

var availabilityField = web.Field{Name: "availability", Label: "The machine", Options: []web.Option{
	{Value: "always_on", Label: "is always on"}, {Value: "come_and_go", Label: "comes and goes, such as a laptop"}},
	Hint: "One that comes and goes may be away without being at risk, until a backup is older than its objective."}

// repositoryOptions are all repositories to choose from, those last that cannot be used:
// a form that was not touched takes the first.
func (v *visit) repositoryOptions() (options []web.Option, err error) {
	var failed []web.Option
	err = everything(url.Values{}, func(q url.Values) (string, error) {
		page, err := get[api.RepositoryPage](v, "/api/v1/repositories", q)
		for _, r := range page.Repositories {
			option := web.Option{Value: string(r.Id), Label: string(r.Name) + " · " + r.Location}
			if r.State == api.RepositoryStateFailed {
				option.Label += " · could not be made usable"
				failed = append(failed, option)
				continue
			}
			options = append(options, option)
		}
		return page.NextPageToken, err
	})
	return append(options, failed...), err
}

// joiningView is the page with the line to paste. Its live part is read again from
// the host's address, where the line, which is told once, does not stand.
type joiningView struct {
	hostFrame
	Systems  []joinLine
	Token    api.EnrolmentToken
	Told     bool // the line is on this page
	Used     bool // the line was pasted
	Schedule string
	Daily    *daily
}

// joinLine is what to paste on one system.
type joinLine struct {
	System, Where string
	Line          web.Copy
	Installs      bool      // the line brings the agent along
	Enrols        *web.Copy // the shorter line for an agent that is installed already
}

func joinLineOf(system, where, line, enrols string) joinLine {
	id := "line-" + strings.ToLower(system)
	j := joinLine{System: system, Where: where, Installs: enrols != "" && line != enrols, Line: web.Copy{ID: id, Text: line, Label: "the line for " + system, Lines: true}}
	if j.Installs {
		j.Enrols = &web.Copy{ID: id + "-enrol", Text: enrols, Label: "the line that only enrols", Lines: true}
	}
	return j
}

func (u *UI) createHost(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	made, err := send[api.HostCreated](v, http.MethodPost, "/api/v1/hosts", api.HostCreate{
		Name: f.get("name"), Tags: f.words("tags"), Profile: api.Profile(f.raw("profile")), RepositoryId: f.raw("repository_id"), Paths: f.lines("paths"),
		Availability: api.Availability(f.raw("availability")),
	})
	if err != nil {
		banner, err := f.refused(err, "name", "tags", "repository_id", "paths", "profile", "availability")
		if err != nil {
			return err
		}
		return v.showHostForm(http.StatusUnprocessableEntity, f, banner)
	}
	return v.showJoining(string(made.Host.Id), &made.Enrolment)
}

func (u *UI) rejoin(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	e, err := send[api.Enrolment](v, http.MethodPost, "/api/v1/hosts/"+url.PathEscape(v.param("host"))+"/enrolment-tokens",
		api.EnrolmentTokenCreate{Profile: api.Profile(f.raw("profile"))})
	if err != nil {
		return err
	}
	return v.showJoining(v.param("host"), &e)
}

func (u *UI) joining(v *visit) error { return v.showJoining(v.param("host"), nil) }

func (v *visit) showJoining(host string, e *api.Enrolment) error {
	frame, err := v.hostFrameOf(host, "Overview")
	if err != nil {
		return err
	}
	view := joiningView{Schedule: frame.Prefix + "/schedules"}
	token := v.query("token")
	if e != nil {
		token = string(e.Token.Id)
	}
	frame.Address = frame.Prefix + "/joining?" + url.Values{"token": {token}}.Encode()
	view.hostFrame, view.Daily = frame, dailyOffer(frame, frame.Schedules)
	if view.Used, err = v.tokenUsed(frame.Host, token); err != nil {
		return err
	}
	if e != nil {
		view.Told, view.Token = true, e.Token
		view.Systems = []joinLine{joinLineOf("Linux", "in a root shell", e.LineLinux, e.EnrollLinux), joinLineOf("Windows", "in an administrator's PowerShell", e.LineWindows, e.EnrollWindows)}
	}
	return v.show(http.StatusOK, "host-joining", view)
}

// tokenUsed tells whether the line with the token was pasted: an agent that was
// enrolled before may be online all the while.
func (v *visit) tokenUsed(h api.Host, token string) (bool, error) {
	if token == "" {
		return h.Presence != api.PresenceNever, nil
	}
	list, err := get[api.EnrolmentTokenList](v, "/api/v1/hosts/"+string(h.Id)+"/enrolment-tokens", nil)
	if err != nil {
		return false, err
	}
	for _, t := range list.Tokens {
		if string(t.Id) == token {
			return t.State == "used", nil
		}
	}
	return false, nil
}

type hostSettingsView struct {
	hostFrame
	Refused    *web.Banner
	Name, Tags web.Field
	Disabled   web.Field
	Available  web.Field
	Profile    web.Field
	Delete     web.Dialog
}

func (u *UI) hostSettings(v *visit) error { return v.showHostSettings(http.StatusOK, nil, nil) }

func (v *visit) showHostSettings(status int, f *form, refused *web.Banner) error {
	frame, err := v.hostFrame("Settings")
	if err != nil {
		return err
	}
	h := frame.Host
	if f == nil {
		f = filled(map[string]string{"name": string(h.Name), "tags": joined(h.Tags), "availability": string(h.Availability)})
		if h.Presence == api.PresenceDisabled {
			f.values["disabled"] = []string{"true"}
		}
	}
	f.values["profile"] = []string{string(h.Profile)}
	return v.show(status, "host-settings", hostSettingsView{
		hostFrame: frame, Refused: refused,
		Name:      f.with(web.Field{Name: "name", Label: "Name", Required: true}),
		Tags:      f.with(web.Field{Name: "tags", Label: "Tags", Hint: "Separated by blanks."}),
		Disabled:  f.with(web.Field{Name: "disabled", Label: "Disabled", Hint: "Its agent gets no commands from here. What it has to do by its schedules goes on."}),
		Available: f.with(availabilityField),
		Profile:   f.with(web.Field{Name: "profile", Label: "Profile of a policy file that is not there yet", Options: []web.Option{{Value: "guarded", Label: "Guarded"}, {Value: "trusting", Label: "Trusting"}}}),
		Delete: web.Dialog{ID: "delete", Title: "Delete this host?", Text: "The host, its schedules and its history here are removed, and its agent is shut out. Its snapshots stay in their repositories.",
			Action: frame.Prefix + "/delete", Confirm: "Delete " + string(h.Name), Keep: "Keep it", Danger: true, Typed: string(h.Name)},
	})
}

func joined(tags []api.Tag) (s string) {
	for i, t := range tags {
		if i > 0 {
			s += " "
		}
		s += t
	}
	return s
}

func (u *UI) saveHost(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	name, tags, disabled := f.get("name"), f.words("tags"), f.checked("disabled")
	if tags == nil {
		tags = []string{}
	}
	change := api.HostUpdate{Name: &name, Tags: &tags, Disabled: &disabled}
	if a := api.Availability(f.raw("availability")); a != "" {
		change.Availability = &a
	}
	_, err = send[api.Host](v, http.MethodPatch, "/api/v1/hosts/"+url.PathEscape(v.param("host")), change)
	if err != nil {
		banner, err := f.refused(err, "name", "tags", "disabled", "availability")
		if err != nil {
			return err
		}
		return v.showHostSettings(http.StatusUnprocessableEntity, f, banner)
	}
	return v.goTo("/hosts/" + v.param("host") + "/settings?done=host-saved")
}

func (u *UI) deleteHost(v *visit) error {
	h, err := get[api.Host](v, "/api/v1/hosts/"+url.PathEscape(v.param("host")), nil)
	if err != nil {
		return err
	}
	f, err := v.typed()
	if err != nil {
		return err
	}
	if f.raw("typed") != string(h.Name) {
		return v.showHostSettings(http.StatusUnprocessableEntity, nil, refusal("Not deleted", "What you typed is not the host's name."))
	}
	if err := v.call(http.MethodDelete, "/api/v1/hosts/"+string(h.Id), nil, nil); err != nil {
		if is(err, "host_busy") {
			return v.showHostSettings(http.StatusConflict, nil, refusal("Not deleted", "One of its jobs runs. Cancel it or wait for its end."))
		}
		return err
	}
	return v.goTo("/hosts?done=host-deleted")
}
