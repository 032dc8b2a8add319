//go:build linux

package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic/restictest"
)

// done is a job's outcome, its facts and all its rows.
type done struct {
	job
	facts map[string]any
	rows  []map[string]any
}

// do orders an operation at a host, and waits for its end.
func (h *host) do(operation string, params obj, confirm ...string) done {
	h.w.t.Helper()
	body := obj{"operation": operation, "params": params}
	if len(confirm) > 0 {
		body["confirm"] = confirm[0]
	}
	var j job
	h.w.api.must("POST", "/api/v1/hosts/"+h.id+"/jobs", body, &j)
	return h.w.told(h.w.finished(j.ID, 3*time.Minute))
}

// told reads what a finished job found out.
func (w *world) told(j job) done {
	w.t.Helper()
	d := done{job: j, facts: map[string]any{}}
	var full struct {
		Outcome struct{ Facts json.RawMessage }
	}
	w.api.must("GET", "/api/v1/jobs/"+j.ID, nil, &full)
	if len(full.Outcome.Facts) > 0 {
		if err := json.Unmarshal(full.Outcome.Facts, &d.facts); err != nil {
			w.t.Fatal(err)
		}
	}
	for token := ""; ; {
		var page struct {
			Rows []map[string]any
			Next string `json:"next_page_token"`
		}
		w.api.must("GET", "/api/v1/jobs/"+j.ID+"/rows?page_size=200&page_token="+token, nil, &page)
		d.rows = append(d.rows, page.Rows...)
		if token = page.Next; token == "" {
			return d
		}
	}
}

// want demands an end.
func (d done) want(t *testing.T, result, code string) done {
	t.Helper()
	if d.Outcome.Result != result || d.Outcome.Code != code {
		t.Errorf("%s ended as %s %q (%s), want %s %q", d.Operation, d.Outcome.Result, d.Outcome.Code, d.Outcome.Message, result, code)
	}
	return d
}

// sameButStripped compares a tree with what it was: every name, content, mode, owner,
// time and attribute; but for the privileges that the rows of a restore say were taken.
func sameButStripped(t *testing.T, before, after map[string]string, d done, source string) {
	t.Helper()
	stripped := 0
	for _, row := range d.rows {
		path, _ := row["path"].(string)
		if row["what"] != "stripped" {
			t.Errorf("row %v", row)
			continue
		}
		name := strings.TrimPrefix(path, source+"/")
		if after[name] == before[name] && after[name] != "" {
			t.Errorf("%s is as it was: %s", name, after[name])
		}
		delete(before, name)
		delete(after, name)
		stripped++
	}
	if want := 6; os.Geteuid() == 0 && stripped != want {
		t.Errorf("%d privileges were taken, want %d: %v", stripped, want, d.rows)
	}
	if len(before) < 600 {
		t.Errorf("only %d entries are compared", len(before))
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("was (-), is (+)\n%s", diff)
	}
}

// TestFilesComeBackInPlaceOntoAnotherHostAndFromADeadOne restores the nastiest tree there
// is, as people do: each time the host's own policy file has to allow it first.
func TestFilesComeBackInPlaceOntoAnotherHostAndFromADeadOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := filepath.Join(t.TempDir(), "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	restictest.NastyTree(t, source)
	repository := w.addRepository("nas", repositorySpec{})
	other := w.addRepository("other", repositorySpec{})
	one := w.addHost("web-1", repository, []string{source})
	snapshot := one.backUp("succeeded").Outcome.SnapshotID
	before := func() map[string]string { return restictest.Tree(t, source) }
	kept := before()
	params := func(target string) obj {
		return obj{"repository_id": repository, "snapshot_id": snapshot, "target": target, "paths": []string{source}, "overwrite": "always", "verify": true}
	}

	t.Run("in place only where the host's policy allows it", func(t *testing.T) {
		spoilt := spoil(t, source)
		d := one.do("restore", params("in_place"), "web-1").want(t, "rejected", "restore_target_denied")
		if !strings.Contains(d.Outcome.NextStep, "policy allow restore-in-place --under "+source) {
			t.Errorf("the next step is %q", d.Outcome.NextStep)
		}
		if diff := cmp.Diff(spoilt, before()); diff != "" {
			t.Errorf("a restore that was refused has changed\n%s", diff)
		}
		one.policy("allow", "restore-in-place", "--under", source)
		d = one.do("restore", params("in_place"), "web-1").want(t, "succeeded", "")
		after := before()
		if after["new since"] == "" {
			t.Error("what is not in the snapshot was removed")
		}
		delete(after, "new since")
		sameButStripped(t, maps.Clone(kept), after, d, source)
		elsewhere := params("in_place")
		elsewhere["paths"] = []string{filepath.Dir(source)}
		one.do("restore", elsewhere, "web-1").want(t, "rejected", "restore_target_denied")
	})
	t.Run("onto another host", func(t *testing.T) {
		two := w.addHost("web-2", other, []string{files(t, 3)})
		two.wantForeign(t, w.rest.Location("nas"), params("staging"), maps.Clone(kept), source)
	})
	t.Run("from a host that is dead onto a new one", func(t *testing.T) {
		one.agent.kill()
		for _, dir := range []string{one.dir, source} {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		w.api.must("DELETE", "/api/v1/hosts/"+one.id, nil, nil)
		again := w.addHost("web-1 again", other, []string{files(t, 3)})
		again.wantForeign(t, w.rest.Location("nas"), params("staging"), maps.Clone(kept), source)
		again.policy("allow", "restore-in-place", "--under", source)
		d := again.do("restore", params("in_place"), "web-1 again").want(t, "succeeded", "")
		sameButStripped(t, maps.Clone(kept), before(), d, source)
	})
}

// spoil changes, removes and adds what a restore in place has to do with.
func spoil(t *testing.T, source string) map[string]string {
	t.Helper()
	for _, dir := range []string{"files", "special"} {
		if err := os.RemoveAll(filepath.Join(source, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"folders/*/f", "folders/new\nline/f", "new since"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte("changed, and longer"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return restictest.Tree(t, source)
}

// wantForeign demands that a host that has nothing to do with a repository restores from
// it only once its own policy file allows the location.
func (h *host) wantForeign(t *testing.T, location string, params obj, kept map[string]string, source string) {
	t.Helper()
	d := h.do("restore", params).want(t, "rejected", "repo_not_allowed")
	if !strings.Contains(d.Outcome.NextStep, "policy allow repository --under "+location) {
		t.Errorf("the next step is %q", d.Outcome.NextStep)
	}
	h.policy("allow", "repository", "--under", location)
	d = h.do("restore", params).want(t, "succeeded", "")
	target, _ := d.facts["target_path"].(string)
	if target == "" || d.facts["verified"] != true || d.facts["errors"] != 0.0 {
		t.Fatalf("facts %v", d.facts)
	}
	if info, err := os.Lstat(filepath.Dir(target)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the private folder: %v, %v", info, err)
	}
	sameButStripped(t, kept, restictest.Tree(t, filepath.Join(target, source)), d, source)
}
