//go:build linux

package runner

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/retention"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// nas is a machine with an append-only rest-server and the agent that maintains its
// repository in the folder.
type nas struct {
	*place
	bins   restictest.Binaries
	server *restictest.RestServer
	folder string
	now    time.Time
}

const repositoryName = "web"

// newNas makes a machine whose repository is initialised over the append-only server.
func newNas(t *testing.T, suite, floors string) *nas {
	t.Helper()
	bins := restictest.Find(t, suite)
	n := &nas{place: newPlace(t, bins.Restic), bins: bins, server: restictest.StartRestServer(t, bins), now: time.Now()}
	n.folder = n.server.RepositoryDir(repositoryName)
	location, err := restic.ParseLocation(n.server.Location(repositoryName))
	if err != nil {
		t.Fatal(err)
	}
	folder, err := restic.ParseLocation(n.folder)
	if err != nil {
		t.Fatal(err)
	}
	n.options.Now = func() time.Time { return n.now }
	n.runner = New(n.options)
	n.secrets[credentialRef.ID] = restic.NewSecret(n.server.Password)
	n.repository(func(r *Repository) {
		r.Location, r.Credential = location, credentialRef
		r.Maintenance = &Maintenance{Location: folder, Schedules: []Kept{{
			ScheduleID: scheduleID, Name: "etc", HostName: "web-1", SnapshotHost: "web-1", Zone: time.UTC, Rules: retention.Rules{Daily: 3},
		}}}
	})
	n.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [\"" + location.String() + "\"]\nmaintenance:\n- path: " + n.folder + "\n" + floors)
	restictest.CheapRepository(t, bins.Restic, n.folder, password)
	return n
}

// restic runs one as a host would that has the append credential.
func (n *nas) restic(args ...string) string {
	return n.resticIn(n.server.Location(repositoryName), args...)
}

func (n *nas) resticIn(repository string, args ...string) string {
	n.t.Helper()
	out, err := n.tryIn(repository, args...)
	if err != nil {
		n.t.Fatalf("restic %v: %v\n%s", args, err, out)
	}
	return out
}

func (n *nas) tryIn(repository string, args ...string) (string, error) {
	cmd := exec.CommandContext(n.t.Context(), n.bins.Restic, append([]string{"--no-cache"}, args...)...)
	cmd.Env = []string{"RESTIC_REPOSITORY=" + repository, "RESTIC_PASSWORD=" + password, "HOME=" + n.t.TempDir(),
		"RESTIC_REST_USERNAME=" + n.server.User, "RESTIC_REST_PASSWORD=" + n.server.Password}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// snapshots are the ids of the files in the folder.
func (n *nas) snapshots() []string {
	n.t.Helper()
	var ids []string
	entries, err := os.ReadDir(filepath.Join(n.folder, "snapshots"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids
}

// backup makes a snapshot that claims a time, stored so long before now.
func (n *nas) backup(claims time.Time, ago time.Duration, args ...string) string {
	n.t.Helper()
	before := n.snapshots()
	writeFile(n.t, filepath.Join(n.source, "changes"), rand.Text())
	n.restic(append([]string{"backup", "--quiet", "--time", claims.Local().Format("2006-01-02 15:04:05"), n.source}, args...)...)
	for _, id := range n.snapshots() {
		if !slices.Contains(before, id) {
			at := n.now.Add(-ago)
			if err := os.Chtimes(filepath.Join(n.folder, "snapshots", id), at, at); err != nil {
				n.t.Fatal(err)
			}
			return id
		}
	}
	n.t.Fatal("no snapshot was made")
	return ""
}

// good makes a snapshot of the schedule, so many days ago.
func (n *nas) good(days int) string {
	n.t.Helper()
	ago := time.Duration(days) * 24 * time.Hour
	return n.backup(n.now.Add(-ago), ago, "--host=web-1", "--tag=rm:schedule:"+scheduleID)
}

// tree is a digest of everything in the folder but locks.
func (n *nas) tree() string {
	n.t.Helper()
	var all []string
	err := filepath.WalkDir(n.folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(path, "/locks/") {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, fmt.Sprintf("%s %x", path, sha256.Sum256(content)))
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// rowsOf are the rows that a job handed over.
func (n *nas) rowsOf(jobID string) []map[string]any {
	n.t.Helper()
	n.mu.Lock()
	packed := n.listings[jobID]
	n.mu.Unlock()
	if len(packed) == 0 {
		return nil
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		n.t.Fatal(err)
	}
	var list []map[string]any
	lines := json.NewDecoder(zip)
	for {
		var row map[string]any
		if err := lines.Decode(&row); err == io.EOF {
			return list
		} else if err != nil {
			n.t.Fatal(err)
		}
		list = append(list, row)
	}
}

// order runs a job and returns its outcome, its facts and its rows.
func (n *nas) order(operation string, params map[string]any) (control.Outcome, map[string]any, []map[string]any) {
	n.t.Helper()
	all := repositoryParams()
	maps.Copy(all, params)
	job := n.command(operation, all)
	n.runner.Run(n.t.Context(), job)
	outcome := n.recorded(job.ID).outcome()
	facts := map[string]any{}
	if len(outcome.Facts) > 0 {
		if err := json.Unmarshal(outcome.Facts, &facts); err != nil {
			n.t.Fatal(err)
		}
	}
	return outcome, facts, n.rowsOf(job.ID)
}

// must fails unless an order ended so.
func (n *nas) must(result spool.Result, code, operation string, params map[string]any) (control.Outcome, map[string]any, []map[string]any) {
	n.t.Helper()
	outcome, facts, rows := n.order(operation, params)
	if outcome.Result != result || outcome.Code != code {
		n.t.Fatalf("%s ended as %s %q (%s), want %s %q", operation, outcome.Result, outcome.Code, outcome.Message, result, code)
	}
	return outcome, facts, rows
}

// inFolder works in the repository's folder as a command of root's does.
func (n *nas) inFolder(work func(*upkeep.Folder) error) {
	n.t.Helper()
	folder, err := upkeep.OpenFolder(n.folder, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	defer folder.Close()
	if err := work(folder); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nas) copies() (list []upkeep.Copy) {
	n.t.Helper()
	n.inFolder(func(f *upkeep.Folder) (err error) {
		list, err = f.Copies()
		return err
	})
	return list
}

func onEachNas(t *testing.T, test func(t *testing.T, suite string)) {
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) { t.Parallel(); test(t, suite) })
	}
}

// TestRetentionRemovesWhatNoRuleKeepsAndTheRestCanBeBroughtBack goes once around: plan,
// forget, prune, undo.
func TestRetentionRemovesWhatNoRuleKeepsAndTheRestCanBeBroughtBack(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		n := newNas(t, suite, "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n  undo_days: 2\n")
		var ids []string
		for days := 6; days > 0; days-- {
			ids = append(ids, n.good(days))
		}
		before := n.tree()
		_, facts, rows := n.must(spool.Succeeded, "", "retention", map[string]any{"dry_run": true})
		if facts["removed"] != 3.0 || facts["dry_run"] != true || len(rows) != 6 || n.tree() != before {
			t.Fatalf("the plan: %v, %d rows", facts, len(rows))
		}
		// What the server doubts is a suspect, neither relied on nor removed.
		_, facts, rows = n.must(spool.Succeeded, "", "retention", map[string]any{"dry_run": true, "doubted": []string{ids[0], ids[4]}})
		for _, row := range rows {
			if doubted := slices.Contains([]string{ids[0], ids[4]}, row["snapshot_id"].(string)); doubted != (row["verdict"] == "suspect") {
				t.Errorf("with doubts: row %v", row)
			}
		}
		if facts["suspects"] != 2.0 || facts["removed"] != 1.0 {
			t.Errorf("with doubts: %v", facts)
		}
		outcome, facts, rows := n.must(spool.Succeeded, "", "retention", nil)
		if left := n.snapshots(); len(left) != 3 || facts["removed"] != 3.0 || slices.Contains(left, ids[0]) || outcome.Rows != 6 {
			t.Fatalf("left %v, %v, %s", left, facts, outcome.Message)
		}
		for _, row := range rows {
			if gone := slices.Index(ids, row["snapshot_id"].(string)) < 3; gone != (row["verdict"] == "remove") || len(row["reasons"].([]any)) == 0 {
				t.Errorf("row %v", row)
			}
		}
		outcome, facts, _ = n.must(spool.Succeeded, "", "prune", nil)
		if facts["freed_bytes"].(float64) <= 0 || facts["undo"] == "" || facts["verified"] != "all read now" || facts["unexplained_bytes"] != 0.0 {
			t.Fatalf("prune: %v, %s", facts, outcome.Message)
		}
		until, _, _ := strings.Cut(facts["undo_until"].(string), "T")
		if strings.Contains(outcome.Message, "freed") || strings.Count(outcome.Message, until) != 1 {
			t.Errorf("while a copy holds what was removed until %s it says: %s", until, outcome.Message)
		}
		n.restic("check", "--no-lock")
		// The copy is a repository; and what is gone comes back, data first.
		n.resticIn(facts["undo"].(string), "check", "--no-lock", "--read-data")
		copies := n.copies()
		if len(copies) != 2 {
			t.Fatalf("%v", copies)
		}
		for _, c := range slices.Backward(copies) {
			n.inFolder(func(f *upkeep.Folder) error {
				_, err := f.BringBack(c.Name)
				return err
			})
		}
		if back := n.snapshots(); len(back) != 6 {
			t.Errorf("%d snapshots are back, want 6", len(back))
		}
		n.restic("check", "--no-lock", "--read-data")
		n.restic("restore", ids[0], "--no-lock", "--target", t.TempDir())
		// In time the copies go, and not because the clock jumps.
		for i, left := range []int{2, 2, 0} {
			n.must(spool.Succeeded, "", "inspect", nil)
			if copies := n.copies(); len(copies) != left {
				t.Errorf("look %d leaves %v, want %d", i, copies, left)
			}
			n.now = n.now.AddDate(0, 0, []int{400, 1, 0}[i])
		}
	})
}

// TestShadowSnapshotsCostNoGoodOne has what is added by somebody with the password and the
// append credential (ATK-9), where restic's own forget is seen to choose the good ones.
func TestShadowSnapshotsCostNoGoodOne(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		n := newNas(t, suite, "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
		var good []string
		for days := 4; days > 0; days-- {
			good = append(good, n.good(days))
		}
		tag := "--tag=rm:schedule:" + scheduleID
		n.must(spool.Succeeded, "", "inspect", nil) // watched from here on
		var shadows []string
		for i := range 3 { // L2
			shadows = append(shadows, n.backup(time.Date(2099, 1, 1+i, 0, 0, 0, 0, time.UTC), 0, "--host=web-1", tag))
		}
		for days := 4; days > 0; days-- { // L3
			at := n.now.AddDate(0, 0, -days)
			shadows = append(shadows, n.backup(time.Date(at.Year(), at.Month(), at.Day(), 23, 59, 0, 0, time.UTC).Add(-24*time.Hour), 0, "--host=web-1", tag))
		}
		shadows = append(shadows, n.backup(n.now, 0, "--host=other", tag))
		var chosen []struct {
			Remove []struct {
				ID string `json:"id"`
			} `json:"remove"`
		}
		out := n.restic("forget", "--json", "--dry-run", "--no-lock", "--group-by=", "--keep-daily=3")
		if err := json.Unmarshal([]byte(out), &chosen); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		lost := 0
		for _, r := range chosen[0].Remove {
			if slices.Contains(good, r.ID) {
				lost++
			}
		}
		if lost < 3 {
			t.Errorf("restic's own rule chooses only %d good ones: the attack is none", lost)
		}
		_, facts, _ := n.must(spool.Succeeded, "", "retention", nil)
		left := n.snapshots()
		for _, id := range append(good[1:], shadows...) {
			if !slices.Contains(left, id) {
				t.Errorf("%.8s is gone", id)
			}
		}
		if facts["suspects"] != float64(len(shadows)) {
			t.Errorf("facts %v, want %d suspects", facts, len(shadows))
		}
	})
}

// TestNoOrderOfAServerTakesMoreThanTheFloorsAllow gives the orders of a server that was
// taken over, a thousand times (ATK-8).
func TestNoOrderOfAServerTakesMoreThanTheFloorsAllow(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	var ids []string
	for days := 5; days > 0; days-- {
		ids = append(ids, n.good(days))
	}
	n.repository(func(r *Repository) {
		m := *r.Maintenance
		m.Schedules = []Kept{{ScheduleID: scheduleID, SnapshotHost: "web-1", Rules: retention.Rules{Last: 1}}}
		r.Maintenance = &m
	})
	n.must(spool.Succeeded, "", "retention", nil)
	n.must(spool.Rejected, CodeRetentionFloor, "forget", map[string]any{"snapshot_ids": ids})
	n.must(spool.Rejected, CodeRetentionFloor, "forget", map[string]any{"snapshot_ids": ids[:1]})
	n.must(spool.Succeeded, "", "prune", nil) // may pack small packs together
	if left := n.snapshots(); len(left) != len(ids) {
		t.Fatalf("left %v", left)
	}
	n.restic("check", "--no-lock", "--read-data")
	before := n.tree()
	evil := []struct {
		operation, params string
	}{
		{"forget", `{"repository_id":"` + repositoryID + `","snapshot_ids":[]}`},
		{"forget", `{"repository_id":"` + repositoryID + `"}`},
		{"forget", `{"repository_id":"` + repositoryID + `","snapshot_ids":["latest"]}`},
		{"forget", `{"repository_id":"` + repositoryID + `","snapshot_ids":["--prune"]}`},
		{"forget", `{"repository_id":"` + repositoryID + `","snapshot_ids":["` + ids[0] + `"],"keep_last":0}`},
		{"retention", `{"repository_id":"` + repositoryID + `","keep_last":1}`},
		{"prune", `{"repository_id":"` + repositoryID + `","unsafe_recover_no_free_space":true}`},
		{"prune", `{"repository_id":"` + uuid.NewString() + `"}`},
		{"exec", `{}`},
	}
	orders := 10 * len(evil)
	if os.Getenv("RM_PROOF") != "" {
		orders = 1000
	}
	for i := range orders {
		e := evil[i%len(evil)]
		outcome := n.do(e.operation, json.RawMessage(e.params)).outcome()
		if outcome.Result != spool.Rejected {
			t.Fatalf("%s %s ended as %s %s", e.operation, e.params, outcome.Result, outcome.Code)
		}
	}
	if n.tree() != before {
		t.Error("the repository has changed")
	}
}

// TestWhatDeletesRunsOnlyWhereThePolicyMaintains takes the entry away.
func TestWhatDeletesRunsOnlyWhereThePolicyMaintains(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	location := n.server.Location(repositoryName)
	n.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [\"" + location + "\", " + n.folder + "]\n")
	for _, operation := range []string{"retention", "forget", "prune", "inspect"} {
		params := map[string]any{}
		if operation == "forget" {
			params["snapshot_ids"] = n.snapshots()
		}
		n.must(spool.Rejected, policy.CodeOperationNotAllowed, operation, params)
	}
	n.must(spool.Succeeded, "", "snapshots", nil) // as any host, over the server
	n.writePolicy("version: 1\nprofile: guarded\nmaintenance:\n- path: " + n.folder + "\n  repository_id: " + strings.Repeat("a1", 32) + "\n")
	n.must(spool.Failed, CodeRepositoryChanged, "prune", nil)
}

// A wrong folder was typed more often than a repository was lost, and both are told.
func TestAFolderWithoutTheRepositoryIsNotSaidToHaveHadIt(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	wrong, err := restic.ParseLocation(filepath.Dir(n.folder))
	if err != nil {
		t.Fatal(err)
	}
	n.writePolicy("version: 1\nprofile: guarded\nmaintenance:\n- path: " + wrong.Path() + "\n")
	n.repository(func(r *Repository) {
		r.ResticID = strings.Repeat("a1", 32)
		m := *r.Maintenance
		m.Location = wrong
		r.Maintenance = &m
	})
	got, _, _ := n.must(spool.Failed, CodeMaintenanceFolder, "prune", nil)
	if strings.Contains(got.Message, "gone") || !strings.Contains(got.Message, wrong.Path()) || !strings.Contains(got.NextStep, "correct the repository's folder") {
		t.Errorf("it says: %s; %s", got.Message, got.NextStep)
	}
}

// TestResticRunsAsTheOwnerOfTheRepositorysFolder would lock rest-server out otherwise.
func TestResticRunsAsTheOwnerOfTheRepositorysFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("this test must run as root")
	}
	n := newNas(t, "trixie", "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
	for days := 6; days > 0; days-- {
		n.good(days)
	}
	const owner = 54321
	for at := n.folder; at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, owner, owner)
	}
	if err := filepath.WalkDir(filepath.Dir(n.folder), own); err != nil {
		t.Fatal(err)
	}
	n.must(spool.Succeeded, "", "retention", nil)
	n.must(spool.Succeeded, "", "prune", nil)
	err := filepath.WalkDir(filepath.Dir(n.folder), func(path string, e fs.DirEntry, err error) error {
		if info, err := e.Info(); err == nil && info.Sys().(*syscall.Stat_t).Uid != owner {
			t.Errorf("%s belongs to another", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAHandedOverCredentialIsFetchedOnceAndKeptNowhere prunes over a server that deletes.
func TestAHandedOverCredentialIsFetchedOnceAndKeptNowhere(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	for days := 3; days > 0; days-- {
		n.good(days)
	}
	n.restic("check", "--no-lock")
	open := restictest.StartRestServer(t, n.bins, restictest.WithDeletes(), restictest.WithDataDir(n.server.DataDir))
	location, err := restic.ParseLocation(open.Location(repositoryName))
	if err != nil {
		t.Fatal(err)
	}
	ref := secret.Ref{ID: uuid.NewString(), Version: 1}
	n.secrets[ref.ID] = restic.NewSecret(open.Password)
	n.usernames = map[string]string{ref.ID: open.User}
	n.repository(func(r *Repository) {
		m := *r.Maintenance
		m.Location, m.Credential = location, ref
		r.Maintenance = &m
	})
	if slices.Contains(n.config.SecretRefs(), ref) {
		t.Error("the host would keep the credential")
	}
	n.must(spool.Rejected, policy.CodeOperationNotAllowed, "retention", nil)
	n.writePolicy("version: 1\nprofile: guarded\nmaintenance:\n- location: " + location.String() + "\n  keep_days: 1\n  keep_last: 1\n")
	_, facts, _ := n.must(spool.Succeeded, "", "retention", nil)
	if !strings.Contains(facts["first_seen_by"].(string), "this host") || !slices.Contains(n.once, ref) {
		t.Errorf("facts %v, fetched once %v", facts, n.once)
	}
	outcome, _, _ := n.must(spool.Succeeded, "", "prune", nil)
	if outcome.Message == "" || strings.Contains(n.all(), open.Password) {
		t.Errorf("message %q", outcome.Message)
	}
}

// upload stores an object as anybody can who has the append credential.
func (n *nas) upload(folder string, content []byte) (name string) {
	n.t.Helper()
	sum := sha256.Sum256(content)
	name = hex.EncodeToString(sum[:])
	address := strings.TrimPrefix(n.server.Location(repositoryName), "rest:") + folder + "/" + name
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, address, bytes.NewReader(content))
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth(n.server.User, n.server.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		n.t.Fatalf("upload to %s: %s", folder, resp.Status)
	}
	return name
}

// TestJunkIsFoundAndPutAside uploads it into each folder (ATK-11). What restic still does
// with it is recorded; after the quarantine everything works.
func TestJunkIsFoundAndPutAside(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		for _, junk := range []struct {
			folder string
			size   int
			works  map[string]bool // with the junk in place
		}{
			{"locks", 64, map[string]bool{"retention": false, "snapshots": true, "restore": true, "backup": false}}, // waited for, so the first
			{"keys", 12, map[string]bool{"retention": true, "snapshots": true, "restore": true, "backup": true}},
			{"keys", 64, map[string]bool{"retention": true, "snapshots": true, "restore": true, "backup": true}},
			{"snapshots", 64, map[string]bool{"retention": true, "snapshots": true, "restore": true, "backup": false}},
			{"index", 64, map[string]bool{"retention": true, "snapshots": true, "restore": false, "backup": false}},
			{"data", 64, map[string]bool{"retention": true, "snapshots": true, "restore": true, "backup": true}},
		} {
			if junk.folder == "locks" && suite != "trixie" {
				continue // both wait half a minute for such a lock
			}
			t.Run(fmt.Sprint(junk.folder, junk.size), func(t *testing.T) {
				t.Parallel()
				n := newNas(t, suite, "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
				key, newest := "", ""
				for days := 4; days > 0; days-- {
					newest = n.good(days)
				}
				if entries, err := os.ReadDir(filepath.Join(n.folder, "keys")); err != nil || len(entries) != 1 {
					t.Fatal(err)
				} else {
					key = entries[0].Name()
				}
				n.repository(func(r *Repository) { r.KeyID = key })
				n.must(spool.Succeeded, "", "inspect", nil)
				content := make([]byte, junk.size)
				rand.Read(content)
				name := n.upload(junk.folder, content)
				restore := func() bool {
					_, err := n.tryIn(n.server.Location(repositoryName), "--key-hint="+key, "restore", newest, "--no-lock", "--target", t.TempDir())
					return err == nil
				}
				backup := func() bool {
					_, err := n.tryIn(n.server.Location(repositoryName), "--key-hint="+key, "backup", n.source)
					return err == nil
				}
				if got := restore(); got != junk.works["restore"] {
					t.Errorf("restore works: %v", got)
				}
				if got := backup(); got != junk.works["backup"] {
					t.Errorf("backup works: %v", got)
				}
				if outcome, _, _ := n.order("snapshots", nil); (outcome.Result == spool.Succeeded) != junk.works["snapshots"] {
					t.Errorf("snapshots: %s %s", outcome.Result, outcome.Code)
				}
				if junk.folder != "locks" { // it would wait for that lock's end
					if outcome, _, _ := n.order("retention", nil); (outcome.Result == spool.Succeeded) != junk.works["retention"] {
						t.Errorf("retention: %s %s %s", outcome.Result, outcome.Code, outcome.Message)
					}
				}
				if junk.folder == "data" {
					return // a pack that no index names is nobody's; prune removes it
				}
				_, facts, rows := n.must(spool.Warning, CodeForeignObjects, "inspect", nil)
				object := junk.folder + "/" + name
				if facts["foreign_objects"] != 1.0 || !slices.ContainsFunc(rows, func(r map[string]any) bool { return r["object"] == object && r["kind"] == "foreign" }) {
					t.Fatalf("facts %v, rows %v", facts, rows)
				}
				n.inFolder(func(f *upkeep.Folder) error {
					_, err := f.Quarantine([]string{object}, n.now)
					return err
				})
				for _, args := range [][]string{{"restore", newest, "--no-lock", "--target", t.TempDir()}, {"backup", n.source}} {
					if out, err := n.tryIn(n.server.Location(repositoryName), append([]string{"--key-hint=" + key}, args...)...); err != nil {
						t.Errorf("with the junk put aside, restic %s does not work: %v\n%s", args[0], err, out)
					}
				}
				_, facts, _ = n.order("inspect", nil)
				if facts["foreign_objects"] != 0.0 {
					t.Errorf("facts %v", facts)
				}
			})
		}
	})
}

// TestAKeyThatWasAddedIsTold plants a second password (L6, ATK-12).
func TestAKeyThatWasAddedIsTold(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	n.must(spool.Succeeded, "", "inspect", nil)
	words := filepath.Join(t.TempDir(), "second")
	writeFile(t, words, "second")
	n.restic("key", "add", "--new-password-file", words, "--user", "mallory", "--host", "evil")
	params := repositoryParams()
	params["dry_run"] = true
	job := n.command("retention", params)
	n.runner.Run(t.Context(), job)
	if said := strings.Join(n.recorded(job.ID).messages(), "\n"); !strings.Contains(said, "1 key was added") {
		t.Errorf("retention does not say so:\n%s", said)
	}
	_, facts, rows := n.must(spool.Warning, CodeForeignObjects, "inspect", nil)
	if facts["keys"] != 2.0 || facts["foreign_keys"] != 1.0 || len(rows) != 1 || !strings.Contains(rows[0]["problem"].(string), "mallory") {
		t.Errorf("facts %v, rows %v", facts, rows)
	}
	if err := upkeep.AcceptKey(n.options.Upkeep, strings.TrimPrefix(rows[0]["object"].(string), "keys/")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once from what root has said, then from the ledger
		_, facts, _ = n.must(spool.Succeeded, "", "inspect", nil)
		if facts["keys"] != 2.0 || facts["foreign_keys"] != 0.0 {
			t.Errorf("facts %v", facts)
		}
		if err := os.Remove(filepath.Join(n.options.Upkeep, "accepted-keys")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// TestADamagedLedgerStopsAllRemoval changes one byte of it.
func TestADamagedLedgerStopsAllRemoval(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
	for days := 6; days > 0; days-- {
		n.good(days)
	}
	n.must(spool.Succeeded, "", "retention", map[string]any{"dry_run": true})
	files, err := filepath.Glob(filepath.Join(n.options.Upkeep, "*.ledger"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(content, []byte(`"first":"20`), []byte(`"first":"19`), 1)
	if err := os.WriteFile(files[0], changed, 0o600); err != nil {
		t.Fatal(err)
	}
	before := n.tree()
	for _, operation := range []string{"retention", "prune", "inspect"} {
		n.must(spool.Failed, CodeLedgerDamaged, operation, nil)
	}
	if n.tree() != before {
		t.Error("something was removed")
	}
}

// TestAForgetThatTheStorageRefusedIsNoSuccess hands over a credential that cannot delete:
// restic 0.18 then ends with 0.
func TestAForgetThatTheStorageRefusedIsNoSuccess(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		n := newNas(t, suite, "")
		var ids []string
		for days := 6; days > 0; days-- {
			ids = append(ids, n.good(days))
		}
		n.repository(func(r *Repository) {
			m := *r.Maintenance
			m.Location, m.Credential = r.Location, credentialRef
			r.Maintenance = &m
		})
		n.writePolicy("version: 1\nprofile: guarded\nmaintenance:\n- location: " + n.server.Location(repositoryName) + "\n  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
		_, facts, _ := n.must(spool.Failed, CodeForgetIncomplete, "retention", nil)
		if left := n.snapshots(); len(left) != len(ids) || facts["removed"] != 0.0 {
			t.Errorf("left %v, facts %v", left, facts)
		}
	})
}

// TestASnapshotWithOtherTagsKeepsItsPlace tags one of a schedule: it is another to restic.
func TestASnapshotWithOtherTagsKeepsItsPlace(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
	id := n.good(3)
	n.good(1)
	n.must(spool.Succeeded, "", "tag", map[string]any{"snapshot_ids": []string{id}, "add": []string{"mine"}})
	_, facts, rows := n.must(spool.Succeeded, "", "retention", map[string]any{"dry_run": true})
	if facts["suspects"] != 0.0 || facts["snapshots"] != 2.0 {
		t.Errorf("facts %v, rows %v", facts, rows)
	}
}
