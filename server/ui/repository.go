package ui

import (
	"net/http"
	"net/url"

	"restic-manager/server/api"
	"restic-manager/web"
)

type repositoryRow struct {
	Repository api.Repository
	State      web.State
}

type repositoriesView struct {
	web.Shell
	Rows  []repositoryRow
	Empty *web.Empty
	Pager web.Pager
}

func (u *UI) repositories(v *visit) error {
	shell, err := v.shell("Repositories")
	if err != nil {
		return err
	}
	q := url.Values{"page_size": {"50"}}
	if t := v.query("page_token"); t != "" {
		q.Set("page_token", t)
	}
	page, err := get[api.RepositoryPage](v, "/api/v1/repositories", q)
	if err != nil {
		return err
	}
	view := repositoriesView{Shell: shell, Pager: v.pager(page.NextPageToken)}
	for _, r := range page.Repositories {
		view.Rows = append(view.Rows, repositoryRow{Repository: r, State: repositoryState(r)})
	}
	if len(view.Rows) == 0 {
		view.Empty = &web.Empty{Title: "No repositories yet", Text: "A repository is where backups go, normally a rest-server of yours.", Action: web.Link{Label: "Add a repository", Href: "/repositories/new"}}
	}
	return v.show(http.StatusOK, "repositories", view)
}

type repositoryFormView struct {
	web.Shell
	Refused                                         *web.Banner
	Name, Location, Username, Secret, Password, Old web.Field
}

func (u *UI) newRepository(v *visit) error {
	return v.showRepositoryForm(http.StatusOK, filled(nil), nil)
}

func (v *visit) showRepositoryForm(status int, f *form, refused *web.Banner) error {
	shell, err := v.shell("Add a repository", web.Crumb{Label: "Repositories", Href: "/repositories"}, web.Crumb{Label: "Add a repository"})
	if err != nil {
		return err
	}
	return v.show(status, "repository-new", repositoryFormView{
		Shell: shell, Refused: refused,
		Name:     f.with(web.Field{Name: "name", Label: "Name", Required: true, Autofocus: true, Autocomplete: "off"}),
		Location: f.with(web.Field{Name: "location", Label: "Location", Required: true, Mono: true, Autocomplete: "off", Placeholder: "rest:https://nas:8000/web-1/web-1/", Hint: "As the hosts reach it: rest:https://…, rest:http://… or an absolute path on the host. Without a name or password in it."}),
		Username: f.with(web.Field{Name: "username", Label: "User name at rest-server", Autocomplete: "off"}),
		Secret:   f.with(web.Field{Name: "append_secret", Label: "Its password", Type: "password", Autocomplete: "off", Hint: "Kept sealed. It should not be able to delete: run rest-server with --append-only. Agents check."}),
		Old:      f.with(web.Field{Name: "existing", Label: "This repository exists already", Hint: "It is looked at and never initialised."}),
		Password: f.with(web.Field{Name: "password", Label: "Repository password", Type: "password", Autocomplete: "off", Hint: "What restic encrypts with. Leave it out for a new repository and a strong one is made."}),
	})
}

func (u *UI) createRepository(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	made, err := send[api.Repository](v, http.MethodPost, "/api/v1/repositories", api.RepositoryCreate{
		Name: f.get("name"), Location: f.get("location"), Existing: f.checked("existing"), Password: f.raw("password"), Username: f.get("username"), AppendSecret: f.raw("append_secret"),
	})
	if err != nil {
		banner, err := f.refused(err, "name", "location", "username", "append_secret", "existing", "password")
		if err != nil {
			return err
		}
		return v.showRepositoryForm(http.StatusUnprocessableEntity, f, banner)
	}
	return v.goTo("/repositories/" + string(made.Id) + "?done=repository-created")
}

type repositoryView struct {
	web.Shell
	Repository api.Repository
	State      web.State
	Attention  []attention
	Facts      []web.Fact
	Refused    *web.Banner
	Jobs       []api.Job
	Sheet      *sheetView
	OwnPass    web.Field
	CanRetry   bool

	Name, Allow, Username, Secret web.Field
	Delete                        web.Dialog
}

// sheetView is the recovery sheet, shown by the answer to a form alone.
type sheetView struct {
	Text web.Copy
}

func (u *UI) repository(v *visit) error { return v.showRepository(http.StatusOK, nil, nil, nil) }

func (v *visit) repositoryPath() string {
	return "/api/v1/repositories/" + url.PathEscape(v.param("repository"))
}

func (v *visit) showRepository(status int, f *form, refused *web.Banner, sheet *sheetView) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	shell, err := v.shell(string(r.Name), web.Crumb{Label: "Repositories", Href: "/repositories"}, web.Crumb{Label: string(r.Name)})
	if err != nil {
		return err
	}
	jobs, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"repository_id": {string(r.Id)}, "page_size": {"8"}})
	if err != nil {
		return err
	}
	shell.Address = "/repositories/" + string(r.Id)
	if f == nil {
		f = filled(map[string]string{"name": string(r.Name)})
		if r.AllowDeletingCredential {
			f.values["allow"] = []string{"true"}
		}
	}
	at := "/repositories/" + string(r.Id)
	return v.show(status, "repository", repositoryView{
		Shell: shell, Repository: r, State: repositoryState(r), Attention: attentions(string(r.Name), at, r.Conditions), Refused: refused, Jobs: jobs.Jobs, Sheet: sheet,
		Facts:    repositoryFacts(r, v.u),
		CanRetry: r.State == api.RepositoryStateFailed,
		OwnPass:  f.with(web.Field{Name: "own_password", Label: "Your own password", Type: "password", Autocomplete: "current-password", Hint: "Asked again, since the sheet was saved before."}),
		Name:     f.with(web.Field{Name: "name", Label: "Name", Required: true}),
		Allow:    f.with(web.Field{Name: "allow", Label: "Allow a credential that can delete", Hint: "Whoever takes a host could then delete its backups. Say yes only where the storage cannot do better."}),
		Username: f.with(web.Field{Name: "username", Label: "User name", Autocomplete: "off"}),
		Secret:   f.with(web.Field{Name: "secret", Label: "Password", Type: "password", Autocomplete: "off"}),
		Delete: web.Dialog{ID: "delete", Title: "Forget this repository?", Text: "It is removed here, with its password. Its data stays where it is; without the recovery sheet nobody can read it.",
			Action: at + "/delete", Confirm: "Forget " + string(r.Name), Keep: "Keep it", Danger: true, Typed: string(r.Name)},
	})
}

func repositoryFacts(r api.Repository, u *UI) []web.Fact {
	last := web.Fact{Term: "Last snapshot", Big: "never"}
	if !r.LastSnapshotAt.IsZero() {
		last.Big = web.Relative(r.LastSnapshotAt, u.now())
	}
	deletes := web.Fact{Term: "Credential on hosts", Big: "not checked yet"}
	for _, c := range r.Credentials {
		switch c.CanDelete {
		case "no":
			deletes.Big, deletes.Note = "cannot delete", "an agent tried"
		case "yes":
			deletes.Big, deletes.Note = "can delete", "backups are at risk"
		}
	}
	if len(r.Credentials) == 0 {
		deletes.Big = "none"
	}
	return []web.Fact{{Term: "Snapshots", Big: web.Count(int64(r.Snapshots))}, last, {Term: "Hosts", Big: web.Count(int64(r.Hosts)), Note: plural(r.Schedules, "schedule", "schedules")}, deletes}
}

func (u *UI) sheet(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	s, err := send[api.RecoverySheet](v, http.MethodPost, v.repositoryPath()+"/recovery-sheet", api.RecoverySheetRequest{OwnPassword: f.raw("own_password")})
	if is(err, "reauth_required") {
		return v.showRepository(http.StatusForbidden, nil, refusal("Not shown", "Type your own password to see the sheet again."), nil)
	}
	if err != nil {
		return err
	}
	return v.showRepository(http.StatusOK, nil, nil, &sheetView{Text: web.Copy{ID: "sheet", Text: s.Text, Label: "the recovery sheet", Lines: true}})
}

func (u *UI) sheetSaved(v *visit) error {
	if err := v.call(http.MethodPost, v.repositoryPath()+"/recovery-sheet/saved", nil, nil); err != nil {
		return err
	}
	return v.goTo("/repositories/" + v.param("repository") + "?done=sheet-saved")
}

func (u *UI) saveRepository(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	name, allow := f.get("name"), f.checked("allow")
	_, err = send[api.Repository](v, http.MethodPatch, v.repositoryPath(), api.RepositoryUpdate{Name: &name, AllowDeletingCredential: &allow})
	if err != nil {
		banner, err := f.refused(err, "name")
		if err != nil {
			return err
		}
		return v.showRepository(http.StatusUnprocessableEntity, f, banner, nil)
	}
	return v.goTo("/repositories/" + v.param("repository") + "?done=repository-saved")
}

func (u *UI) saveCredential(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	err = v.call(http.MethodPut, v.repositoryPath()+"/credentials/append", api.CredentialSet{Username: f.get("username"), Secret: f.raw("secret")}, nil)
	if err != nil {
		banner, err := f.refused(err, "username", "secret")
		if err != nil {
			return err
		}
		return v.showRepository(http.StatusUnprocessableEntity, f, banner, nil)
	}
	return v.goTo("/repositories/" + v.param("repository") + "?done=credential-saved")
}

// prepareRepository tries the job again that failed.
func (u *UI) prepareRepository(v *visit) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	host, err := v.preparer(r)
	if err != nil {
		return err
	}
	if host == "" {
		return v.showRepository(http.StatusConflict, nil, refusal("Not tried", "No online host has a schedule here. Start one, or give one a schedule."), nil)
	}
	operation := "init"
	if r.Existing {
		operation = "identify"
	}
	job, err := send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+string(host)+"/jobs", api.JobCreate{Operation: operation, RepositoryId: r.Id})
	if err != nil {
		banner, err := filled(nil).refused(err)
		if err != nil {
			return err
		}
		return v.showRepository(http.StatusConflict, nil, banner, nil)
	}
	return v.goTo("/jobs/" + string(job.Id))
}

// preparer finds the host that tried before or, where that one is gone, an online
// one with a schedule at the repository; empty when there is none.
func (v *visit) preparer(r api.Repository) (api.Id, error) {
	if r.InitJobId != "" {
		before, err := get[api.Job](v, "/api/v1/jobs/"+string(r.InitJobId), nil)
		if err == nil || !is(err, "not_found") {
			return before.HostId, err
		}
	}
	var found api.Id
	err := everything(url.Values{"presence": {"online"}}, func(q url.Values) (string, error) {
		hosts, err := get[api.HostPage](v, "/api/v1/hosts", q)
		if err != nil {
			return "", err
		}
		for _, h := range hosts.Hosts {
			schedules, err := v.schedulesOf(string(h.Id))
			if err != nil {
				return "", err
			}
			for _, s := range schedules {
				if s.RepositoryId == r.Id {
					found = h.Id
					return "", nil
				}
			}
		}
		return hosts.NextPageToken, nil
	})
	return found, err
}

func (u *UI) deleteRepository(v *visit) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	f, err := v.typed()
	if err != nil {
		return err
	}
	if f.raw("typed") != string(r.Name) {
		return v.showRepository(http.StatusUnprocessableEntity, nil, refusal("Not forgotten", "What you typed is not the repository's name."), nil)
	}
	if err := v.call(http.MethodDelete, v.repositoryPath(), nil, nil); err != nil {
		if is(err, "repository_in_use") {
			return v.showRepository(http.StatusConflict, nil, refusal("Not forgotten", "A schedule uses it. Delete or change that schedule first."), nil)
		}
		return err
	}
	return v.goTo("/repositories?done=repository-deleted")
}
