package web

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var (
	renderedAt = time.Date(2026, 11, 21, 3, 14, 22, 0, time.UTC)
	hostile    = `<img src=x onerror=alert(1)>"'&`
)

type samplePage struct {
	Shell
	State                       State
	States                      []State
	Started, Never              time.Time
	Tabs                        []Tab
	Facts                       []Fact
	Hosts                       []sampleHost
	Pager                       Pager
	Name, Manual, Cron          Field
	Paths, Repository, Password Field
	Line, Sheet                 Copy
	Empty                       Empty
	Cancel, Delete              Dialog
}

type sampleHost struct {
	Name, Tag string
	State     State
	LastGood  time.Time
	Stored    int64
}

type doorPage struct {
	Plain
	Name, Password Field
}

func sampleDoor() doorPage {
	return doorPage{
		Plain:    Plain{Title: "Sign in", Path: "/sign-in", Version: "1.2.3"},
		Name:     Field{Name: "name", Label: "Name", Autocomplete: "username", Required: true, Autofocus: true},
		Password: Field{Name: "password", Label: "Password", Type: "password", Value: "hunter2", Autocomplete: "current-password", Error: "Name or password is wrong."},
	}
}

func sampleView() samplePage {
	running, ok := State{Run, "run", "Running"}, State{OK, "ok", "Protected"}
	return samplePage{
		Shell: Shell{
			Plain: Plain{Title: "Backup of web-1, system", Path: "/jobs/0198f3c2?tab=log"},
			Nav: []NavItem{
				{Label: "Dashboard", Href: "/"},
				{Label: "Hosts", Href: "/hosts", Count: "14"},
				{Label: "Jobs", Href: "/jobs", Count: "2 running", Tone: Run, Current: true},
				{Label: "Repositories", Href: "/repositories", Count: "1 open", Tone: Risk},
			},
			User: Account{Name: "ana", Role: "admin"}, RenderedAt: renderedAt, Cursor: 42,
			Crumbs: []Crumb{{Label: "Jobs", Href: "/jobs"}, {Label: "web-1", Href: "/hosts/1"}, {Label: "0198f3c2", Mono: true}},
			Flash:  &Banner{State: State{Warn, "warn", "Warning"}, Text: "2 files could not be read so far; the snapshot will be made without them.", Link: Link{"See line 9", "#L9"}},
		},
		State: running,
		States: []State{
			ok, running, {Warn, "warn", "Warning"}, {Risk, "risk", "At risk"}, {Risk, "refused", "Rejected"}, {Idle, "idle", "Away"},
			{Idle, "none", "Not scheduled"}, {Idle, "wait", "Waiting"}, {Run, "stop", "Stopping"}, {Idle, "cancel", "Cancelled"}, {Warn, "lost", "Lost"},
		},
		Started: renderedAt.Add(-14 * time.Minute),
		Tabs:    []Tab{{Label: "Overview", Href: "/a"}, {Label: "Schedules", Href: "/b", Count: "2", Current: true}, {Label: "Snapshots", Href: "/c"}},
		Facts:   []Fact{{"Read", "148.6", "GiB", "of 238.2 GiB"}, {"Files", "812 304", "", "of 1 302 118"}, {"Speed", "168", "MiB/s", "177 MiB/s on average"}},
		Hosts: []sampleHost{
			{"web-1", "manual", running, renderedAt.Add(-26 * time.Hour), 255_000_000_000},
			{"db-2", "", State{Risk, "risk", "At risk"}, time.Time{}, 0},
			{hostile, "", ok, renderedAt.Add(-3 * time.Second), 1536},
		},
		Pager:      Pager{Note: "page of 50", First: "/hosts", Next: "/hosts?page_token=abc"},
		Name:       Field{Name: "name", Label: "Name", Value: hostile, Error: "A name has letters, digits and dashes. Take html-1, for example.", Hint: "As people call it."},
		Manual:     Field{Name: "manual", Label: "Manual schedule", Hint: "Runs only when somebody presses Run now.", Hides: true},
		Cron:       Field{Name: "cron", Label: "Cron", Value: "0 3 * * *", Mono: true, Hint: "Every day at 03:00"},
		Paths:      Field{Name: "paths", Label: "Paths", Value: "/etc\n/srv", Mono: true, Hint: "One a line."},
		Repository: Field{Name: "repository", Label: "Repository", Value: "b", Options: []Option{{"a", "nas-main"}, {"b", "offsite"}}},
		Password:   Field{Name: "password", Label: "Password", Type: "password", Value: "hunter2", Autocomplete: "new-password", Placeholder: "made when left out"},
		Line:       Copy{ID: "line", Label: "the line for Linux", Text: "sudo restic-manager-agent enroll https://backup.test rme_x1y2z3"},
		Sheet:      Copy{ID: "sheet", Label: "the commands", Text: "restic -r rest:https://nas.test/web-1/ snapshots\nrestic restore latest", Lines: true},
		Empty:      Empty{"No snapshots yet", "The first backup makes one. Press Run now on a schedule.", Link{"Go to schedules", "/s"}},
		Cancel:     Dialog{ID: "cancel", Title: "Cancel this backup?", Text: "restic stops within 75 s. No snapshot is made.", Action: "/jobs/1/cancel", Confirm: "Cancel backup", Keep: "Keep running", Danger: true},
		Delete:     Dialog{ID: "delete", Title: "Delete web-1.test?", Text: "Its schedules go with it; its snapshots stay.", Action: "/hosts/1/delete", Confirm: "Delete host", Keep: "Keep", Danger: true, Typed: "web-1.test", Hidden: []Hidden{{"version", "3"}}},
	}
}

// samplePages parses the real layouts and partials with the pages of testdata.
func samplePages(t *testing.T) (*Pages, *Assets) {
	t.Helper()
	assets, err := NewAssets()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := newPages(sampleFiles(t), Funcs(assets, func() time.Time { return renderedAt }))
	if err != nil {
		t.Fatal(err)
	}
	return pages, assets
}

// sampleFiles are the layouts and the partials that are described by view.go, with
// the pages of testdata. Partials of other views need functions from elsewhere.
func sampleFiles(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, pattern := range []string{"templates/layout/*.html", "templates/partial/*.html", "testdata/page/*.html"} {
		for _, file := range must(filepath.Glob(pattern)) {
			_, name, _ := strings.Cut(file, "/")
			files[name] = &fstest.MapFile{Data: must(os.ReadFile(file))}
		}
	}
	for _, of := range []string{"list", "alert", "offers", "strip", "result", "tree", "repository"} { // of the contract's types
		delete(files, "partial/"+of+".html")
	}
	return files
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func render(t *testing.T, pages *Pages, name string, view any) string {
	t.Helper()
	var out bytes.Buffer
	if err := pages.Render(&out, name, view); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEveryPartialRendersItsView(t *testing.T) {
	pages, assets := samplePages(t)
	html := render(t, pages, "sample", sampleView())
	css := must(assets.URL("tokens.css"))
	for _, want := range []string{
		`<html lang="en">`,
		`<title>Backup of web-1, system · restic-manager</title>`,
		`<link rel="stylesheet" href="` + css + `">`,
		`<body data-cursor="42">`,
		`<a href="/jobs" aria-current="page">Jobs<span class="count run">2 running</span></a>`,
		`<input type="hidden" name="back" value="/jobs/0198f3c2?tab=log">`,
		`<span class="state run pill"><svg class="glyph run" aria-hidden="true"><use class="turn" href="` + must(assets.URL("icons.svg")) + `#g-run-arc"/><use href="`,
		`<time datetime="2026-11-21T03:00:22Z" title="Sat 21 Nov 2026, 03:00:22 UTC" data-relative>14` + nbsp + `min ago</time>`,
		`<span class="quietly">never</span>`,
		`<data value="255000000000" title="255` + thinNbsp + `000` + thinNbsp + `000` + thinNbsp + `000 bytes">237` + nbsp + `GiB</data>`,
		`aria-describedby="f-name-hint f-name-error" aria-invalid="true"`,
		`<p class="error" id="f-name-error">`,
		`<option value="b" selected>offsite</option>`,
		`<a class="btn small" rel="next" href="/hosts?page_token=abc">`,
		`pattern="web-1\.test"`,
		`<li aria-current="page" class="mono">0198f3c2</li>`,
		`data-copy="line" aria-label="Copy the line for Linux"`,
		`<input type="hidden" name="version" value="3">`,
		`data-hides id="f-manual"`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, not := range []string{hostile, "hunter2", " onerror=\"", "ZgotmplZ", "<no value>", "style=", " onclick", "javascript:"} {
		if strings.Contains(html, not) {
			t.Errorf("the page has %s", not)
		}
	}
}

func TestTheDoorRendersWithoutAShell(t *testing.T) {
	pages, _ := samplePages(t)
	view := sampleDoor()
	view.Theme = Dark
	html := render(t, pages, "door", view)
	for _, want := range []string{`<html lang="en" data-theme="dark">`, `value="dark" aria-pressed="true"`, `restic-manager 1.2.3`, `autofocus`, `name="name" autocomplete="username" required`} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, not := range []string{"hunter2", `class="menu"`, "Sign out"} {
		if strings.Contains(html, not) {
			t.Errorf("the page has %s", not)
		}
	}
}

func TestAPageThatDoesNotExistIsAnError(t *testing.T) {
	pages, _ := samplePages(t)
	if err := pages.Render(&bytes.Buffer{}, "nowhere", nil); err == nil {
		t.Error("rendered a page that does not exist")
	}
}

func TestRelativeTellsTimesAsPeopleDo(t *testing.T) {
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{
		{0, "just now"}, {-4 * time.Second, "just now"}, {59 * time.Second, "59 s ago"}, {61 * time.Second, "1 min ago"},
		{47 * time.Hour, "47 h ago"}, {49 * time.Hour, "2 d ago"}, {-5*time.Hour - time.Minute, "in 5 h"}, {61 * 24 * time.Hour, "21 Sep 2026"},
	} {
		if got := strings.ReplaceAll(Relative(renderedAt.Add(-c.ago), renderedAt), nbsp, " "); got != c.want {
			t.Errorf("%v ago is told as %q, want %q", c.ago, got, c.want)
		}
	}
}

func TestWhatIsToBeginIsNeverToldAsPast(t *testing.T) {
	for ahead, want := range map[time.Duration]string{-time.Hour: "due now", 0: "due now", 4 * time.Second: "due now", 6 * time.Second: "in 6 s", 5*time.Hour + time.Minute: "in 5 h"} {
		if got := strings.ReplaceAll(Due(renderedAt.Add(ahead), renderedAt), nbsp, " "); got != want {
			t.Errorf("%v ahead is told as %q, want %q", ahead, got, want)
		}
	}
}

func TestBytesTellsSizesInBinaryUnits(t *testing.T) {
	for _, c := range []struct {
		n    int64
		want string
	}{
		{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"}, {102348, "99.9 KiB"}, {102400, "100 KiB"}, {1048500, "1.0 MiB"},
		{255_000_000_000, "237 GiB"}, {math.MaxInt64, "8.0 EiB"}, {-1536, "–1.5 KiB"}, {math.MinInt64, "–8.0 EiB"},
	} {
		if got := strings.ReplaceAll(Bytes(c.n), nbsp, " "); got != c.want {
			t.Errorf("%d bytes are told as %q, want %q", c.n, got, c.want)
		}
	}
}

func TestDurationTellsTwoUnitsAtMost(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0.0 s"}, {1234 * time.Millisecond, "1.2 s"}, {42 * time.Second, "42 s"}, {90 * time.Second, "1 min 30 s"}, {29*time.Minute + 5*time.Second, "29 min"},
		{64 * time.Minute, "1 h 4 min"}, {2 * time.Hour, "2 h"}, {50 * time.Hour, "2 d 2 h"}, {-90 * time.Second, "–1 min 30 s"},
	} {
		if got := strings.ReplaceAll(Duration(c.d), nbsp, " "); got != c.want {
			t.Errorf("%v is told as %q, want %q", c.d, got, c.want)
		}
	}
}
