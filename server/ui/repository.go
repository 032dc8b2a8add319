package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

type repositoryRow struct {
	Repository api.Repository
	State      web.State
	Next       string // what to do first; empty when it is healthy
	Check      web.Fact
	Read       string // the share of its data that checks have read lately
	Prune      web.Fact
	Who        string
	Full       string // when its storage is full
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
		view.Rows = append(view.Rows, repositoryRowOf(r, u.now()))
	}
	if len(view.Rows) == 0 {
		view.Empty = &web.Empty{Title: "No repositories yet", Text: "A repository is where backups go, normally a rest-server of yours.", Action: web.Link{Label: "Add a repository", Href: "/repositories/new"}}
	}
	return v.show(http.StatusOK, "repositories", view)
}

func repositoryRowOf(r api.Repository, now time.Time) repositoryRow {
	h, known := healthOf(r, nil, now), healthNow(r)
	row := repositoryRow{Repository: r, State: h.State, Check: lastly(known.LastCheck, known.NextCheckAt, now), Prune: lastly(known.LastPrune, known.NextPruneAt, now), Who: string(r.Maintenance.HostName)}
	if r.State != api.RepositoryStateReady {
		row.Check.Note, row.Prune.Note = notBefore, notBefore
	}
	if share := r.Health.ReadShare; share > 0 {
		row.Read = percent(share)
	}
	if full := r.Health.FullAt; !full.IsZero() {
		row.Full = fullIn(full, now)
	}
	if h.Open > 0 {
		row.Next = briefly(h.Findings[0].Text)
		if n := h.Open - 1; n > 0 {
			row.Next += fmt.Sprintf(" %d more.", n)
		}
	}
	return row
}

// briefly is a sentence without restic's own words, which the repository's page has.
func briefly(text string) string {
	if plain, _, has := strings.Cut(text, " (restic: "); has {
		return plain + "."
	}
	return text
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

// repositoryFrame is what every tab of a repository has.
type repositoryFrame struct {
	web.Shell
	Repository api.Repository
	State      web.State
	Tabs       []web.Tab
	Prefix     string // /repositories/ID
	Health     health
	Locks      lockView
	Refused    *web.Banner
	Reclaim    web.Dialog
}

func (v *visit) repositoryFrame(tab string) (repositoryFrame, error) {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return repositoryFrame{}, err
	}
	shell, err := v.shell(string(r.Name), web.Crumb{Label: "Repositories", Href: "/repositories"}, web.Crumb{Label: string(r.Name)})
	if err != nil {
		return repositoryFrame{}, err
	}
	f := repositoryFrame{Shell: shell, Repository: r, Prefix: at(r, ""), Reclaim: reclaimDialog(r)}
	if f.Locks, err = v.locksOf(r); err != nil {
		return f, err
	}
	var locks []api.RepositoryLock
	for _, l := range f.Locks.Rows {
		locks = append(locks, l.RepositoryLock)
	}
	f.Health = healthOf(r, locks, v.u.now())
	f.State = f.Health.State
	for _, t := range []web.Tab{
		{Label: "Overview", Href: f.Prefix},
		{Label: "Maintenance", Href: f.Prefix + "/maintenance"},
		{Label: "Retention", Href: f.Prefix + "/retention"},
		{Label: "Settings", Href: f.Prefix + "/settings"},
	} {
		t.Current = t.Label == tab
		if t.Current {
			f.Address = t.Href
		}
		if t.Label != "Settings" || shell.User.May("admin") {
			f.Tabs = append(f.Tabs, t)
		}
	}
	return f, nil
}

// repositoryForm is the frame of a tab with a form, filled in or as it was sent back.
func (v *visit) repositoryForm(tab string, f *form, refused *web.Banner) (repositoryFrame, *form, error) {
	frame, err := v.repositoryFrame(tab)
	frame.Refused = refused
	if f == nil {
		f = filled(nil)
	}
	return frame, f, err
}

type repositoryView struct {
	repositoryFrame
	Facts    []web.Fact
	Hold     *hold
	Chart    *sizeChart
	Jobs     []api.Job
	Sheet    *sheetView
	OwnPass  web.Field
	AskOwn   bool      // the sheet is shown for OwnPass alone
	Depth    web.Field // of a check
	CanRetry bool
}

type sheetView struct{ Text web.Copy }

func (u *UI) repository(v *visit) error { return v.showRepository(http.StatusOK, nil, nil) }

func (v *visit) repositoryPath() string {
	return "/api/v1/repositories/" + url.PathEscape(v.param("repository"))
}

func (v *visit) showRepository(status int, refused *web.Banner, sheet *sheetView) error {
	frame, err := v.repositoryFrame("Overview")
	if err != nil {
		return err
	}
	frame.Refused = refused
	r := frame.Repository
	view := repositoryView{
		repositoryFrame: frame, Sheet: sheet, Depth: depths(r), Facts: repositoryFacts(r, frame.Locks.SeenAt, v.u.now()), CanRetry: r.State == api.RepositoryStateFailed,
		AskOwn:  r.SheetSaved || !r.PasswordExchangedAt.IsZero(),
		OwnPass: web.Field{Name: "own_password", Label: "Your own password", Type: "password", Autocomplete: "current-password", Hint: "Asked again: the sheet holds the password of a repository in use."},
	}
	jobs, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"repository_id": {string(r.Id)}, "page_size": {"8"}})
	if err != nil {
		return err
	}
	view.Jobs = jobs.Jobs
	if view.Hold, err = v.holdOf(r); err != nil {
		return err
	}
	if view.Chart, err = v.sizes(r); err != nil {
		return err
	}
	return v.show(status, "repository", view)
}

func (u *UI) sheet(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	s, err := send[api.RecoverySheet](v, http.MethodPost, v.repositoryPath()+"/recovery-sheet", api.RecoverySheetRequest{OwnPassword: f.raw("own_password")})
	if is(err, "reauth_required") {
		return v.showRepository(http.StatusForbidden, refusal("Not shown", "Type your own password to see the sheet again."), nil)
	}
	if err != nil {
		return err
	}
	return v.showRepository(http.StatusOK, nil, &sheetView{Text: web.Copy{ID: "sheet", Text: s.Text, Label: "the recovery sheet", Lines: true}})
}

func (u *UI) sheetSaved(v *visit) error {
	if err := v.call(http.MethodPost, v.repositoryPath()+"/recovery-sheet/saved", nil, nil); err != nil {
		return err
	}
	return v.goTo("/repositories/" + v.param("repository") + "?done=sheet-saved")
}

// prepareRepository tries the job again that failed.
func (u *UI) prepareRepository(v *visit) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	host, there, err := v.preparer(r)
	if err != nil {
		return err
	}
	if host == "" {
		return v.showRepository(http.StatusConflict, refusal("Not tried", "No online host has a schedule here. Start one, or give one a schedule."), nil)
	}
	operation := "init"
	if r.Existing || there {
		operation = "identify"
	}
	job, err := send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+string(host)+"/jobs", api.JobCreate{Operation: operation, RepositoryId: r.Id})
	if err != nil {
		banner, err := filled(nil).refused(err)
		if err != nil {
			return err
		}
		return v.showRepository(http.StatusConflict, banner, nil)
	}
	return v.goTo("/jobs/" + string(job.Id))
}

// preparer finds the host that tried before or, where that one is gone, an online
// one with a schedule at the repository; empty when there is none. there tells whether
// the one before has found a repository, so that the next has to say whose it is.
func (v *visit) preparer(r api.Repository) (host api.Id, there bool, err error) {
	if r.InitJobId != "" {
		before, err := get[api.Job](v, "/api/v1/jobs/"+string(r.InitJobId), nil)
		if err == nil || !is(err, "not_found") {
			return before.HostId, before.Outcome != nil && before.Outcome.Code == "repo_exists", err
		}
	}
	err = everything(url.Values{"presence": {"online"}}, func(q url.Values) (string, error) {
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
					host = h.Id
					return "", nil
				}
			}
		}
		return hosts.NextPageToken, nil
	})
	return host, false, err
}
