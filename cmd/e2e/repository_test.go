//go:build !windows

package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"restic-manager/web/webtest"
)

// tabTo presses Tab until what has the focus has the words, or is the field of that
// name.
func (b *tab) tabTo(words string) {
	b.t.Helper()
	for range 150 {
		b.do(chromedp.KeyEvent("\t"))
		if read[bool](b, fmt.Sprintf(`(() => { const e = document.activeElement; return e.name === %[1]q || (e.innerText ?? "").trim().split("\n")[0] === %[1]q; })()`, words)) {
			return
		}
	}
	b.t.Fatalf("%s: Tab does not lead to %q\n%s", b.path(), words, b.text())
}

// typeIn types into what has the focus, in place of what is there.
func (b *tab) typeIn(text string) {
	b.t.Helper()
	read[bool](b, `(document.activeElement.select?.(), true)`)
	b.do(chromedp.KeyEvent(text))
}

// enter does what has the words, and waits until the page has others.
func (b *tab) enter(words, then string) {
	b.t.Helper()
	b.tabTo(words)
	b.do(chromedp.KeyEvent("\r"))
	b.shows(then)
}

// A repository that nobody maintains, that was never checked and whose sheet nobody has
// is made healthy by a person who has a keyboard, with the real server, agent, restic
// and rest-server: the page says what to do next until nothing is left.
func TestARepositoryIsMadeHealthyByKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repository := w.addRepository("nas", repositorySpec{fresh: true})
	h := w.addHost("web-1", repository, []string{files(t, 200)})
	h.backUp("succeeded")
	h.backUp("succeeded")

	b := newTab(t, webtest.Browser(t), "http://"+w.addr, "422")
	b.visit("/sign-in")
	b.fill(map[string]string{"name": "admin", "password": password})
	b.press("Sign in")
	b.visit("/repositories")
	b.enter("nas", "Not quite healthy: nobody maintains it.")
	b.picture("repository-neglected")

	folder := filepath.Join(w.rest.DataDir, strings.TrimPrefix(strings.TrimSuffix(w.rest.Location("nas"), "/"), strings.TrimSuffix("rest:"+w.rest.URL, "/")))
	b.enter("Choose who maintains it", "Nobody maintains it: old snapshots are never removed")
	b.tabTo("host")
	b.typeIn("web-1")
	b.tabTo("folder")
	b.typeIn(folder)
	b.enter("Save who maintains it", "web-1 maintains it in its folder")
	b.shows("Not allowed there yet")
	b.shows("restic-manager-agent policy allow maintenance --under " + folder)
	b.picture("repository-not-allowed")
	allow := exec.Command(filepath.Join(programs, "restic-manager-agent"), "policy", "allow", "maintenance", "--under", folder) // as the page tells root
	allow.Env = append(allow.Environ(), h.env...)
	if said, err := allow.CombinedOutput(); err != nil {
		t.Fatalf("allow it at the host: %v\n%s", err, said)
	}
	eventually(t, "the host's agent tells that it is allowed", time.Minute, func() bool {
		var r struct{ Maintenance struct{ Allowed string } }
		return w.api.call("GET", "/api/v1/repositories/"+repository, nil, &r) == nil && r.Maintenance.Allowed == "yes"
	})
	b.enter("Overview", "no check has gone well yet.")

	b.tabTo("what")
	b.typeIn("And all")
	b.do(chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"))
	b.shows("Check on web-1")
	b.shows("Succeeded")
	b.visit("/repositories/" + repository)
	b.shows("Not quite healthy: its recovery sheet was not saved.")
	b.enter("Show the sheet", "RESTIC_PASSWORD")
	b.enter("I have saved it", "Healthy:")
	b.enter("Measure now", "Measure on web-1")
	b.shows("Succeeded")

	b.visit("/repositories/" + repository)
	b.enter("Preview retention", "What retention would do")
	b.shows("Each snapshot, and why")
	b.picture("repository-preview")
	b.tabTo("Reclaim now…")
	b.do(chromedp.KeyEvent("\r"))
	b.shows("Type nas to go on")
	b.tabTo("typed")
	b.typeIn("nas")
	b.do(chromedp.KeyEvent("\r"))
	b.shows("Asked for. The snapshots are thinned out first")
	eventually(t, "space is reclaimed", 2*time.Minute, func() bool {
		var r struct {
			Health struct {
				StoredBytes   int64   `json:"stored_bytes"`
				ReadShare     float64 `json:"read_share"`
				LastPrune     *job    `json:"last_prune"`
				LastRetention *job    `json:"last_retention"`
			}
		}
		w.api.must("GET", "/api/v1/repositories/"+repository, nil, &r)
		return r.Health.StoredBytes > 0 && r.Health.ReadShare == 1 && r.Health.LastPrune != nil && r.Health.LastRetention != nil && r.Health.LastPrune.State == "finished"
	})
	b.visit("/repositories/" + repository)
	b.shows("Healthy: checks have read all of its data within 35 days, space was reclaimed")
	b.picture("repository-healthy")
	var left struct{ Snapshots []obj }
	w.api.must("GET", "/api/v1/snapshots?repository_id="+repository, nil, &left)
	if len(left.Snapshots) != 2 {
		t.Errorf("%d snapshots are left, want the two that their schedule keeps", len(left.Snapshots))
	}
}
