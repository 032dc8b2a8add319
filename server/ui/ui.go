package ui

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"restic-manager/server/api"
	"restic-manager/web"
)

// Options are what the pages work with.
type Options struct {
	API     http.Handler // answers /api/v1
	Version string       // the program's
	Logger  *slog.Logger
	Now     func() time.Time
}

// UI answers everything that is not the contract: pages, forms and static files.
type UI struct {
	api     http.Handler
	version string
	log     *slog.Logger
	now     func() time.Time
	assets  *web.Assets
	pages   *web.Pages
}

// New parses every template; one that does not parse is an error here.
func New(o Options) (*UI, error) {
	assets, err := web.NewAssets()
	if err != nil {
		return nil, err
	}
	u := &UI{api: o.API, version: o.Version, log: o.Logger, now: o.Now, assets: assets}
	funcs := web.Funcs(assets, o.Now)
	maps.Copy(funcs, functions)
	if u.pages, err = web.NewPages(funcs); err != nil {
		return nil, err
	}
	return u, nil
}

// Mount adds the routes. None asks for a role by itself: what a page shows comes
// from the contract, which asks.
func (u *UI) Mount(r chi.Router) {
	r.Get(web.AssetPrefix+"*", u.assets.ServeHTTP)
	for _, route := range u.routes() {
		r.Method(route.method, route.pattern, u.handle(route.page))
	}
	r.NotFound(u.handle(func(v *visit) error { return &problem{Status: http.StatusNotFound, Code: "not_found"} }))
}

type route struct {
	method, pattern string
	page            func(*visit) error
}

// Patterns lists the routes as "GET /pattern", for the rule that each needs.
func (u *UI) Patterns() []string {
	list := []string{"GET " + web.AssetPrefix + "*"}
	for _, r := range u.routes() {
		list = append(list, r.method+" "+r.pattern)
	}
	return list
}

func (u *UI) routes() []route {
	return []route{
		{"GET", "/", u.dashboard},
		{"GET", "/setup", u.setupForm},
		{"POST", "/setup", u.setup},
		{"GET", "/sign-in", u.signInForm},
		{"POST", "/sign-in", u.signIn},
		{"POST", "/sign-out", u.signOut},
		{"POST", "/theme", u.theme},

		{"GET", "/hosts", u.hosts},
		{"GET", "/hosts/new", u.newHost},
		{"POST", "/hosts/new", u.createHost},
		{"GET", "/hosts/{host}", u.host},
		{"GET", "/hosts/{host}/joining", u.joining},
		{"POST", "/hosts/{host}/joining", u.rejoin},
		{"POST", "/hosts/{host}/run", u.runHost},
		{"GET", "/hosts/{host}/snapshots", u.hostSnapshots},
		{"GET", "/hosts/{host}/jobs", u.hostJobs},
		{"GET", "/hosts/{host}/policy", u.hostPolicy},
		{"GET", "/hosts/{host}/settings", u.hostSettings},
		{"POST", "/hosts/{host}/settings", u.saveHost},
		{"POST", "/hosts/{host}/delete", u.deleteHost},

		{"GET", "/hosts/{host}/schedules", u.schedules},
		{"GET", "/hosts/{host}/schedules/new", u.newSchedule},
		{"POST", "/hosts/{host}/schedules/new", u.createSchedule},
		{"GET", "/hosts/{host}/schedules/{schedule}", u.editSchedule},
		{"POST", "/hosts/{host}/schedules/{schedule}", u.saveSchedule},
		{"POST", "/hosts/{host}/schedules/{schedule}/run", u.runSchedule},
		{"POST", "/hosts/{host}/schedules/{schedule}/preview", u.previewSchedule},
		{"POST", "/hosts/{host}/schedules/{schedule}/daily", u.makeDaily},
		{"POST", "/hosts/{host}/schedules/{schedule}/delete", u.deleteSchedule},

		{"GET", "/repositories", u.repositories},
		{"GET", "/repositories/new", u.newRepository},
		{"POST", "/repositories/new", u.createRepository},
		{"GET", "/repositories/{repository}", u.repository},
		{"POST", "/repositories/{repository}/sheet", u.sheet},
		{"POST", "/repositories/{repository}/saved", u.sheetSaved},
		{"GET", "/repositories/{repository}/maintenance", u.maintenance},
		{"POST", "/repositories/{repository}/maintainer", u.saveMaintainer},
		{"POST", "/repositories/{repository}/maintenance-credential", u.saveMaintenanceCredential},
		{"POST", "/repositories/{repository}/maintenance-credential/delete", u.deleteMaintenanceCredential},
		{"POST", "/repositories/{repository}/plan", u.savePlan},
		{"POST", "/repositories/{repository}/start", u.startMaintenance},
		{"POST", "/repositories/{repository}/unlock", u.unlock},
		{"GET", "/repositories/{repository}/retention", u.retention},
		{"GET", "/repositories/{repository}/settings", u.repositorySettings},
		{"POST", "/repositories/{repository}/settings", u.saveRepository},
		{"POST", "/repositories/{repository}/credential", u.saveCredential},
		{"POST", "/repositories/{repository}/key", u.addKey},
		{"POST", "/repositories/{repository}/second-password/delete", u.forgetSecondPassword},
		{"POST", "/repositories/{repository}/second-password/use", u.useSecondPassword},
		{"POST", "/repositories/{repository}/prepare", u.prepareRepository},
		{"POST", "/repositories/{repository}/delete", u.deleteRepository},

		{"GET", "/jobs", u.jobs},
		{"GET", "/jobs/{job}", u.job},
		{"POST", "/jobs/{job}/cancel", u.cancelJob},
		{"POST", "/jobs/{job}/again", u.runAgain},
		{"GET", "/snapshots", u.snapshots},
		{"POST", "/compare", u.compare},
		{"GET", "/repositories/{repository}/snapshots/{snapshot}", u.snapshot},
		{"POST", "/repositories/{repository}/snapshots/{snapshot}/index", u.makeBrowsable},

		{"GET", "/restore", u.toRestore},
		{"POST", "/restore", u.toRestore},
		{"GET", "/hosts/{host}/restore", u.restore},
		{"POST", "/hosts/{host}/restore", u.restoreAct},

		{"GET", "/hosts/{host}/run", u.operations},
		{"GET", "/hosts/{host}/run/{operation}", u.operationForm},
		{"POST", "/hosts/{host}/run/{operation}", u.startOperation},
		{"GET", "/repositories/{repository}/run", u.operations},
		{"GET", "/repositories/{repository}/run/{operation}", u.operationForm},
		{"POST", "/repositories/{repository}/run/{operation}", u.startOperation},

		{"GET", "/alerts", u.alerts},
		{"GET", "/alerts/rules", u.alertRules},
		{"POST", "/alerts/rules", u.saveAlertRules},
		{"GET", "/alerts/{alert}", u.alert},
		{"POST", "/alerts/{alert}/acknowledge", u.acknowledgeAlert},
		{"POST", "/alerts/{alert}/silence", u.silenceAlert},
		{"POST", "/alerts/{alert}/resolve", u.resolveAlert},

		{"GET", "/channels", u.channels},
		{"GET", "/channels/new", u.newChannel},
		{"POST", "/channels/new", u.createChannel},
		{"GET", "/channels/{channel}", u.channel},
		{"POST", "/channels/{channel}", u.saveChannel},
		{"POST", "/channels/{channel}/test", u.testChannel},
		{"POST", "/channels/{channel}/delete", u.deleteChannel},

		{"GET", "/audit", u.audit},
		{"GET", "/users", u.users},
		{"POST", "/users", u.createUser},
		{"POST", "/users/{user}", u.saveUser},
		{"POST", "/users/{user}/delete", u.deleteUser},
		{"GET", "/settings", u.settings},
		{"GET", "/account", u.account},
		{"POST", "/account", u.changePassword},
	}
}

// visit is one request for a page: what came, and the contract as this viewer.
type visit struct {
	u *UI
	w http.ResponseWriter
	r *http.Request

	counts api.Overview // read by shell, for the menu and the dashboard
}

// handle runs a page; an error becomes a page too, or a way to the sign-in.
func (u *UI) handle(page func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{u: u, w: w, r: r}
		h := w.Header()
		h.Set("Content-Security-Policy", web.ContentSecurityPolicy) //guard:page-csp
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		}
		if err := page(v); err != nil {
			v.fail(err)
		}
	}
}

// show renders a page whole before the first byte, so that a template that fails
// is an error page and not half a page.
func (v *visit) show(status int, name string, view any) error {
	var page bytes.Buffer
	if err := v.u.pages.Render(&page, name, view); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = page.WriteTo(v.w) // the browser went away; nobody is left to tell
	return nil
}

// goTo answers a form that did its work.
func (v *visit) goTo(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// param gives a part of the path.
func (v *visit) param(name string) string { return chi.URLParam(v.r, name) }

// query gives a value of the address.
func (v *visit) query(name string) string { return v.r.URL.Query().Get(name) }
