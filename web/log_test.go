package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"restic-manager/web/webtest"
)

const rows = `document.querySelectorAll("job-log .log li").length`

func TestTheLogFollowsItsEnd(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, rows+` === 40`)
	site.change(func() { site.lines = 70 })
	webtest.Until(t, tab, rows+` === 70`)
	webtest.Until(t, tab, `(l => l.scrollTop + l.clientHeight >= l.scrollHeight - 1)(document.querySelector("job-log .log"))`)
	site.change(func() { site.ended = true })
	webtest.Until(t, tab, `document.querySelector("job-log .log-foot").textContent === "Lines 1 to 70, complete."`)
}

func TestALogOfAMillionLinesKeepsTheDocumentSmall(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	site.lines, site.ended = 1_000_000, true
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `document.getElementById("L1000000") !== null`)
	for range 12 { // up, far beyond what the window holds
		first := webtest.Value[int](t, tab, `Number(document.querySelector("job-log .log li").id.slice(1))`)
		webtest.Value[bool](t, tab, `(document.querySelector("job-log .log").scrollTop = 0, true)`)
		webtest.Until(t, tab, fmt.Sprintf(`Number(document.querySelector("job-log .log li").id.slice(1)) < %d`, first))
		if n := webtest.Value[int](t, tab, rows); n > 3000 {
			t.Fatalf("%d lines are in the document", n)
		}
	}
	if dense := webtest.Value[bool](t, tab, `[...document.querySelectorAll("job-log .log li")].every((l, i, all) => !i || l.id.slice(1) - all[i - 1].id.slice(1) === 1)`); !dense {
		t.Error("lines are missing or twice after reading back")
	}
	for range 8 { // and down again
		last := webtest.Value[int](t, tab, `Number(document.querySelector("job-log .log ol").lastElementChild.id.slice(1))`)
		if last == 1_000_000 {
			break
		}
		webtest.Value[bool](t, tab, `(l => (l.scrollTop = l.scrollHeight, true))(document.querySelector("job-log .log"))`)
		webtest.Until(t, tab, fmt.Sprintf(`Number(document.querySelector("job-log .log ol").lastElementChild.id.slice(1)) > %d`, last))
	}
	if dense := webtest.Value[bool](t, tab, `[...document.querySelectorAll("job-log .log li")].every((l, i, all) => !i || l.id.slice(1) - all[i - 1].id.slice(1) === 1)`); !dense {
		t.Error("lines are missing or twice after reading on")
	}
	webtest.Value[bool](t, tab, `(location.hash = "#L123456", true)`)
	webtest.Until(t, tab, `document.querySelector("#L123456.here") !== null`)
	if n := webtest.Value[int](t, tab, rows); n > 3000 {
		t.Errorf("%d lines are in the document", n)
	}
}

func TestTheLogIsFilteredFromItsFirstLine(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	site.lines, site.ended = 100_000, true
	site.line = func(n int) (string, string) {
		if n%25_000 == 1 {
			return "stderr", fmt.Sprintf("Permission denied: file %d", n)
		}
		return "stdout", "fine"
	}
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `document.getElementById("L100000") !== null`)
	webtest.Do(t, tab, chromedp.SendKeys(chromedp.CSS(`job-log input[type=search]`), "DENIED: file 5"))
	webtest.Until(t, tab, `document.querySelector("job-log .log-foot").textContent === "1 of 100000 lines."`)
	if got := webtest.Value[string](t, tab, `document.querySelector("job-log .log mark").textContent`); got != "denied: file 5" {
		t.Errorf("marked %q", got)
	}
	webtest.Do(t, tab, chromedp.Evaluate[chromedp.Void](`(f => { f.value = ""; f.dispatchEvent(new Event("input")) })(document.querySelector("job-log input[type=search]"))`))
	webtest.Until(t, tab, `document.getElementById("L100000") !== null`)
	webtest.Do(t, tab, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("job-log .check input")[2].click()`))
	webtest.Until(t, tab, `document.querySelector("job-log .log-foot").textContent === "4 of 100000 lines."`)
}

func TestLogLinesAreTextWhateverTheyHold(t *testing.T) {
	long := strings.Repeat("x", 9000)
	texts := []string{hostile, "a\u202eb", "\x1b[31mred", "nul\x00", "tab\there", long}
	shown := []string{hostile, "a⟨U+202E⟩b", "␛[31mred", "nul␀", "tab\there", long[:2000] + " … all 9000 characters"}
	site, browser := newSite(t), webtest.Browser(t)
	site.lines, site.ended = len(texts), true
	site.line = func(n int) (string, string) { return "stdout", texts[n-1] }
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, fmt.Sprintf(rows+` === %d`, len(texts)))
	for i, want := range shown {
		if got := webtest.Value[string](t, tab, fmt.Sprintf(`document.querySelector("#L%d > span").textContent`, i+1)); got != want {
			t.Errorf("line %d is shown as %.60q, want %.60q", i+1, got, want)
		}
	}
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`#L6 button`)))
	webtest.Until(t, tab, `document.querySelector("#L6 > span").textContent.length === 9000`)
}

func TestProgressIsKeptAndAChangedStateReadsThePageAgain(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `document.documentElement.dataset.live === "live"`)
	site.change(func() {
		site.job["progress"] = map[string]any{
			"at": renderedAt, "percent": 71.25, "phase": "trying the storage again\u202e", "eta_s": 540, "bytes_done": 1 << 30, "bytes_total": 3 << 30, "files_done": 812304,
			"bytes_per_s": 176160768, "current_files": []string{"/srv/" + hostile, "/srv/\u202egnp.exe"},
		}
	})
	webtest.Until(t, tab, `document.querySelector("job-progress progress").value === 71.25`)
	want := "71.3 %|trying the storage again⟨U+202E⟩|about 9 min left|1.0 GiB of 3.0 GiB|812 304|168 MiB/s|/srv/" + hostile + "/srv/⟨U+202E⟩gnp.exe"
	got := webtest.Value[string](t, tab, `["percent", "phase", "left", "bytes", "files", "speed", "current"].map((n) => document.querySelector("[data-show=" + n + "]").textContent).join("|")`)
	if got = strings.NewReplacer(nbsp, " ", thinNbsp, " ").Replace(got); got != want {
		t.Errorf("shown is %q\nwant     %q", got, want)
	}
	site.change(func() {
		site.job["state"] = "finished"
		site.view.Hosts[0].State.Word = "All done"
	})
	webtest.Until(t, tab, `document.querySelector("#hosts").textContent.includes("All done")`)
}
