//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/web/webtest"
)

// orderer is a way to order operations; each returns the job's id.
type orderer interface {
	// in orders an operation on a repository, whose name is typed where it has to be.
	in(repository, name, operation string, params obj) string
	// at orders one at a host.
	at(host, operation string, params obj) string
	// preview, backUp and index order what has no form of its own.
	preview(h *host) string
	backUp(h *host) string
	index(repository, snapshot string)
	// addKey has a second password be given, and its key added.
	addKey(repository, name, password string) string
}

// byAPI orders as scripts do.
type byAPI struct{ api *client }

func (o byAPI) in(repository, name, operation string, params obj) string {
	return o.send("/api/v1/repositories/"+repository+"/jobs", obj{"operation": operation, "params": params, "confirm": name})
}

func (o byAPI) at(host, operation string, params obj) string {
	return o.send("/api/v1/hosts/"+host+"/jobs", obj{"operation": operation, "params": params})
}

func (o byAPI) send(path string, body obj) string {
	o.api.t.Helper()
	var j job
	o.api.must("POST", path, body, &j)
	return j.ID
}

func (o byAPI) preview(h *host) string {
	return o.send("/api/v1/hosts/"+h.id+"/jobs", obj{"operation": "preview", "schedule_id": h.schedule})
}

func (o byAPI) backUp(h *host) string { return h.runNow().ID }

func (o byAPI) index(repository, snapshot string) {
	o.api.must("POST", "/api/v1/repositories/"+repository+"/snapshots/"+snapshot+"/index", obj{}, nil)
}

func (o byAPI) addKey(repository, name, password string) string {
	o.api.must("PUT", "/api/v1/repositories/"+repository+"/credentials/second-password", obj{"password": password}, nil)
	return o.in(repository, name, "key-add", obj{})
}

// byPages orders as a person does, in a browser, by the forms of the pages.
type byPages struct{ *tab }

func newByPages(t *testing.T, w *world) byPages {
	t.Helper()
	b := newTab(t, webtest.Browser(t), "http://"+w.addr, "422")
	b.visit("/sign-in")
	b.fill(map[string]string{"name": "admin", "password": password})
	b.press("Sign in")
	return byPages{b}
}

func (o byPages) in(repository, name, operation string, params obj) string {
	o.t.Helper()
	o.visit("/repositories/" + repository + "/run/" + operation)
	o.choose(params)
	for range 2 { // what wants the name only then asks for it when it is ordered
		if read[bool](o.tab, `!!document.querySelector("main form [name=confirm]")`) {
			o.fill(map[string]string{"confirm": name})
		}
		o.start(operation)
		if strings.HasPrefix(o.path(), "/jobs/") {
			break
		}
	}
	return o.job()
}

func (o byPages) at(host, operation string, params obj) string {
	o.t.Helper()
	o.visit("/hosts/" + host + "/run/" + operation)
	o.choose(params)
	o.start(operation)
	return o.job()
}

// start presses the button that has the operation's title.
func (o byPages) start(operation string) {
	o.t.Helper()
	for _, op := range restic.Operations() {
		if op.Name == operation {
			o.press(op.Title)
		}
	}
}

// job is the one whose page the browser has come to.
func (o byPages) job() string {
	o.t.Helper()
	id, ok := strings.CutPrefix(o.path(), "/jobs/")
	if !ok {
		o.t.Fatalf("no job was started: at %s\n%s", o.path(), o.text())
	}
	return id
}

// choose fills in a form by the names of its fields, each by the control that it has.
func (o byPages) choose(params obj) {
	o.t.Helper()
	text, err := json.Marshal(params)
	if err != nil {
		o.t.Fatal(err)
	}
	missing := read[[]string](o.tab, fmt.Sprintf(`((params) => {
		const missing = [];
		for (const [name, value] of Object.entries(params)) {
			const controls = [...document.querySelectorAll("main form [name=" + CSS.escape(name) + "]")];
			let left = [value].flat().map(String);
			for (const c of controls) {
				if (c.type !== "checkbox") continue;
				c.checked = left.includes(c.value);
				if (c.checked) left = left.filter((v) => v !== c.value);
			}
			for (const c of controls) {
				if (c.type === "checkbox" || !left.length) continue;
				c.value = left.join("\n");
				if (c.value === left.join("\n")) left = [];
			}
			if (left.length) missing.push(name + ": " + left.join(", "));
		}
		return missing;
	})(%s)`, text))
	if len(missing) > 0 {
		o.t.Fatalf("%s has nothing to choose %s with\n%s", o.path(), strings.Join(missing, "; "), o.text())
	}
}

func (o byPages) preview(h *host) string {
	o.visit("/hosts/" + h.id + "/schedules")
	o.press("Preview")
	return o.job()
}

func (o byPages) backUp(h *host) string {
	o.visit("/hosts/" + h.id + "/schedules")
	o.press("Run now")
	return o.job()
}

func (o byPages) index(repository, snapshot string) { // looking at it is enough
	o.visit("/repositories/" + repository + "/snapshots/" + snapshot)
}

func (o byPages) addKey(repository, name, password string) string {
	o.visit("/repositories/" + repository + "/settings")
	form := `main form[action$="/key"] `
	for field, value := range map[string]string{"password": password, "again": password, "confirm": name} {
		read[bool](o.tab, fmt.Sprintf(`(document.querySelector(%q).value = %q, true)`, form+"[name="+field+"]", value))
	}
	read[bool](o.tab, fmt.Sprintf(`(document.querySelector(%q).click(), true)`, form+"button"))
	eventually(o.t, "the job that adds the key", time.Minute, func() bool { return strings.HasPrefix(o.path(), "/jobs/") })
	return o.job()
}
