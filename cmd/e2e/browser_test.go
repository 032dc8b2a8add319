//go:build !windows

package e2e_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"restic-manager/web/webtest"
)

// tab is a tab of a real Chromium. What the page writes to its console fails the
// test: errors, refused connections, breaches of the content security policy,
// requests to another origin among them.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
}

// newTab opens a tab. Messages that hold one of the quiet words are expected.
func newTab(t *testing.T, browser context.Context, base string, quiet ...string) *tab {
	t.Helper()
	return &tab{t: t, ctx: webtest.Open(t, browser, quiet...), url: base}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\nat %s\n%s", err, b.path(), b.text())
	}
}

// visit goes to a path of the server.
func (b *tab) visit(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.url + path)) }

func read[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (b *tab) path() string {
	s, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.pathname"))
	return s
}

func (b *tab) text() string {
	s, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.querySelector('main')?.innerText ?? ''"))
	return s
}

// shows waits until the page's text holds the words.
func (b *tab) shows(words string) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%s shows %q", b.path(), words), 60*time.Second, func() bool { return strings.Contains(b.text(), words) })
}

// fill types into fields by their names.
func (b *tab) fill(values map[string]string) {
	b.t.Helper()
	for name, value := range values {
		field := fmt.Sprintf(`main [name=%q]`, name)
		b.do(chromedp.WaitVisible(chromedp.CSS(field)), chromedp.SetValue(chromedp.CSS(field), value))
	}
}

// press clicks the button or link in main that has the words, and waits for the
// page that comes. What is live may be read again between looking and clicking, which
// takes the mark away: then it looks again.
func (b *tab) press(words string) {
	b.t.Helper()
	for tries := 1; ; tries++ {
		mark := read[bool](b, fmt.Sprintf(`(() => {
			const all = [...document.querySelectorAll("main button, main a")].filter((e) => e.innerText.trim().split("\n")[0] === %q && !e.disabled && e.offsetParent);
			document.querySelector("[data-pressed]")?.removeAttribute("data-pressed");
			all[0]?.setAttribute("data-pressed", "");
			return all.length > 0;
		})()`, words))
		if !mark {
			b.t.Fatalf("%s has no %q to press\n%s", b.path(), words, b.text())
		}
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS("[data-pressed]")))
		cancel()
		if err == nil {
			break
		}
		if tries == 3 {
			b.t.Fatalf("press %q: %v\nat %s\n%s", words, err, b.path(), b.text())
		}
	}
	eventually(b.t, "the page that "+words+" leads to", 30*time.Second, func() bool {
		gone, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`!document.querySelector("[data-pressed]") && document.readyState === "complete"`))
		return err == nil && gone
	})
}

// axe is the checker of accessibility, as its project publishes it.
const axe = "testdata/axe-core-4.14.1/axe.min.js"

// accessible demands that the page has no serious fault of accessibility.
func (b *tab) accessible(theme string) {
	b.t.Helper()
	if !read[bool](b, `"axe" in window`) {
		checker, err := os.ReadFile(axe)
		if err != nil {
			b.t.Fatal(err)
		}
		read[bool](b, string(checker)+"; true")
	}
	faults, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations
		.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" ")))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range faults {
		b.t.Errorf("%s, %s: %s", b.path(), theme, f)
	}
}

// picture keeps screenshots in both themes and at both widths where
// RM_SCREENSHOTS names a folder, and demands everywhere that the page fits and has no
// serious fault of accessibility.
func (b *tab) picture(name string) {
	b.t.Helper()
	for _, width := range []int64{1280, 390} {
		b.do(chromedp.EmulateViewport(width, 900))
		if over := read[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			b.t.Errorf("%s is %d px wider than a window of %d", b.path(), over, width)
		}
		for _, theme := range []string{"light", "dark"} {
			read[string](b, fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme))
			if width == 1280 {
				b.accessible(theme)
			}
			folder := os.Getenv("RM_SCREENSHOTS")
			if folder == "" {
				continue
			}
			picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%d-%s.png", name, width, theme)), picture, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
	read[bool](b, `delete document.documentElement.dataset.theme`)
}

func TestAPersonGoesFromTheSetUpCodeToAProtectedHost(t *testing.T) {
	t.Parallel()
	w := newWorldBeforeSetUp(t, withServerArgs("--notify-loopback"))
	b := newTab(t, webtest.Browser(t), "http://"+w.addr, "401", "422")
	source := files(t, 2000)

	b.visit("/")
	b.shows("Set-up code")
	b.picture("setup")
	b.fill(map[string]string{"code": "wrong", "name": "ana", "password": password})
	b.press("Make the account")
	b.shows("not the code")
	b.fill(map[string]string{"code": w.setupCode(), "password": password})
	b.press("Make the account")
	b.shows("First, a place for backups")
	b.picture("dashboard-empty")

	b.press("Add a repository")
	b.fill(map[string]string{"name": "nas", "location": "ftp://nope"})
	b.press("Add the repository")
	b.shows("rest:")
	b.fill(map[string]string{"location": w.rest.Location("nas"), "username": w.rest.User, "append_secret": w.rest.Password})
	b.picture("repository-new")
	b.press("Add the repository")
	b.shows("Not saved yet")
	b.press("Show the sheet")
	b.shows("RESTIC_PASSWORD")
	b.picture("repository-sheet")
	b.press("I have saved it")
	b.shows("safe place")

	b.visit("/hosts/new")
	b.fill(map[string]string{"name": "web-1", "paths": source})
	b.picture("host-new")
	b.press("Add the host")
	b.shows("Waiting for the agent")
	b.picture("host-joining")
	line := read[string](b, `document.getElementById("line-linux").textContent`)
	h := w.pasted("web-1", line)
	b.shows("The agent is here")

	b.press("its schedules")
	b.shows("— run-now only —")
	b.shows("manual")
	b.picture("schedules")
	b.do(chromedp.Click(chromedp.CSS("main table form button")))
	b.shows("Back up on web-1")
	b.shows("Succeeded")
	b.shows("2\u202f000")
	eventually(t, "the log is shown", time.Minute, func() bool { return read[int](b, `document.querySelectorAll("job-log li").length`) > 0 })
	b.picture("job")
	if h.agent == nil {
		t.Fatal("no agent")
	}
	for path, name := range map[string]string{"/": "dashboard", "/hosts": "hosts", "/jobs": "jobs", "/snapshots": "snapshots", "/repositories": "repositories", "/audit": "audit", "/users": "users", "/account": "account"} {
		b.visit(path)
		b.picture(name)
	}
	b.visit("/hosts")
	b.do(chromedp.Click(chromedp.CSS("main tbody a.cover")))
	b.shows("It works.")
	b.picture("host")
	for _, part := range []string{"Snapshots", "Jobs", "Policy", "Settings"} {
		b.press(part)
		b.picture("host-" + strings.ToLower(part))
	}
	b.press("Overview")
	b.schedules(w)
	b.channels(source)
}

// schedules gives the first schedule a time, by the offer and then by the form.
func (b *tab) schedules(w *world) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`main form[action$="/daily"] button`)))
	b.shows("It runs every day at 02:00 from now on.")
	b.shows("every day at 02:00")
	b.do(chromedp.Click(chromedp.CSS("main tbody a.cover")))
	b.shows("The next runs, in")
	b.fill(map[string]string{"zone": "Europe/Paris", "jitter_s": "soon"})
	b.do(chromedp.Click(chromedp.CSS(`main button[data-cron="0 20 * * 1-5"]`)))
	eventually(b.t, "the time is read while it is typed", 20*time.Second, func() bool {
		return strings.Contains(read[string](b, `document.querySelector("cron-preview [data-runs]").textContent`), "20:00 +0")
	})
	b.press("Save")
	b.shows("Write a time with its unit")
	b.picture("schedule")
	b.fill(map[string]string{"jitter_s": "5 min", "objective_s": "3 d", "windows": "20:00-06:00"})
	b.press("Save")
	b.shows("The schedule was saved.")
	var list struct {
		Hosts []struct{ ID string }
	}
	w.api.must("POST", "/api/v1/sign-in", obj{"name": "ana", "password": password}, nil)
	w.api.must("GET", "/api/v1/hosts", nil, &list)
	var saved struct {
		Schedules []struct {
			Cron, Zone string
			Manual     bool
			Paths      []string
			Objective  int64 `json:"objective_s"`
			Options    struct {
				Jitter  int `json:"jitter_s"`
				Windows []struct{ From, To string }
			}
		}
	}
	w.api.must("GET", "/api/v1/hosts/"+list.Hosts[0].ID+"/schedules", nil, &saved)
	if s := saved.Schedules[0]; s.Cron != "0 20 * * 1-5" || s.Zone != "Europe/Paris" || s.Manual || len(s.Paths) != 1 || s.Objective != 3*86400 || s.Options.Jitter != 300 || len(s.Options.Windows) != 1 || s.Options.Windows[0].From != "20:00" {
		b.t.Errorf("the schedule is %+v", s)
	}
	b.visit("/")
	b.shows("The host is protected.")
	b.picture("dashboard-protected")
}

// channels makes a channel, tests it, has it told of a source that is gone, and tests
// it without its receiver.
func (b *tab) channels(source string) {
	b.t.Helper()
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Webhook-Signature") }))
	b.visit("/channels/new")
	b.shows("By which way?")
	b.press("Webhook")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	b.fill(map[string]string{"name": "chat", "setting.url": "not an address", "setting.secret": secret})
	b.press("Make the channel")
	b.shows("Not saved")
	b.fill(map[string]string{"setting.url": receiver.URL + "/hook", "setting.secret": secret}) // neither is shown again
	b.press("Make the channel")
	b.shows("The channel was made.")
	b.press("Send a test")
	b.shows("The test was sent")
	if len(got) != 1 || !strings.HasPrefix(<-got, "v1,") {
		b.t.Error("the receiver was not told, or not signed")
	}
	b.picture("channel")
	b.alert(source, got)
	b.visit("/channels")
	b.do(chromedp.Click(chromedp.CSS("main table a.cover")))
	b.shows("What was sent")
	receiver.Close()
	b.press("Send a test")
	b.shows("The test did not get through")
	for path, name := range map[string]string{"/channels": "channels", "/alerts": "alerts", "/alerts/rules": "alert-rules"} {
		b.visit(path)
		b.picture(name)
	}
}

// alert lets a source vanish, and looks after what comes of it.
func (b *tab) alert(source string, got <-chan string) {
	b.t.Helper()
	b.visit("/hosts")
	b.do(chromedp.Click(chromedp.CSS("main tbody a.cover")))
	b.shows("Protection")
	b.do(chromedp.Click(chromedp.CSS(`main .tabs a[href$="/schedules"]`)))
	b.shows("Add a schedule")
	b.do(chromedp.Click(chromedp.CSS("main tbody a.cover")))
	b.shows("The next runs, in")
	b.fill(map[string]string{"paths": source + "\n" + source + "-gone"})
	b.press("Save")
	b.shows("The schedule was saved.")
	b.visit("/hosts")
	b.do(chromedp.Click(chromedp.CSS("main td.act form button")))
	b.shows("Back up on web-1")
	b.shows("Run again") // it has ended
	b.picture("job-warning")
	b.visit("/")
	b.shows("web-1: a source was not there")
	b.picture("dashboard-alert")
	b.press("Acknowledge")
	b.shows("Acknowledged.")
	b.visit("/alerts")
	b.shows("Acknowledged by ana")
	eventually(b.t, "the channel is told", 60*time.Second, func() bool { return len(got) > 0 })
	b.do(chromedp.Click(chromedp.CSS("main .attention a")))
	b.shows("What it touches")
	b.picture("alert")
	b.fill(map[string]string{"note": "moved on purpose"})
	b.press("Resolve by hand")
	b.shows("Resolved.")
	b.visit("/alerts?state=resolved")
	b.shows("moved on purpose")
}

// pasted pastes the line that a page has shown and starts the agent.
func (w *world) pasted(name, line string) *host {
	w.t.Helper()
	h := &host{w: w, dir: filepath.Join(w.t.TempDir(), name)}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	h.env = agentEnv(h.dir, w.bins.Restic)
	h.paste(line)
	h.agent = start(w.t, "agent "+name, h.env, filepath.Join(programs, "restic-manager-agent"), "run", "--first-contact", "0s")
	return h
}
