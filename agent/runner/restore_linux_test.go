package runner

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// vaultPlace is a place with a repository that has one snapshot of its source.
type vaultPlace struct {
	*place
	snapshot string
}

// withSnapshot backs the source up.
func withSnapshot(t *testing.T, suite string, prepare func(p *place)) *vaultPlace {
	t.Helper()
	p := newPlace(t, restictest.Find(t, suite).Restic)
	if prepare != nil {
		prepare(p)
	}
	p.initialise()
	return &vaultPlace{p, p.do("backup", backupParams()).want(spool.Succeeded, "").SnapshotId}
}

func (v *vaultPlace) params(change map[string]any) map[string]any {
	params := map[string]any{"repository_id": repositoryID, "snapshot_id": v.snapshot, "target": "staging"}
	for name, value := range change {
		params[name] = value
	}
	return params
}

// allow appends to the policy file.
func (v *vaultPlace) allow(lines string) {
	v.t.Helper()
	text, err := os.ReadFile(v.policy)
	if err != nil {
		v.t.Fatal(err)
	}
	v.writePolicy(string(text) + lines)
}

func (v *vaultPlace) facts(o control.Outcome) (f restoreFacts) {
	v.t.Helper()
	if err := json.Unmarshal(o.Facts, &f); err != nil {
		v.t.Fatalf("facts %q: %v", o.Facts, err)
	}
	return f
}

// rowsOf are the rows that a job has handed over.
func (p *place) rowsOf(jobID string) (list []restoreRow) {
	p.t.Helper()
	packed := p.listings[jobID]
	if len(packed) == 0 {
		return nil
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		p.t.Fatal(err)
	}
	for decoder := json.NewDecoder(zip); ; {
		var row restoreRow
		if err := decoder.Decode(&row); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			p.t.Fatal(err)
		}
		list = append(list, row)
	}
}

// staged are the private folders that are there.
func (v *vaultPlace) staged() []string {
	list, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(v.policy)), "restore", "*"))
	if err != nil {
		v.t.Fatal(err)
	}
	return list
}

func TestARestoreToStagingIsPrivateAndWithoutPrivileges(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			v := withSnapshot(t, suite, func(p *place) { restictest.NastyTree(t, p.source) })
			before := restictest.Tree(t, v.source)
			job := v.command("restore", v.params(map[string]any{"verify": true}))
			v.runner.Run(t.Context(), job)
			got := v.recorded(job.ID).want(spool.Succeeded, "")
			f := v.facts(got)
			if !strings.HasPrefix(f.TargetPath, v.staged()[0]) || !f.Verified || f.Fenced != restic.CanFence() || f.Errors != 0 {
				t.Errorf("facts: %+v", f)
			}
			if info, err := os.Lstat(v.staged()[0]); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the folder: %v %v", info.Mode(), err)
			}
			after := restictest.Tree(t, f.TargetPath+v.source)
			stripped := []string{"special/setuid", "special/setgid", "special/both"}
			if os.Geteuid() == 0 {
				stripped = append(stripped, "special/null", "special/disk", "special/capable")
			}
			rows := v.rowsOf(job.ID)
			for _, name := range stripped {
				if !slices.ContainsFunc(rows, func(r restoreRow) bool { return r.Path == v.source+"/"+name && r.What == "stripped" }) {
					t.Errorf("no row tells of %s", name)
				}
				if before[name] == after[name] {
					t.Errorf("%s is as it was", name)
				}
				delete(before, name)
				delete(after, name)
			}
			if int(f.Stripped) != len(stripped) || len(rows) != len(stripped) || got.Rows != int64(len(rows)) {
				t.Errorf("%d stripped, %d rows: %+v", f.Stripped, len(rows), rows)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("differs:\n%s", diff)
			}
			if int(f.RestoredFiles)+2 < len(before) || f.PlannedBytes == 0 || f.PlannedFiles < f.RestoredFiles || f.SkippedFiles != 0 {
				t.Errorf("facts: %+v of %d", f, len(before))
			}
			events := v.recorded(job.ID).events
			if !slices.ContainsFunc(events, func(e control.Event) bool { return e.Kind == "note" && strings.Contains(e.Message, v.staged()[0]) }) {
				t.Error("no event names the folder")
			}
		})
	}
}

// A restic that says that all is well is not believed.
func TestWhatIsNotThereIsNotCalledRestored(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	for _, c := range []struct {
		entries, bytes int64
		result         spool.Result
	}{{2, 0, spool.Succeeded}, {3, 0, spool.Warning}, {2, 1, spool.Failed}} {
		folder, err := stage.Make(t.TempDir(), "job", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(folder.Restored()+"/a/b", 0o755); err != nil {
			t.Fatal(err)
		}
		task := &Task{runner: p.runner, Job: p.command("locks", repositoryParams())}
		r := &restoring{Task: task, plan: restorePlan{rules: policy.Default(policy.Guarded)}, folder: folder, rows: task.rows(t.Context())}
		r.facts.PlannedFiles, r.facts.PlannedBytes = c.entries, c.bytes
		e := r.examine(t.Context(), restic.ItemList{})
		if e == nil {
			e = r.done("restored")
		}
		if e.Result != c.result || (e.Code == "restore_incomplete") == (c.result == spool.Succeeded) {
			t.Errorf("%d entries and %d bytes planned: %s %s", c.entries, c.bytes, e.Result, e.Code)
		}
		r.clear()
	}
}

// An entry with an error may be there or not; both are counted once, and neither hides that
// another one is missing.
func TestEntriesWithErrorsAreCountedOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	for _, c := range []struct {
		planned                int64
		reported               []string
		wantRestored, wantMiss int64
	}{
		{3, nil, 3, 0}, {3, []string{"/a/b"}, 2, 0}, // it is there, without its owner
		{5, []string{"/a/x", "/a/y"}, 3, 0}, // they are not
		{4, []string{"/a", "/a/b"}, 1, 1},   // these are, and something else is not
		{5, []string{"/a/b", "/a/x"}, 2, 1},
	} {
		folder, err := stage.Make(t.TempDir(), "job", time.Now())
		if err != nil || os.MkdirAll(folder.Restored()+"/a/b/c", 0o755) != nil {
			t.Fatal(err)
		}
		task := &Task{runner: p.runner, Job: p.command("locks", repositoryParams())}
		r := &restoring{Task: task, plan: restorePlan{rules: policy.Default(policy.Guarded)}, folder: folder, rows: task.rows(t.Context())}
		r.facts.PlannedFiles = c.planned
		items := restic.ItemList{Count: len(c.reported)}
		for _, path := range c.reported {
			items.First = append(items.First, restic.Item{Path: path, Message: "permission denied"})
		}
		if e := r.examine(t.Context(), items); e != nil {
			t.Fatalf("%+v: %+v", c, e)
		}
		if want := int64(len(c.reported)) + c.wantMiss; r.facts.RestoredFiles != c.wantRestored || r.errors != want {
			t.Errorf("%+v: restored %d, errors %d", c, r.facts.RestoredFiles, r.errors)
		}
		r.clear()
	}
}

func TestWhatIsPrivilegedIsKeptWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", func(p *place) { restictest.NastyTree(t, p.source) })
	v.allow("restore:\n  preserve_privileged: true\n")
	before := restictest.Tree(t, v.source)
	f := v.facts(v.do("restore", v.params(map[string]any{"paths": []string{v.source + "/special"}})).want(spool.Succeeded, ""))
	after := restictest.Tree(t, f.TargetPath+v.source)
	for _, name := range []string{"special/setuid", "special/setgid", "special/both", "special/null", "special/capable"} {
		if before[name] != after[name] {
			t.Errorf("%s: %s, was %s", name, after[name], before[name])
		}
	}
	if f.Stripped != 0 {
		t.Errorf("facts: %+v", f)
	}
	if _, there := after["files"]; there {
		t.Error("more than what was chosen is there")
	}
}

func TestARestoreInPlaceBringsBackWhatWasThere(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			v := withSnapshot(t, suite, func(p *place) { restictest.NastyTree(t, p.source) })
			v.allow("restore:\n  in_place_allow: ['" + v.source + "']\n  preserve_privileged: true\n")
			before := restictest.Tree(t, v.source)
			if err := os.RemoveAll(v.source + "/files"); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(v.source + "/special"); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a.txt", "folders/*/f"} {
				if err := os.WriteFile(v.source+"/"+name, []byte("changed, and longer"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			writeFile(t, v.source+"/newer", "was not there")
			f := v.facts(v.do("restore", v.params(map[string]any{"target": "in_place", "paths": []string{v.source}, "verify": true, "overwrite": "always"})).want(spool.Succeeded, ""))
			if f.TargetPath != v.source || !f.Verified {
				t.Errorf("facts: %+v", f)
			}
			after := restictest.Tree(t, v.source)
			if after["newer"] == "" {
				t.Error("what is not in the snapshot was removed")
			}
			delete(after, "newer")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("differs:\n%s", diff)
			}
			if left := v.staged(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestARestoreInPlaceWantsRootsConsent(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	file := v.source + "/a.txt"
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for _, paths := range [][]string{nil, {"/"}, {"/etc/cron.d"}, {file}, {v.source}, {v.policy}} {
		params := v.params(map[string]any{"target": "in_place"})
		if paths != nil {
			params["paths"] = paths
		}
		got := v.do("restore", params).want(spool.Rejected, policy.CodeRestoreTargetDenied)
		if !strings.Contains(got.NextStep, "policy allow restore-in-place --under ") && paths != nil && paths[0] != v.policy {
			t.Errorf("%q: next step %q", paths, got.NextStep)
		}
	}
	v.writePolicy("version: 1\nprofile: trusting\n")
	// Not even a trusting host lets its own policy be replaced.
	v.do("restore", v.params(map[string]any{"target": "in_place", "paths": []string{v.policy}})).want(spool.Rejected, policy.CodeRestoreTargetDenied)
	if _, err := os.Lstat(file); err == nil {
		t.Error("something was restored")
	}
}

func TestParamsThatLeadAstrayAreRefused(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	v.allow("restore:\n  in_place_allow: ['" + v.source + "']\n")
	for _, target := range []string{"", "/etc", "../x", `\\server\share`, `C:\Windows`, `\\?\C:\`, "--target=/etc", "staging\x00", "in-place", "IN_PLACE"} {
		v.do("restore", v.params(map[string]any{"target": target})).want(spool.Rejected, "field_invalid")
	}
	for _, path := range []string{
		"", "a", "../etc", "/..", v.source + "/../../etc", v.source + "/./a", "//etc", `\\server\share`, `C:\a`, "--include=*", "-", "/a\x00b", "$HOME", "/a/",
	} {
		for _, where := range []string{"staging", "in_place"} {
			v.do("restore", v.params(map[string]any{"target": where, "paths": []string{path}})).want(spool.Rejected, "field_invalid")
		}
	}
	for name, value := range map[string]any{"snapshot_id": "latest", "overwrite": "--delete", "verify": "yes"} {
		v.do("restore", v.params(map[string]any{name: value})).want(spool.Rejected, "field_invalid")
	}
	v.do("restore", v.params(map[string]any{"delete": true})).want(spool.Rejected, "unknown_field")
	if left := v.staged(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A link is planted in a folder for which a restore in place is allowed.
func TestALinkOfAnotherUserIsInNoRestoresWay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		restictest.Lacks(t, "this test must run as root")
	}
	v := withSnapshot(t, "trixie", func(p *place) { writeFile(t, p.source+"/docs/sub/f", "evil") })
	v.allow("restore:\n  in_place_allow: ['" + v.source + "']\n")
	victim := t.TempDir()
	writeFile(t, victim+"/sub/f", "root's own")
	if err := os.RemoveAll(v.source + "/docs"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, v.source+"/docs"); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(v.source+"/docs", 54321, 54321); err != nil {
		t.Fatal(err)
	}
	got := v.do("restore", v.params(map[string]any{"target": "in_place", "paths": []string{v.source + "/docs/sub/f"}})).want(spool.Rejected, CodeRestorePathUnsafe)
	if !strings.Contains(got.Message, "docs is a symlink owned by uid 54321") {
		t.Errorf("message: %s", got.Message)
	}
	v.do("restore", v.params(map[string]any{"target": "in_place", "paths": []string{v.source}})).want(spool.Warning, "restore_incomplete")
	if content, err := os.ReadFile(victim + "/sub/f"); err != nil || string(content) != "root's own" {
		t.Errorf("%q %v", content, err)
	}
	// A link of root's that leads out of what is allowed is followed, and refused for it.
	if err := errors.Join(os.Remove(v.source+"/docs"), os.Symlink(victim, v.source+"/docs")); err != nil {
		t.Fatal(err)
	}
	v.do("restore", v.params(map[string]any{"target": "in_place", "paths": []string{v.source + "/docs/sub/f"}})).want(spool.Rejected, policy.CodeRestoreTargetDenied)
}

func TestARestoreThatDoesNotFitIsRefusedBeforeItBegins(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", func(p *place) { writeFile(t, p.source+"/large", strings.Repeat("x", 3<<20)) })
	disk := t.TempDir()
	restictest.Disk(t, disk, "2m")
	v.allow("restore:\n  staging_dir: '" + disk + "/restore'\n")
	got := v.do("restore", v.params(nil)).want(spool.Failed, CodeNoSpace)
	if !strings.Contains(got.Message, "needs 3.0 MiB") || !strings.Contains(got.Message, "has 2.0 MiB free") {
		t.Errorf("message: %s", got.Message)
	}
	if left, _ := os.ReadDir(disk + "/restore"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	v.do("restore", v.params(map[string]any{"paths": []string{v.source + "/a.txt"}})).want(spool.Succeeded, "")
}

func TestThePolicyLimitsHowMuchIsRestored(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	v.allow("restore:\n  max_bytes: 5\n")
	v.do("restore", v.params(nil)).want(spool.Failed, policy.CodeRestoreTooLarge)
	v.do("restore", v.params(map[string]any{"paths": []string{v.source + "/a.txt"}})).want(spool.Succeeded, "")
}

func TestADryRunOfARestoreWritesNothing(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	f := v.facts(v.do("restore", v.params(map[string]any{"dry_run": true, "paths": []string{v.source + "/a.txt"}})).want(spool.Succeeded, ""))
	if f.PlannedFiles != 1 || f.PlannedBytes != 3 || f.RestoredFiles != 0 || len(v.staged()) > 0 {
		t.Errorf("%+v %q", f, v.staged())
	}
}

func TestWhatIsNotInTheSnapshotIsNotCalledRestored(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	v.do("restore", v.params(map[string]any{"paths": []string{v.source + "/none"}})).want(spool.Failed, "nothing_restored")
	if left := v.staged(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	job := v.command("restore", v.params(map[string]any{"paths": []string{v.source + "/none", v.source + "/a.txt"}}))
	v.runner.Run(t.Context(), job)
	f := v.facts(v.recorded(job.ID).want(spool.Warning, "restore_incomplete"))
	if f.RestoredFiles != 1 || f.Errors != 1 {
		t.Errorf("%+v", f)
	}
	if diff := cmp.Diff([]restoreRow{{v.source + "/none", "missing", "is not in the snapshot"}}, v.rowsOf(job.ID)); diff != "" {
		t.Error(diff)
	}
	v.snapshot = strings.Repeat("0", 64)
	v.do("restore", v.params(nil)).want(spool.Failed, "snapshot_not_found")
}

// What a restore would miss, its dry run misses.
func TestADryRunOfARestoreMissesWhatIsNotInTheSnapshot(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			v := withSnapshot(t, suite, func(p *place) {
				for _, name := range []string{"two\nlines", "carriage\rreturn", "sub/50%0A*"} {
					writeFile(t, filepath.Join(p.source, name), "x")
				}
			})
			here := []string{v.source + "/a.txt", v.source + "/two\nlines", v.source + "/carriage\rreturn", v.source + "/sub"}
			dry := func(result spool.Result, code string, paths ...string) (control.Outcome, []restoreRow) {
				t.Helper()
				job := v.command("restore", v.params(map[string]any{"dry_run": true, "paths": paths}))
				v.runner.Run(t.Context(), job)
				return v.recorded(job.ID).want(result, code), v.rowsOf(job.ID)
			}
			if _, rows := dry(spool.Succeeded, "", here...); len(rows) > 0 {
				t.Errorf("rows: %q", rows)
			}
			none, long := v.source+"/two\r\nlines", []string{}
			for i := range 100 {
				long = append(long, fmt.Sprintf("%s/%s%03d", v.source, strings.Repeat("n", 240), i))
			}
			got, rows := dry(spool.Warning, "restore_incomplete", slices.Concat(long, here, []string{none})...)
			if f := v.facts(got); f.Errors != 101 || f.PlannedFiles < 4 || len(rows) != 101 {
				t.Errorf("%+v: %d rows", got, len(rows))
			} else if diff := cmp.Diff(restoreRow{none, "missing", "is not in the snapshot"}, rows[100]); diff != "" {
				t.Error(diff)
			}
			dry(spool.Failed, "nothing_restored", none)
			if left := v.staged(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// A pack is gone, so one file cannot be restored: what is in place stays.
func TestARestoreThatLacksSomethingLeavesWhatIsInPlace(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	content, state := make([]byte, 300<<10), uint32(1)
	for i := range content {
		state = state*1664525 + 1013904223
		content[i] = byte(state >> 24) // nothing that can be compressed
	}
	writeFile(t, v.source+"/large", string(content))
	if err := os.Symlink("x", v.source+"/link"); err != nil {
		t.Fatal(err)
	}
	v.snapshot = v.do("backup", backupParams()).want(spool.Succeeded, "").SnapshotId // large is in a pack of its own
	v.allow("restore:\n  in_place_allow: ['" + v.source + "']\n")
	var largest string
	var size int64
	err := filepath.Walk(filepath.Join(v.config.Repositories[repositoryID].Location.Path(), "data"), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil || os.Remove(largest) != nil {
		t.Fatal(err)
	}
	writeFile(t, v.source+"/large", "as it is now")
	if err := os.Remove(v.source + "/link"); err != nil {
		t.Fatal(err)
	}
	got := v.do("restore", v.params(map[string]any{"target": "in_place", "paths": []string{v.source}})).want(spool.Failed, "restore_incomplete")
	if content, _ := os.ReadFile(v.source + "/large"); string(content) != "as it is now" {
		t.Errorf("in place: %.40q", content)
	}
	if _, err := os.Lstat(v.source + "/link"); err == nil {
		t.Error("something was put in place")
	}
	left := v.staged()
	if len(left) != 1 || !strings.Contains(got.Message, left[0]) {
		t.Fatalf("left %q; %s", left, got.Message)
	}
	if _, err := os.Lstat(left[0] + "/files" + v.source + "/link"); err != nil {
		t.Error(err)
	}
	got = v.do("restore", v.params(map[string]any{"paths": []string{v.source + "/large"}})).want(spool.Failed, "restore_incomplete")
	if f := v.facts(got); f.Errors != 1 || f.RestoredBytes > 0 || !strings.Contains(got.Message, "no file could be restored") {
		t.Errorf("%s; facts: %s", got.Message, got.Facts)
	}
	if len(v.staged()) != 1 {
		t.Errorf("left: %q", v.staged())
	}
}

func TestARestoreThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", func(p *place) { writeFile(t, p.source+"/large", strings.Repeat("0123456789abcdef\n", 1_000_000)) })
	job := v.command("restore", v.params(map[string]any{"verify": true}))
	v.runUntil(job, func() bool { return len(v.staged()) > 0 }, ErrCancelled)
	v.recorded(job.ID).want(spool.Cancelled, CodeCancelled)
	if left := v.staged(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// The agent dies after restic began: in its next life the job is over.
func TestARestoreThatTheAgentDiedUnderIsNotBegunAgain(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	job := v.command("restore", v.params(nil))
	started, err := v.spool.Start(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(filepath.Dir(filepath.Dir(v.policy)), "restore", "restore-20261122T000000Z-"+job.ID)
	writeFile(t, folder+"/files/f", "half")
	restores := func() int { return len(v.staged()) }
	v.runner.Recover(t.Context(), started)
	got := v.recorded(job.ID).want(spool.Interrupted, CodeAgentDied)
	if !strings.Contains(got.Message, folder) || !strings.Contains(got.NextStep, "run it again") || restores() != 1 {
		t.Errorf("%s; %s; %q", got.Message, got.NextStep, v.staged())
	}
}

// A restore in place was allowed when it began; when the agent is back, that is over.
func TestWhatARestoreLeftIsNamedAlsoWhereItIsNotAllowedAnyMore(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	disk := t.TempDir()
	restictest.Disk(t, disk, "1m")
	staging := filepath.Join(filepath.Dir(filepath.Dir(v.policy)), "restore")
	for place, target := range map[string]string{staging: v.source, disk: disk + "/srv/www"} {
		job := v.command("restore", v.params(map[string]any{"target": "in_place", "paths": []string{target + "/a.txt"}}))
		started, err := v.spool.Start(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(place, "restore-20261122T000000Z-"+job.ID)
		writeFile(t, folder+"/files/f", "half")
		v.runner.Recover(t.Context(), started)
		got := v.recorded(job.ID).want(spool.Interrupted, CodeAgentDied)
		if !strings.Contains(got.Message, folder) || !strings.Contains(got.Message, "either as it was or as in the snapshot") {
			t.Errorf("%s: %s", place, got.Message)
		}
	}
}

func TestARepositoryThatComesWithTheCommandIsForThatJobAlone(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	own := v.config.Repositories[repositoryID]
	v.config.Repositories = map[string]Repository{}
	v.options.Understand = func(r spool.Repository) (Repository, error) {
		location, err := restic.ParseLocation(r.Location)
		return Repository{ID: r.Id, Name: r.Name, Location: location, ResticID: r.ResticId, KeyID: r.KeyId,
			Password: secret.Ref{ID: r.Password.Id, Version: r.Password.Version}}, err
	}
	v.runner = New(v.options)
	brought := control.AgentRepository{
		Id: repositoryID, Name: "of another", Location: own.Location.String(), ResticId: own.ResticID, KeyId: own.KeyID,
		Password: control.SecretRef{Id: passwordRef.ID, Version: passwordRef.Version},
	}
	run := func(operation string, change func(*control.AgentRepository)) recorded {
		t.Helper()
		params := v.params(nil)
		if operation != "restore" {
			params = repositoryParams()
		}
		job := v.command(operation, params, func(c *control.Command) {
			c.Repository = brought
			if change != nil {
				change(&c.Repository)
			}
		})
		v.runner.Run(t.Context(), job)
		return v.recorded(job.ID)
	}
	v.do("restore", v.params(nil)).want(spool.Rejected, CodeConfigNotInForce)
	run("restore", nil).want(spool.Succeeded, "")
	if len(v.once) != 1 || v.once[0] != passwordRef {
		t.Errorf("asked for once: %v", v.once)
	}
	if locks, _ := os.ReadDir(own.Location.Path() + "/locks"); len(locks) > 0 {
		t.Errorf("locks: %v", locks)
	}
	run("snapshots", nil).want(spool.Rejected, CodeConfigNotInForce)
	run("restore", func(r *control.AgentRepository) { r.Id = scheduleID }).want(spool.Rejected, CodeConfigNotInForce)
	run("restore", func(r *control.AgentRepository) { r.Location = "rclone:x" }).want(spool.Rejected, "params_invalid")
	run("restore", func(r *control.AgentRepository) { r.Location = t.TempDir() }).want(spool.Rejected, policy.CodeRepoNotAllowed)
	run("restore", func(r *control.AgentRepository) { r.ResticId = strings.Repeat("b", 64) }).want(spool.Failed, CodeRepositoryChanged)
	v.do("restore", v.params(nil)).want(spool.Rejected, CodeConfigNotInForce)
}

// What the journal has of a repository is there after the agent was started again.
func TestARepositoryThatCameWithACommandIsJournaled(t *testing.T) {
	t.Parallel()
	v := withSnapshot(t, "trixie", nil)
	job := v.command("restore", v.params(nil), func(c *control.Command) {
		c.Repository = control.AgentRepository{Id: repositoryID, Name: "x", Location: "/x"}
		c.Repository.Maintenance.Location = "/srv"
	})
	if job.Repository == nil || job.Repository.Location != "/x" || job.Repository.Maintenance.Location != "" {
		t.Errorf("%+v", job.Repository)
	}
}
