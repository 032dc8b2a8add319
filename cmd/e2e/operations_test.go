//go:build linux

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// shown is a repository with a host that backs up over the append-only rest-server, and one
// that maintains it in its folder. Every operation is asked for there, and what it tells is
// held against what plain restic prints.
type shown struct {
	*world
	web, nas           *host
	repository, second string
	source             string
	old, first, last   string // snapshots
	asked              map[string]bool
	by                 orderer
}

const shownName = "main"

func newShown(t *testing.T, suite string) *shown {
	t.Helper()
	s := &shown{world: newWorld(t, withSuite(suite)), source: files(t, 60), asked: map[string]bool{}}
	s.repository = s.addRepository(shownName, repositorySpec{})
	s.second = s.addRepository("second", repositorySpec{fresh: true})
	s.web = s.addHost("web-1", s.repository, []string{s.source})
	s.nas = s.addHost("nas", s.second, []string{files(t, 3)})
	s.maintain(s.repository, shownName)
	s.maintain(s.second, "second")

	s.first = s.web.backUp("succeeded").Outcome.SnapshotID
	s.old = s.backdated()
	changed, gone, added := filepath.Join(s.source, "d03", "file 3.txt"), filepath.Join(s.source, "d04", "file 4.txt"), filepath.Join(s.source, "d05", "a [new] one*")
	if err := errors.Join(os.Remove(gone), os.WriteFile(changed, []byte("changed"), 0o600), os.WriteFile(added, []byte("added"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return s
}

// maintain makes the nas the maintenance host of a repository in its folder. Its own file
// keeps as little as it can.
func (s *shown) maintain(repository, name string) {
	s.t.Helper()
	policy, err := os.OpenFile(filepath.Join(s.nas.dir, "policy.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer policy.Close()
	if text, err := os.ReadFile(policy.Name()); err != nil {
		s.t.Fatal(err)
	} else if !bytes.Contains(text, []byte("\nmaintenance:\n")) {
		fmt.Fprint(policy, "\nmaintenance:\n")
	}
	fmt.Fprintf(policy, "- path: %s\n  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n", s.rest.RepositoryDir(name))
	s.api.must("PUT", "/api/v1/repositories/"+repository+"/maintenance-host", obj{"host_id": s.nas.id, "location": s.rest.RepositoryDir(name)}, nil)
	eventually(s.t, "the nas may maintain "+name, time.Minute, func() bool {
		var r struct {
			State       string
			Maintenance struct{ Allowed string }
		}
		return s.api.call("GET", "/api/v1/repositories/"+repository, nil, &r) == nil && r.State == "ready" && r.Maintenance.Allowed == "yes"
	})
}

// plain is what restic prints about the repository in its folder.
func (s *shown) plain(name string, args ...string) string {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), s.bins.Restic, append([]string{"--no-cache"}, args...)...)
	c.Env = []string{"RESTIC_REPOSITORY=" + s.rest.RepositoryDir(name), "RESTIC_PASSWORD=" + s.sheet(s.id(name)).Password, "HOME=" + s.t.TempDir()}
	var words bytes.Buffer
	c.Stderr = &words
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("restic %v: %v\n%s%s", args, err, out, &words)
	}
	return string(out)
}

func (s *shown) id(name string) string {
	if name == shownName {
		return s.repository
	}
	return s.second
}

// ids are the snapshots that plain restic lists.
func (s *shown) ids(name string) (ids []string) {
	s.t.Helper()
	for _, snapshot := range s.listed(name) {
		ids = append(ids, snapshot.ID)
	}
	slices.Sort(ids)
	return ids
}

type listed struct {
	ID       string
	Hostname string
	Tags     []string
}

func (s *shown) listed(name string) (list []listed) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.plain(name, "snapshots", "--json", "--no-lock")), &list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// backdated makes a snapshot of the same schedule that was stored twenty days ago.
func (s *shown) backdated() string {
	s.t.Helper()
	before := s.listed(shownName)
	at := time.Now().AddDate(0, 0, -20)
	s.plain(shownName, "backup", "--quiet", "--host="+before[0].Hostname, "--tag=rm:schedule:"+s.web.schedule, "--time="+at.Format(time.DateTime), s.source)
	for _, id := range s.ids(shownName) {
		if id != before[0].ID {
			if err := os.Chtimes(filepath.Join(s.rest.RepositoryDir(shownName), "snapshots", id), at, at); err != nil {
				s.t.Fatal(err)
			}
			return id
		}
	}
	s.t.Fatal("no snapshot was made")
	return ""
}

// ask orders an operation on a repository and demands its success.
func (s *shown) ask(operation string, params obj) done { return s.askOf(shownName, operation, params) }

func (s *shown) askOf(name, operation string, params obj) done {
	s.t.Helper()
	s.asked[operation] = true
	if params == nil {
		params = obj{}
	}
	return s.end(s.by.in(s.id(name), name, operation, params)).want(s.t, "succeeded", "")
}

// end waits for a job's, and reads what it told.
func (s *shown) end(job string) done {
	s.t.Helper()
	return s.told(s.finished(job, 3*time.Minute))
}

// at orders an operation at the host that backs up, which has the append credential.
func (s *shown) at(operation string, params obj) done {
	s.t.Helper()
	s.asked[operation] = true
	params["repository_id"] = s.repository
	return s.end(s.by.at(s.web.id, operation, params)).want(s.t, "succeeded", "")
}

// same compares what an operation told with what restic printed.
func (s *shown) same(what string, told, printed any) {
	s.t.Helper()
	if diff := cmp.Diff(printed, told); diff != "" {
		s.t.Errorf("%s: restic prints (-), the job tells (+)\n%s", what, diff)
	}
}

// lines are those of a text that begin so, sorted.
func lines(text, begin string) (list []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, begin) {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list
}

// column is one member of each row, sorted.
func (d done) column(name string) (list []string) {
	for _, row := range d.rows {
		text, _ := row[name].(string)
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

// Each operation is asked for on a real repository, by scripts and by a person in Chromium,
// with both restics, and tells what restic itself prints.
func TestEveryOperationTellsWhatResticPrints(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		ways := map[string]func(t *testing.T, w *world) orderer{
			"by the API":   func(_ *testing.T, w *world) orderer { return byAPI{w.api} },
			"by the pages": func(t *testing.T, w *world) orderer { return newByPages(t, w) },
		}
		for name, way := range ways {
			t.Run(suite+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newShown(t, suite)
				s.by = way(t, s.world)
				s.previewAndBackUp()
				s.look()
				s.list()
				s.compare()
				s.bring()
				s.lock()
				s.replace()
				s.mend()
				s.thin()
				for _, op := range restic.Operations() {
					if !s.asked[op.Name] {
						t.Errorf("%s was not asked for", op.Name)
					}
				}
			})
		}
	}
}

func (s *shown) previewAndBackUp() {
	s.asked["preview"], s.asked["backup"] = true, true
	d := s.end(s.by.preview(s.web)).want(s.t, "succeeded", "")
	var printed struct {
		New     float64 `json:"files_new"`
		Changed float64 `json:"files_changed"`
		Files   float64 `json:"total_files_processed"`
		Bytes   float64 `json:"total_bytes_processed"`
	}
	text := lines(s.plain(shownName, "backup", "--dry-run", "--json", "--parent="+s.first, s.source), `{"message_type":"summary"`)
	if err := json.Unmarshal([]byte(text[0]), &printed); err != nil {
		s.t.Fatal(err)
	}
	s.same("preview", []any{d.facts["new_files"], d.facts["changed_files"], d.facts["planned_files"], d.facts["planned_bytes"]},
		[]any{printed.New, printed.Changed, printed.Files, printed.Bytes})
	s.last = s.end(s.by.backUp(s.web)).want(s.t, "succeeded", "").Outcome.SnapshotID
	if !slices.Contains(s.ids(shownName), s.last) {
		s.t.Error("the backup's snapshot is not listed")
	}
}

// look asks what the repository is.
func (s *shown) look() {
	for name, operation := range map[string]string{shownName: "identify", "second": "init"} { // once in a repository's life
		s.asked[operation] = true
		var r struct {
			Init string `json:"init_job_id"`
		}
		s.api.must("GET", "/api/v1/repositories/"+s.id(name), nil, &r)
		d := s.told(s.finished(r.Init, time.Minute)).want(s.t, "succeeded", "")
		var config struct{ ID string }
		if err := json.Unmarshal([]byte(s.plain(name, "cat", "config", "--no-lock")), &config); err != nil {
			s.t.Fatal(err)
		}
		var known struct {
			ID string `json:"restic_id"`
		}
		s.api.must("GET", "/api/v1/repositories/"+s.id(name), nil, &known)
		s.same(d.Operation, []string{d.Operation, known.ID}, []string{operation, config.ID})
		if operation == "identify" {
			s.same("the keys", d.column("id"), s.keys())
		}
	}
	s.at("snapshots", obj{})
	var page struct{ Snapshots []struct{ ID string } }
	s.api.must("GET", "/api/v1/snapshots?repository_id="+s.repository, nil, &page)
	var told []string
	for _, snapshot := range page.Snapshots {
		told = append(told, snapshot.ID)
	}
	slices.Sort(told)
	s.same("snapshots", told, s.ids(shownName))
	for _, mode := range []string{"restore-size", "raw-data", "files-by-contents", "blobs-per-file"} {
		printed := map[string]any{}
		if err := json.Unmarshal([]byte(s.plain(shownName, "stats", "--json", "--no-lock", "--mode="+mode)), &printed); err != nil {
			s.t.Fatal(err)
		}
		told := s.at("stats", obj{"mode": mode}).facts
		for _, name := range []string{"total_size", "total_file_count", "total_blob_count", "snapshots_count", "total_uncompressed_size"} {
			if printed[name] != nil || told[name] != nil {
				s.same("stats "+mode+" "+name, told[name], printed[name])
			}
		}
	}
	d := s.ask("inspect", nil)
	s.same("inspect", []any{d.facts["snapshots"], d.facts["foreign_objects"], d.facts["keys"]}, []any{float64(len(told)), 0.0, 1.0})
}

// list asks for names.
func (s *shown) list() {
	all := lines(s.plain(shownName, "ls", "--no-lock", s.last), "/")
	s.same("ls", s.at("ls", obj{"snapshot_id": s.last, "recursive": true}).column("path"), all)
	in := filepath.Join(s.source, "d05")
	s.same("ls of a folder", s.at("ls", obj{"snapshot_id": s.last, "path": in}).column("path"), lines(s.plain(shownName, "ls", "--no-lock", s.last, in), "/"))
	var printed []string
	of := ""
	for _, line := range strings.Split(s.plain(shownName, "find", "--no-lock", "*[[]new*", "file 4.txt"), "\n") {
		if rest, ok := strings.CutPrefix(line, "Found matching entries in snapshot "); ok {
			of = strings.Fields(rest)[0]
		} else if line != "" {
			printed = append(printed, of[:8]+" "+line)
		}
	}
	var told []string
	for _, row := range s.at("find", obj{"patterns": []string{"*[[]new*", "file 4.txt"}}).rows {
		told = append(told, fmt.Sprint(row["snapshot_id"])[:8]+" "+fmt.Sprint(row["path"]))
	}
	slices.Sort(printed)
	slices.Sort(told)
	s.same("find", told, printed)

	s.asked["index"] = true
	path := "/api/v1/repositories/" + s.repository + "/snapshots/" + s.last
	s.by.index(s.repository, s.last)
	eventually(s.t, "the snapshot is browsable", time.Minute, func() bool {
		var d struct{ Index struct{ State string } }
		return s.api.call("GET", path, nil, &d) == nil && d.Index.State == "ready"
	})
	var entries struct{ Entries []struct{ Path string } }
	s.api.must("GET", path+"/entries?path="+url.QueryEscape(in), nil, &entries)
	told = nil
	for _, e := range entries.Entries {
		told = append(told, e.Path)
	}
	slices.Sort(told)
	s.same("index", told, lines(s.plain(shownName, "ls", "--no-lock", s.last, in), in+"/"))
}

func (s *shown) compare() {
	var printed []string
	for _, line := range strings.Split(s.plain(shownName, "diff", "--no-lock", s.first, s.last), "\n") {
		if sign, path, ok := strings.Cut(line, "    "); ok && strings.HasPrefix(path, "/") {
			printed = append(printed, sign+" "+path)
		}
	}
	var told []string
	for _, row := range s.at("diff", obj{"from": s.first, "to": s.last}).rows {
		told = append(told, fmt.Sprint(row["modifier"])+" "+fmt.Sprint(row["path"]))
	}
	slices.Sort(printed)
	slices.Sort(told)
	s.same("diff", told, printed)
	if len(told) != 3 {
		s.t.Errorf("%d changes, want 3: %v", len(told), told)
	}
}

// bring gets files back.
func (s *shown) bring() {
	file := filepath.Join(s.source, "d03", "file 3.txt")
	d := s.at("dump", obj{"snapshot_id": s.first, "path": file})
	at, _ := d.facts["target_path"].(string)
	got, err := os.ReadFile(at)
	if err != nil {
		s.t.Error(err)
	}
	s.same("dump", string(got), s.plain(shownName, "dump", "--no-lock", s.first, file))
	d = s.at("restore", obj{"snapshot_id": s.first, "target": "staging", "verify": true})
	at, _ = d.facts["target_path"].(string)
	plain := s.t.TempDir()
	s.plain(shownName, "restore", "--no-lock", s.first, "--target", plain)
	s.same("restore", restictest.Tree(s.t, filepath.Join(at, s.source)), restictest.Tree(s.t, filepath.Join(plain, s.source)))
}

// lock lists a lock that a living restic holds, which nobody can have removed.
func (s *shown) lock() {
	pid, release := s.world.lock(shownName, s.repository)
	s.at("locks", obj{})
	var page struct {
		Locks []struct {
			ID        string
			PID       int
			Exclusive bool
		}
	}
	s.api.must("GET", "/api/v1/repositories/"+s.repository+"/locks", nil, &page)
	if len(page.Locks) != 1 || page.Locks[0].PID != pid || !page.Locks[0].Exclusive {
		s.t.Fatalf("locks %+v, want one of %d", page.Locks, pid)
	}
	s.same("locks", page.Locks[0].ID, strings.TrimSpace(s.plain(shownName, "list", "locks", "--no-lock")))
	d := s.at("unlock", obj{})
	s.same("unlock of what lives", []any{d.facts["removed"], d.facts["kept"]}, []any{0.0, 1.0})
	d = s.end(s.by.in(s.repository, shownName, "unlock", obj{"lock_ids": []string{page.Locks[0].ID}, "force": true})).want(s.t, "failed", "lock_in_use")
	s.same("unlock by force of what lives", []any{d.facts["removed"], strings.TrimSpace(s.plain(shownName, "list", "locks", "--no-lock"))}, []any{0.0, page.Locks[0].ID})
	release()
}

// replace changes snapshots into others.
func (s *shown) replace() {
	owner := s.hostOf(s.first)
	if owner == "" {
		s.t.Fatal("the first snapshot is nobody's")
	}
	d := s.ask("tag", obj{"snapshot_ids": []string{s.first}, "add": []string{"blue"}})
	var blue []string
	for _, snapshot := range s.listed(shownName) {
		if slices.Contains(snapshot.Tags, "blue") {
			blue = append(blue, snapshot.ID)
		}
	}
	s.same("tag", d.column("new_id"), blue)
	eventually(s.t, "the snapshot with another tag as the host's whose the one before was", time.Minute, func() bool { return s.hostOf(blue[0]) == owner })
	s.first = blue[0]
	d = s.ask("rewrite", obj{"snapshot_ids": []string{s.first}, "excludes": []string{"file 3.txt"}})
	if again := d.column("new_id"); len(again) != 1 || !slices.Contains(s.ids(shownName), again[0]) {
		s.t.Fatalf("rewrite: %v of %v", again, s.ids(shownName))
	} else if text := s.plain(shownName, "ls", "--no-lock", again[0]); strings.Contains(text, "/file 3.txt\n") || !strings.Contains(text, "/file 4.txt\n") {
		s.t.Errorf("rewrite: restic lists\n%s", text)
	}
	s.nas.policy("allow", "repository", "--under", s.rest.Location(shownName)) // to read from
	d = s.askOf("second", "copy", obj{"from_repository_id": s.repository, "snapshot_ids": []string{s.last}})
	s.same("copy", d.column("new_id"), s.ids("second"))
}

// hostOf is the id of the host that a snapshot is of, "" where it is not known or nobody's.
func (s *shown) hostOf(snapshot string) string {
	var page struct {
		Snapshots []struct {
			ID     string
			HostID string `json:"host_id"`
		}
	}
	s.api.must("GET", "/api/v1/snapshots?page_size=200&repository_id="+s.repository, nil, &page)
	for _, one := range page.Snapshots {
		if one.ID == snapshot {
			return one.HostID
		}
	}
	return ""
}

// added is the one id that was not there before, "" where it is not one.
func added(before, now []string) string {
	now = slices.DeleteFunc(slices.Clone(now), func(id string) bool { return slices.Contains(before, id) })
	if len(now) != 1 {
		return ""
	}
	return now[0]
}

// mend checks and repairs.
func (s *shown) mend() {
	d := s.ask("check", obj{"read_data": true})
	s.same("check", []any{d.facts["errors"], d.facts["packs_broken"], d.facts["read_data"]}, []any{0.0, 0.0, true})
	s.good()
	before := s.keys()
	s.asked["key-add"] = true
	d = s.end(s.by.addKey(s.repository, shownName, "a second password")).want(s.t, "succeeded", "")
	s.same("key-add", []any{d.facts["key_id"], d.facts["keys"]}, []any{added(before, s.keys()), float64(len(before) + 1)})

	words := filepath.Join(s.t.TempDir(), "words")
	if err := os.WriteFile(words, []byte("another password"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	one := s.keys()
	s.plain(shownName, "key", "add", "--new-password-file", words)
	for _, id := range s.keys() {
		if !slices.Contains(one, id) {
			s.ask("key-remove", obj{"key_id": id})
		}
	}
	s.same("key-remove", s.keys(), one)

	before = s.ids(shownName)
	s.ask("repair-index", nil)
	s.ask("repair-snapshots", nil)
	pack := strings.Fields(s.plain(shownName, "list", "packs", "--no-lock"))[0]
	d = s.ask("repair-packs", obj{"pack_ids": []string{pack}})
	s.same("repair-packs", []any{d.facts["packs"], d.facts["blobs_lost"]}, []any{1.0, 0.0})
	s.same("repairs", s.ids(shownName), before)
	s.good()
}

// keys are those that plain restic lists.
func (s *shown) keys() (ids []string) {
	s.t.Helper()
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(s.plain(shownName, "key", "list", "--json", "--no-lock")), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, key := range list {
		ids = append(ids, key.ID)
	}
	slices.Sort(ids)
	return ids
}

// good has plain restic read everything.
func (s *shown) good() {
	s.t.Helper()
	if text := s.plain(shownName, "check", "--read-data"); !strings.Contains(text, "no errors were found") {
		s.t.Errorf("restic check prints\n%s", text)
	}
}

// thin removes snapshots, and then data.
func (s *shown) thin() {
	d := s.ask("retention", obj{"dry_run": true})
	s.same("retention", d.column("snapshot_id"), s.ids(shownName))
	want := slices.DeleteFunc(s.ids(shownName), func(id string) bool { return id == s.old })
	d = s.ask("forget", obj{"snapshot_ids": []string{s.old}})
	s.same("forget", []any{d.facts["removed"], s.ids(shownName)}, []any{1.0, want})
	d = s.ask("prune", nil)
	if d.facts["undo"] == "" && d.facts["freed_bytes"] != 0.0 {
		s.t.Errorf("prune: %v", d.facts)
	}
	if text := s.plain(shownName, "prune", "--dry-run", "--no-lock"); !strings.Contains(text, "to delete:") || !strings.Contains(strings.Join(lines(text, "total prune:"), ""), " 0 blobs") {
		s.t.Errorf("after the prune, restic prune would still do something:\n%s", text)
	}
	s.same("after all", s.ids(shownName), want)
	s.good()
}
