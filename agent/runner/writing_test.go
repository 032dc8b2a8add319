package runner

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// maintained is a host whose policy makes it the maintenance host of its repository.
func maintained(t *testing.T, suite string) *place {
	p := newPlace(t, restictest.Find(t, suite).Restic)
	p.allowMaintenance()
	p.initialise()
	return p
}

func (p *place) allowMaintenance() {
	folder := filepath.Dir(p.folder())
	p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [" + folder + "]\nmaintenance:\n  - path: " + folder + "\n")
}

func (p *place) folder() string { return p.config.Repositories[repositoryID].Location.Path() }

// order runs an operation on the repository with more params.
func (p *place) order(operation string, more map[string]any) (recorded, string) {
	p.t.Helper()
	params := repositoryParams()
	for name, value := range more {
		params[name] = value
	}
	job := p.command(operation, params)
	p.runner.Run(p.t.Context(), job)
	return p.recorded(job.ID), job.ID
}

// resultRows reads a job's rows.
func (p *place) resultRows(jobID string) []map[string]any {
	p.t.Helper()
	var rows []map[string]any
	if len(p.listings[jobID]) == 0 {
		return nil
	}
	zip, err := gzip.NewReader(bytes.NewReader(p.listings[jobID]))
	if err != nil {
		p.t.Fatal(err)
	}
	for lines := bufio.NewScanner(zip); lines.Scan(); {
		row := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			p.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func factsOf(t *testing.T, o control.Outcome) map[string]any {
	t.Helper()
	facts := map[string]any{}
	if err := json.Unmarshal(o.Facts, &facts); err != nil {
		t.Fatalf("facts %s: %v", o.Facts, err)
	}
	return facts
}

// wantFacts compares some members, and looks that all are declared.
func (r recorded) wantFacts(operation string, want map[string]any) {
	r.t.Helper()
	facts := factsOf(r.t, r.outcome())
	op, _ := restic.OperationNamed(operation)
	for name := range facts {
		if !slices.ContainsFunc(op.Facts, func(c restic.Column) bool { return c.Name == name }) {
			r.t.Errorf("%s is no fact of %s", name, operation)
		}
	}
	for name, value := range want {
		if facts[name] != value {
			r.t.Errorf("%s of %s is %v, want %v", name, operation, facts[name], value)
		}
	}
}

func (p *place) snapshots() []control.SnapshotRecord {
	p.t.Helper()
	job := p.command("snapshots", repositoryParams())
	p.runner.Run(p.t.Context(), job)
	p.recorded(job.ID).want(spool.Succeeded, "")
	return p.listed(job.ID)
}

func eachSuite(t *testing.T, play func(t *testing.T, suite string)) {
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) { t.Parallel(); play(t, suite) })
	}
}

func TestTagsChangeAndOursStay(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		first := p.again()
		done, id := p.order("tag", map[string]any{"snapshot_ids": []string{first}, "add": []string{"blue"}, "remove": []string{"nightly"}})
		done.want(spool.Succeeded, "")
		done.wantFacts("tag", map[string]any{"changed": 1.0, "unchanged": 0.0})
		rows := p.resultRows(id)
		now := p.snapshots()
		if len(rows) != 1 || rows[0]["old_id"] != first || len(now) != 1 || rows[0]["new_id"] != now[0].Id || rows[0]["removed"] != true {
			t.Fatalf("rows %v, snapshots %+v", rows, now)
		}
		if tags := now[0].Tags; slices.Contains(tags, "nightly") || !slices.Contains(tags, "blue") || !slices.Contains(tags, "rm:schedule:"+scheduleID) {
			t.Errorf("tags %v", tags)
		}
		done, _ = p.order("tag", map[string]any{"snapshot_ids": []string{now[0].Id}, "set": []string{"green"}})
		done.want(spool.Succeeded, "")
		now = p.snapshots()
		if tags := now[0].Tags; len(tags) != 3 || !slices.Contains(tags, "green") || !slices.Contains(tags, "rm:schedule:"+scheduleID) {
			t.Errorf("tags %v", tags)
		}
		done, _ = p.order("tag", map[string]any{"snapshot_ids": []string{now[0].Id}, "set": []string{"green"}})
		done.want(spool.Succeeded, "")
		done.wantFacts("tag", map[string]any{"changed": 0.0, "unchanged": 1.0})
		done, _ = p.order("tag", map[string]any{"snapshot_ids": []string{first}, "add": []string{"x"}})
		done.want(spool.Failed, "snapshot_not_found")
		done, _ = p.order("tag", map[string]any{"snapshot_ids": []string{first}, "remove": []string{"rm:job:x"}})
		done.want(spool.Rejected, "tag_invalid")
	})
}

// TestATagThatTheStorageRefusesIsNoSuccess: restic ends with 0.
func TestATagThatTheStorageRefusesIsNoSuccess(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		bins := restictest.Find(t, suite)
		p := newPlace(t, bins.Restic)
		server := restictest.StartRestServer(t, bins)
		p.onStorage(server)
		p.initialise()
		first := p.again()
		p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: ['" + server.Location("repository") + "']\nmaintenance:\n  - location: '" + server.Location("repository") + "'\n")
		p.repository(func(r *Repository) { r.Maintenance = &Maintenance{Location: r.Location, Credential: r.Credential} })
		done, _ := p.order("tag", map[string]any{"snapshot_ids": []string{first}, "remove": []string{"nightly"}})
		if got := done.outcome(); got.Result != spool.Failed {
			t.Errorf("an append-only storage, and the job ended as %s %s %s", got.Result, got.Code, got.Message)
		}
		done.wantFacts("tag", map[string]any{"changed": 1.0, "removed": 0.0})
	})
}

// snapshotsOf is a listing of snapshots with the tag nightly.
func snapshotsOf(ids ...string) restictest.Reply {
	text := "["
	for i, id := range ids {
		if i > 0 {
			text += ","
		}
		text += `{"time":"2026-01-02T03:04:05Z","tree":"t","paths":["/x"],"hostname":"web-1","tags":["nightly"],"id":"` + id + `"}`
	}
	return says("snapshots", text+"]", 0)
}

func TestRefusedTagsAreNoSuccess(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("tag", `{"message_type":"summary","changed_snapshots":0}`, 0), snapshotsOf(fakeSnap),
		says("key list", `[{"current":true,"id":"`+fakeID+`"}]`, 0)))
	p := newPlace(t, fake.Path())
	p.allowMaintenance()
	if err := os.MkdirAll(filepath.Join(p.folder(), "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(p.folder(), "snapshots", fakeSnap), "a snapshot")
	done, _ := p.order("tag", map[string]any{"snapshot_ids": []string{fakeSnap}, "remove": []string{"nightly"}})
	done.want(spool.Failed, CodeNotReplaced)
}

func TestASnapshotThatIsGoneIsNoSuccess(t *testing.T) {
	t.Parallel()
	task := &Task{runner: newPlace(t, restictest.NewFake(t, fakeScript()).Path()).runner}
	before := []restic.Snapshot{{ID: fakeSnap}}
	changed, found := compared(before, before, nil)
	if got := task.replaced(t.Context(), changed, found, 0, false); got.Result != spool.Failed || got.Code != CodeNotReplaced {
		t.Errorf("got %s %s", got.Result, got.Code)
	}
}

func TestSnapshotsThatAreNotThereAfterACopyAreMissed(t *testing.T) {
	t.Parallel()
	task := &Task{runner: newPlace(t, restictest.NewFake(t, fakeScript()).Path()).runner}
	got := task.copied(t.Context(), []restic.Snapshot{{ID: fakeSnap}}, nil, []restic.Snapshot{{ID: fakeID, Original: fakeID}})
	if got.Result != spool.Failed || got.Code != CodeCopyIncomplete {
		t.Errorf("got %s %s", got.Result, got.Code)
	}
}

func TestWhatIsTakenOutOfSnapshotsIsToldByTheList(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		watched, _ := p.order("retention", map[string]any{"dry_run": true})
		watched.want(spool.Succeeded, "")
		first := p.again()
		// One that is odd by itself fills no series, so that only the days keep it.
		seen := time.Now().AddDate(0, 0, -10)
		if err := os.Chtimes(filepath.Join(p.folder(), "snapshots", first), seen, seen); err != nil {
			t.Fatal(err)
		}
		rewrite := map[string]any{"snapshot_ids": []string{first}, "excludes": []string{"b.txt"}, "dry_run": true}
		done, _ := p.order("rewrite", rewrite)
		done.want(spool.Succeeded, "")
		done.wantFacts("rewrite", map[string]any{"changed": 1.0, "dry_run": true})
		if len(p.snapshots()) != 1 {
			t.Error("a dry run made a snapshot")
		}
		delete(rewrite, "dry_run")
		done, id := p.order("rewrite", rewrite)
		done.want(spool.Succeeded, "")
		done.wantFacts("rewrite", map[string]any{"changed": 1.0, "removed": 0.0})
		if rows := p.resultRows(id); len(rows) != 1 || rows[0]["old_id"] != first || rows[0]["removed"] != false || len(p.snapshots()) != 2 {
			t.Errorf("rows %v", rows)
		}
		rewrite["forget"], rewrite["excludes"] = true, []string{"a.txt"}
		done, _ = p.order("rewrite", rewrite)
		done.want(spool.Rejected, CodeRetentionFloor)
		p.options.Now = func() time.Time { return time.Now().AddDate(0, 0, 30) }
		p.runner = New(p.options)
		done, id = p.order("rewrite", rewrite)
		done.want(spool.Succeeded, "")
		done.wantFacts("rewrite", map[string]any{"changed": 1.0, "removed": 1.0})
		if rows := p.resultRows(id); len(rows) != 1 || rows[0]["removed"] != true {
			t.Errorf("rows %v", rows)
		}
		delete(rewrite, "forget")
		rewrite["snapshot_ids"], rewrite["excludes"] = []string{p.snapshots()[0].Id}, []string{"nothing-of-that-name"}
		done, _ = p.order("rewrite", rewrite)
		done.want(spool.Succeeded, "")
		done.wantFacts("rewrite", map[string]any{"changed": 0.0, "unchanged": 1.0})
	})
}

// incompressible is what cannot be compressed.
func incompressible(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return string(b)
}

// flip changes a byte of the largest pack.
func (p *place) flip() string { return p.flipIn(p.folder()) }

func (p *place) flipIn(folder string) string {
	p.t.Helper()
	var largest string
	var size int64
	packs, err := filepath.Glob(filepath.Join(folder, "data", "*", "*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, pack := range packs {
		if info, err := os.Stat(pack); err == nil && info.Size() > size {
			largest, size = pack, info.Size()
		}
	}
	text, err := os.ReadFile(largest)
	if err != nil {
		p.t.Fatal(err)
	}
	text[size/3] ^= 0xff
	if err := os.Chmod(largest, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(largest, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return filepath.Base(largest)
}

func TestACheckFindsDamageAndWhatRepairsIt(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		writeFile(t, filepath.Join(p.source, "big"), incompressible(300_000))
		p.again()
		done, _ := p.order("check", map[string]any{"part": 1, "parts": 2})
		done.want(spool.Succeeded, "")
		done.wantFacts("check", map[string]any{"errors": 0.0, "read_part": 1.0, "read_parts": 2.0, "read_data": false})

		pack := p.flip()
		done, _ = p.order("check", nil)
		done.want(spool.Succeeded, "") // only reading the data shows it
		done, id := p.order("check", map[string]any{"read_data": true})
		done.want(spool.Failed, "repo_damaged")
		done.wantFacts("check", map[string]any{"errors": 1.0, "packs_broken": 1.0, "read_data": true})
		if rows := p.resultRows(id); len(rows) != 2 || rows[0]["pack_id"] != pack || rows[1]["pack_id"] != pack {
			t.Errorf("rows %v, want pack %s", rows, pack)
		}

		done, _ = p.order("repair-packs", map[string]any{"pack_ids": []string{pack}})
		done.want(spool.Succeeded, "")
		done.wantFacts("repair-packs", map[string]any{"packs": 1.0, "blobs_lost": 1.0})
		if next := done.outcome().NextStep; !strings.Contains(next, "back up every host") {
			t.Errorf("next step %q", next)
		}
		done, _ = p.order("check", nil)
		if got := done.want(spool.Failed, "repo_damaged"); !strings.Contains(got.NextStep, "back up every host") || strings.Contains(got.Message, "1 errors") {
			t.Errorf("%s; next: %s", got.Message, got.NextStep)
		}
		done, _ = p.order("repair-packs", map[string]any{"pack_ids": []string{strings.Repeat("0", 64)}})
		done.want(spool.Failed, "pack_not_found")
		done, _ = p.order("repair-index", map[string]any{"read_all_packs": true})
		done.want(spool.Succeeded, "")
		done, _ = p.order("repair-snapshots", map[string]any{"forget": true})
		if got := done.want(spool.Succeeded, ""); !strings.Contains(got.Message, "lost is what these had: "+filepath.Join(p.source, "big")) {
			t.Errorf("it does not say what is lost: %s", got.Message)
		}
		done.wantFacts("repair-snapshots", map[string]any{"changed": 1.0, "removed": 1.0})
		done, _ = p.order("check", map[string]any{"read_data": true})
		done.want(spool.Succeeded, "")
	})
}

// TestABackupStoresAgainWhatTheRepositoryHasLost has the host still have the file.
func TestABackupStoresAgainWhatTheRepositoryHasLost(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		writeFile(t, filepath.Join(p.source, "big"), incompressible(300_000))
		p.again()
		done, _ := p.order("repair-packs", map[string]any{"pack_ids": []string{p.flip()}})
		done.wantFacts("repair-packs", map[string]any{"packs": 1.0, "blobs_lost": 1.0})
		got := p.do("backup", backupParams()).want(spool.Warning, "stored_again")
		if !got.Confirmed || !strings.Contains(got.Message, "lost parts of 1 file") || strings.Contains(got.NextStep, "exclude") {
			t.Errorf("%s; next: %s", got.Message, got.NextStep)
		}
		done, _ = p.order("check", map[string]any{"read_data": true})
		done.want(spool.Succeeded, "")
	})
}

func TestACheckThatCouldNotLookIsNoDamage(t *testing.T) {
	t.Parallel()
	summary := `{"message_type":"summary","num_errors":1,"broken_packs":null,"suggest_repair_index":false,"suggest_prune":true}`
	message := func(text string) restictest.Step {
		return restictest.Step{Err: `{"message_type":"error","message":"` + text + `\n"}` + "\n"}
	}
	tests := []struct {
		name string
		said restictest.Step
		exit int
		code string
	}{
		{"the network", message("Load(<data/1234>) failed: Get http://nas: connection refused"), 1, "repo_unreachable"},
		{"somebody who ended it", restictest.Step{Err: "signal interrupt received, cleaning up\n"}, 130, "restic_killed"},
		{"no reason at all", restictest.Step{Err: "\n"}, 1, "restic_failed"},
		{"damage", message("pack 1234: does not exist"), 1, "repo_damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := restictest.NewFake(t, fakeScript(catConfig(), restictest.Reply{Command: "check", Exit: test.exit, Steps: []restictest.Step{test.said, {Out: summary + "\n"}}}))
			p := newPlace(t, fake.Path())
			done, _ := p.order("check", nil)
			done.want(spool.Failed, test.code)
		})
	}
}

func TestAKeyIsRemovedAndNeverOurOwn(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		bins := restictest.Find(t, suite)
		p := maintained(t, suite)
		add := func(user string) {
			other := filepath.Join(t.TempDir(), "other")
			writeFile(t, other, "another password")
			cmd := exec.Command(bins.Restic, "key", "add", "--new-password-file", other, "--user", user, "--host", "desk")
			cmd.Env = []string{"RESTIC_REPOSITORY=" + p.folder(), "RESTIC_PASSWORD=" + password, "RESTIC_CACHE_DIR=" + t.TempDir(), "HOME=" + t.TempDir()}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatal(err, string(out))
			}
		}
		add("bob")
		done, _ := p.order("inspect", nil) // from here on bob's key is known
		done.want(spool.Succeeded, "")
		add("ada")
		done, id := p.order("identify", nil)
		done.want(spool.Succeeded, "")
		rows := p.resultRows(id)
		i := slices.IndexFunc(rows, func(r map[string]any) bool { return r["username"] == "ada" })
		bob := slices.IndexFunc(rows, func(r map[string]any) bool { return r["username"] == "bob" })
		if len(rows) != 3 || bob < 0 || i < 0 || rows[i]["current"] != false || rows[i]["hostname"] != "desk" {
			t.Fatalf("keys %v", rows)
		}
		done, _ = p.order("key-remove", map[string]any{"key_id": p.config.Repositories[repositoryID].KeyID})
		done.want(spool.Failed, CodeKeyInUse)
		done, _ = p.order("key-remove", map[string]any{"key_id": rows[bob]["id"]})
		done.want(spool.Failed, CodeKeyKnown)
		done, _ = p.order("key-remove", map[string]any{"key_id": rows[i]["id"]})
		done.want(spool.Succeeded, "")
		done.wantFacts("key-remove", map[string]any{"keys": 2.0})
		if kept, _ := filepath.Glob(p.folder() + ".rm-undo/*/repository/keys/" + rows[i]["id"].(string)); len(kept) != 1 {
			t.Error("the key was not kept aside")
		}
		done, _ = p.order("key-remove", map[string]any{"key_id": rows[i]["id"]})
		done.want(spool.Failed, "key_not_found")
	})
}

func TestSnapshotsAreCopiedFromAnotherRepositoryOnce(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		first := p.again()
		second := p.config.Repositories[repositoryID]
		from := uuid.NewString()
		location, err := restic.ParseLocation(filepath.Join(filepath.Dir(p.folder()), "second"))
		if err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		source := second
		source.ID = from
		p.config.Repositories = map[string]Repository{from: source, repositoryID: {ID: repositoryID, Name: "second", Location: location, Password: passwordRef}}
		p.mu.Unlock()
		restictest.CheapRepository(t, p.program, location.Path(), password)
		params := map[string]any{"from_repository_id": from, "snapshot_ids": []string{first}}
		done, id := p.order("copy", params)
		done.want(spool.Succeeded, "")
		done.wantFacts("copy", map[string]any{"copied": 1.0, "already": 0.0})
		rows, now := p.resultRows(id), p.snapshots()
		if len(rows) != 1 || len(now) != 1 || rows[0]["from_id"] != first || rows[0]["new_id"] != now[0].Id {
			t.Errorf("rows %v, snapshots %+v", rows, now)
		}
		done, _ = p.order("copy", params)
		done.want(spool.Succeeded, "")
		done.wantFacts("copy", map[string]any{"copied": 0.0, "already": 1.0})
		params["snapshot_ids"] = []string{strings.Repeat("0", 64)}
		done, _ = p.order("copy", params)
		done.want(spool.Failed, "snapshot_not_found")
		params["from_repository_id"] = uuid.NewString()
		done, _ = p.order("copy", params)
		done.want(spool.Rejected, CodeConfigNotInForce)

		params["from_repository_id"], params["snapshot_ids"] = from, []string{first}
		source.ResticID = otherResticID
		p.config.Repositories[from] = source
		done, _ = p.order("copy", params)
		done.want(spool.Failed, CodeRepositoryChanged)
		if source.Location, err = restic.ParseLocation("/srv/elsewhere"); err != nil {
			t.Fatal(err)
		}
		p.config.Repositories[from] = source
		done, _ = p.order("copy", params)
		done.want(spool.Rejected, "repo_not_allowed")
	})
}

// TestWhatWritesRunsOnlyAtTheMaintenanceHost orders each operation that may not run at a
// host that is none.
func TestWhatWritesRunsOnlyAtTheMaintenanceHost(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 64)
	orders := map[string]map[string]any{
		"tag":              {"snapshot_ids": []string{id}, "add": []string{"x"}},
		"copy":             {"snapshot_ids": []string{id}, "from_repository_id": uuid.NewString()},
		"rewrite":          {"snapshot_ids": []string{id}, "excludes": []string{"x"}},
		"key-add":          {"secret_id": uuid.NewString(), "secret_version": 1},
		"key-remove":       {"key_id": id},
		"repair-index":     nil,
		"repair-snapshots": nil,
		"repair-packs":     {"pack_ids": []string{id}},
		"unlock":           {"lock_ids": []string{id}, "force": true},
	}
	fake := restictest.NewFake(t, fakeScript())
	p := newPlace(t, fake.Path())
	for operation, params := range orders {
		if from, ok := params["from_repository_id"].(string); ok {
			p.config.Repositories[from] = Repository{ID: from, Name: "other", Location: p.config.Repositories[repositoryID].Location, Password: passwordRef}
		}
		done, _ := p.order(operation, params)
		done.want(spool.Rejected, "operation_not_allowed")
	}
	if calls := fake.Calls(); len(calls) != 0 {
		t.Errorf("restic was started: %v", calls)
	}
}
