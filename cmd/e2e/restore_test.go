//go:build !windows

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"restic-manager/web/webtest"
)

// keys presses keys one after another, as a person without a mouse.
func (b *tab) keys(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// until waits for an expression to become true on the page.
func (b *tab) until(expression string) {
	b.t.Helper()
	eventually(b.t, b.path()+": "+expression, 60*time.Second, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && ok
	})
}

// focus goes to an element, as Tab does after some time.
func (b *tab) focus(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%q)", selector))
	read[bool](b, fmt.Sprintf("(document.querySelector(%q).focus(), true)", selector))
}

// Yesterday's file is found in a snapshot that nobody has looked at before, told by a dry
// run, restored, and is what it was; and what changed since is seen. By keyboard alone,
// with the real server, agent, restic, rest-server and browser.
func TestYesterdaysFileComesBackAndWhatChangedIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := files(t, 200)
	repository := w.addRepository("nas", repositorySpec{})
	h := w.addHost("web-1", repository, []string{source})
	h.backUp("succeeded")
	changed, gone, added := filepath.Join(source, "d03", "file 3.txt"), filepath.Join(source, "d04", "file 4.txt"), filepath.Join(source, "d05", "new <b>.txt")
	yesterday, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{changed: "spoiled today\n", added: "made today\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	h.backUp("succeeded")

	b := newTab(t, webtest.Browser(t), "http://"+w.addr, "401", "422", "409")
	b.visit("/sign-in")
	b.fill(map[string]string{"name": "admin", "password": password})
	b.press("Sign in")
	b.visit("/hosts/" + h.id + "/snapshots")
	b.picture("restore-snapshots")
	b.focus("main tbody tr:nth-child(2) a.cover")
	b.keys(kb.Enter)
	b.until(`location.pathname.includes("/snapshots/") && document.querySelector(".tree[role=tree] li")`) // listed by looking at it
	b.picture("restore-snapshot")

	b.focus("#find")
	b.do(chromedp.SendKeys(chromedp.CSS("#find"), "file 3.txt"))
	b.until(`document.querySelectorAll(".tree li").length === 1 && document.querySelector(".tree label").textContent.endsWith("/file 3.txt")`)
	b.keys(kb.ArrowDown, " ")
	b.until(`document.querySelector("main [data-picked]").textContent.startsWith("1 file, ")`)
	b.focus("#restore .btn.primary")
	b.keys(kb.Enter)
	b.until(`location.pathname.endsWith("/restore") && document.querySelector("[data-paths]")?.textContent.endsWith("/file 3.txt")`)
	b.picture("restore-wizard")
	b.focus("#f-verify")
	b.keys(" ")
	b.focus("button[value=dry]")
	b.keys(kb.Enter)
	b.shows("Dry run agrees")
	b.picture("restore-dry")
	b.focus("button[value=run]")
	b.keys(kb.Enter)
	b.until(`location.pathname.startsWith("/jobs/")`)
	b.shows("Everything is back")
	b.picture("restore-job")

	got, err := os.ReadFile(filepath.Join(w.restoredTo(filepath.Base(b.path())), changed))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(yesterday) {
		t.Errorf("the file has %q, want yesterday's", got)
	}

	b.visit("/hosts/" + h.id + "/snapshots")
	for _, row := range []string{"1", "2"} {
		b.focus("main tbody tr:nth-child(" + row + ") input")
		b.keys(" ")
	}
	b.focus("form.comparing button")
	b.keys(kb.Enter)
	b.until(`location.pathname.startsWith("/jobs/")`)
	for _, words := range []string{changed, gone, added, "removed", "added", "changed"} {
		b.shows(words)
	}
	b.picture("compared")
	b.focus("#f-only")
	read[bool](b, `(document.querySelector("#f-only").value = "removed", true)`)
	b.press("Filter")
	b.until(`document.querySelectorAll("#rows tbody tr").length === 1`)
	b.focus("#rows tbody tr .actions a")
	b.keys(kb.Enter)
	b.until(fmt.Sprintf(`location.pathname.endsWith("/restore") && document.querySelector("[data-paths]")?.textContent === %q`, gone))
}

// Names that a page or a form would change, if it could: what is picked comes back, and the dry run
// says before that it will.
func TestFilesWithLineEndsInTheirNamesComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := files(t, 20)
	names := []string{"two\nlines", "carriage\rreturn", "both\r\n50%0A"}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(source, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := w.addHost("web-1", w.addRepository("nas", repositorySpec{}), []string{source})
	h.backUp("succeeded")

	b := newTab(t, webtest.Browser(t), "http://"+w.addr, "401", "422", "409")
	b.visit("/sign-in")
	b.fill(map[string]string{"name": "admin", "password": password})
	b.press("Sign in")
	b.visit("/hosts/" + h.id + "/restore")
	for i, shown := range []string{"two␊lines", "carriage␍return", "both␍␊50%0A"} {
		row := fmt.Sprintf(`[...document.querySelectorAll(".tree[role=tree] li")].find((row) => row.querySelector("label").textContent.endsWith(%q))`, shown)
		b.until(row)
		read[bool](b, row+`.querySelector("input").click() ?? true`)
		b.until(fmt.Sprintf(`document.querySelectorAll("[data-picks] input").length === %d`, i+1))
	}
	b.press("Dry run")
	b.shows("Dry run agrees")
	b.until(`document.querySelector(".tree[role=tree]") && document.querySelectorAll("[data-picks] input").length === 3`)
	read[bool](b, `document.querySelector("button[value=run]").click() ?? true`)
	b.until(`location.pathname.startsWith("/jobs/")`)
	b.shows("Everything is back")
	at := w.restoredTo(filepath.Base(b.path()))
	for _, name := range names {
		if got, err := os.ReadFile(filepath.Join(at, source, name)); err != nil || string(got) != name {
			t.Errorf("%q came back as %q: %v", name, got, err)
		}
	}
}

// restoredTo is the folder that a restore says its files are in.
func (w *world) restoredTo(job string) string {
	w.t.Helper()
	var j struct {
		Outcome struct{ Facts json.RawMessage }
	}
	w.api.must("GET", "/api/v1/jobs/"+job, nil, &j)
	var facts struct {
		Target string `json:"target_path"`
	}
	if err := json.Unmarshal(j.Outcome.Facts, &facts); err != nil || facts.Target == "" {
		w.t.Fatalf("it does not say where the files are: %s", j.Outcome.Facts)
	}
	return facts.Target
}
