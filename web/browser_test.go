package web

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"restic-manager/web/webtest"
)

func TestPagesFitTheirWindowInBothThemes(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	for _, page := range []string{"sample", "door"} {
		for _, width := range []int64{1280, 390} {
			for _, theme := range []Theme{Light, Dark} {
				name := fmt.Sprintf("%s-%d-%s", page, width, theme)
				t.Run(name, func(t *testing.T) {
					tab := open(t, browser, site.URL+"/"+page)
					webtest.Do(t, tab, chromedp.EmulateViewport(width, 900))
					webtest.Value[string](t, tab, fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme))
					webtest.Until(t, tab, `"script" in document.documentElement.dataset && document.fonts.status === "loaded"`)
					if over := webtest.Value[int](t, tab, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
						t.Errorf("the page is %d px wider than its window", over)
					}
					if page == "sample" {
						webtest.Until(t, tab, `document.querySelectorAll("job-log li").length === 40`)
					}
					if dark := webtest.Value[bool](t, tab, `getComputedStyle(document.documentElement).colorScheme === "dark"`); dark != (theme == Dark) {
						t.Errorf("dark is %t", dark)
					}
					webtest.Keep(t, tab, name)
				})
			}
		}
	}
}

func TestAChangeShowsAndKeepsFocusAndTyping(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `document.documentElement.dataset.live === "live"`)
	webtest.Value[bool](t, tab, `(window.kept = document.querySelector("#hosts tbody tr:nth-child(2) button"), kept.focus(), true)`)
	webtest.Value[bool](t, tab, `(document.getElementById("f-cron").value = "typed", true)`)
	site.change(func() { site.view.Hosts[1].State = State{OK, "ok", "Protected again"} })
	webtest.Until(t, tab, `document.querySelector("#hosts").textContent.includes("Protected again")`)
	if !webtest.Value[bool](t, tab, `document.activeElement === kept && kept.isConnected`) {
		t.Error("the focus was lost")
	}
	if got := webtest.Value[string](t, tab, `document.getElementById("f-cron").value`); got != "typed" {
		t.Errorf("the field has %q", got)
	}
}

func TestAnUnreachableServerIsSaidAndForgotten(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample", "502")
	webtest.Until(t, tab, `document.querySelector("#live .state").textContent === "Live"`)
	site.change(func() { site.broken = true })
	webtest.Until(t, tab, `document.querySelector("#live .state").textContent === "Reconnecting"`)
	site.change(func() {
		site.broken = false
		site.view.Hosts[1].State.Word = "Back"
	})
	webtest.Until(t, tab, `document.querySelector("#live .state").textContent === "Live"`)
	webtest.Until(t, tab, `document.querySelector("#hosts").textContent.includes("Back")`)
}

func TestTwentyTabsOverHTTP1StayLive(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	var tabs []context.Context
	for range 20 {
		tabs = append(tabs, open(t, browser, site.URL+"/sample"))
	}
	for i, tab := range tabs {
		webtest.Until(t, tab, `document.documentElement.dataset.live === "live" && document.querySelectorAll("job-log li").length >= 40`)
		if webtest.Value[bool](t, tab, `document.hidden`) {
			t.Fatalf("tab %d is hidden: this would prove nothing", i)
		}
	}
	site.change(func() {
		site.view.Hosts[1].State.Word = "Everybody sees this"
		site.lines = 50
	})
	for _, tab := range tabs {
		webtest.Until(t, tab, `document.querySelector("#hosts").textContent.includes("Everybody sees this")`)
		webtest.Until(t, tab, `document.getElementById("L50") !== null`)
	}
	site.mu.Lock()
	defer site.mu.Unlock()
	if site.most["changes"] != 1 || site.most["all"] > 3 {
		t.Errorf("held at one time: %v, want one for changes and three at most", site.most)
	}
}

// hide makes a page believe that it is hidden, or shown again.
func hide(t *testing.T, tab context.Context, hidden bool) {
	t.Helper()
	webtest.Value[bool](t, tab, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {value: %t, configurable: true}), document.dispatchEvent(new Event("visibilitychange")))`, hidden))
}

func TestAHiddenPageAsksNothingAndCatchesUp(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `document.documentElement.dataset.live === "live"`)
	site.until(t, func() bool { return site.held["changes"] == 1 && site.held["job"] == 1 && site.held["log"] == 1 })
	hide(t, tab, true)
	site.until(t, func() bool { return sum(site.held) == 0 })
	asked := seen(site, func() int { return site.asked })
	site.change(func() { site.view.Hosts[1].State.Word = "Seen later" })
	if webtest.Value[bool](t, tab, `new Promise((done) => setTimeout(() => done(document.body.textContent.includes("Seen later")), 3000))`) {
		t.Error("a hidden page was read again")
	}
	if n := seen(site, func() int { return site.asked }); n != asked {
		t.Errorf("a hidden page asked %d times", n-asked)
	}
	hide(t, tab, false)
	webtest.Until(t, tab, `document.querySelector("#hosts").textContent.includes("Seen later")`)
}

func TestAnotherPageTakesOverFromOneThatIsHidden(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	first := open(t, browser, site.URL+"/sample")
	site.until(t, func() bool { return site.held["changes"] == 1 })
	second := open(t, browser, site.URL+"/sample")
	webtest.Until(t, second, `document.documentElement.dataset.live === "live"`)
	hide(t, first, true)
	site.change(func() { site.view.Hosts[1].State.Word = "By the second" })
	webtest.Until(t, second, `document.querySelector("#hosts").textContent.includes("By the second")`)
	site.until(t, func() bool { return site.held["changes"] == 1 })
}

func TestThemeIsACookieThatTheServerReads(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `"script" in document.documentElement.dataset`)
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`button[name=theme][value=dark]`)))
	webtest.Until(t, tab, `document.documentElement.dataset.theme === "dark" && document.cookie === "theme=dark"`)
	webtest.Do(t, tab, chromedp.Navigate(site.URL+"/door"))
	if got := webtest.Value[string](t, tab, `document.documentElement.dataset.theme + document.querySelector("[aria-pressed=true]").value`); got != "darkdark" {
		t.Errorf("after loading again the theme is %s", got)
	}
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`button[name=theme][value=""]`)))
	webtest.Until(t, tab, `!("theme" in document.documentElement.dataset)`)
	if n := seen(site, func() int { return site.posted["/theme"] }); n != 0 {
		t.Errorf("the theme was posted %d times", n)
	}
}

func TestSlashGoesToTheSearchField(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `"script" in document.documentElement.dataset`)
	slash := `!document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true, cancelable: true}))`
	if !webtest.Value[bool](t, tab, slash) || !webtest.Value[bool](t, tab, `document.activeElement.id === "search"`) {
		t.Error("the key was not taken")
	}
	if webtest.Value[bool](t, tab, slash) {
		t.Error("the key was taken from somebody who types")
	}
	webtest.Do(t, tab, chromedp.EmulateViewport(390, 900))
	webtest.Value[bool](t, tab, `(document.activeElement.blur(), true)`)
	webtest.Value[bool](t, tab, slash)
	webtest.Until(t, tab, `document.activeElement.id === "search" && document.getElementById("menu").matches(":popover-open")`)
	webtest.Keep(t, tab, "menu-390")
}

func TestADialogIsModalAndWantsTheNameTyped(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `"script" in document.documentElement.dataset`)
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`button[popovertarget=cancel]`)))
	webtest.Until(t, tab, `document.getElementById("cancel").matches(":modal") && document.activeElement.textContent === "Keep running"`)
	webtest.Keep(t, tab, "dialog-1280")
	webtest.Do(t, tab, chromedp.KeyEvent("\r"))
	webtest.Until(t, tab, `!document.getElementById("cancel").open`)

	webtest.Value[bool](t, tab, `(document.getElementById("delete").removeAttribute("popover"), document.getElementById("delete").showModal(), true)`)
	for _, typed := range []string{"", "web-1xtest", "web-1.test "} {
		webtest.Value[bool](t, tab, fmt.Sprintf(`(document.getElementById("delete-typed").value = %q, document.querySelector("#delete .danger").click(), true)`, typed))
		if webtest.Value[bool](t, tab, `document.querySelector("#delete form").checkValidity()`) {
			t.Errorf("%q was taken for web-1.test", typed)
		}
	}
	webtest.Value[bool](t, tab, `(document.getElementById("delete-typed").value = "web-1.test", true)`)
	webtest.Value[bool](t, tab, `(b => (b.click(), b.click(), b.click(), true))(document.querySelector("#delete .danger"))`)
	webtest.Until(t, tab, `document.querySelector("#delete .danger").getAttribute("aria-busy") === "true"`)
	webtest.Value[bool](t, tab, `(document.querySelector("#delete .danger").click(), true)`)
	webtest.Until(t, tab, `fetch("/sample").then((r) => r.ok)`)
	if n := seen(site, func() int { return site.posted["/hosts/1/delete"] }); n != 1 {
		t.Errorf("the form was sent %d times", n)
	}
}

func TestManualHidesTheCronField(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `"script" in document.documentElement.dataset`)
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`#f-manual`)))
	webtest.Until(t, tab, `!document.getElementById("f-cron").checkVisibility()`)
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`#f-manual`)))
	webtest.Until(t, tab, `document.getElementById("f-cron").checkVisibility()`)
}

func TestTimesAreToldAsTheServerTellsThem(t *testing.T) {
	site, browser := newSite(t), webtest.Browser(t)
	tab := open(t, browser, site.URL+"/sample")
	webtest.Until(t, tab, `"script" in document.documentElement.dataset`)
	// The page was made at a time that is not the browser's: ages are by the page's.
	if got := strings.ReplaceAll(webtest.Value[string](t, tab, `document.querySelector(".meta time").textContent`), nbsp, " "); got != "14 min ago" {
		t.Errorf("14 minutes before the page was made is %q", got)
	}
	webtest.Value[bool](t, tab, `(document.querySelector(".meta time").dispatchEvent(new PointerEvent("pointerover", {bubbles: true})), true)`)
	zone := webtest.Value[string](t, tab, `new Intl.DateTimeFormat("en-GB", {timeZoneName: "short"}).formatToParts(0).find((p) => p.type === "timeZoneName").value`)
	if got := webtest.Value[string](t, tab, `document.querySelector(".meta time").title`); !strings.Contains(got, "2026") || !strings.Contains(got, zone) {
		t.Errorf("the exact time is %q", got)
	}
}
