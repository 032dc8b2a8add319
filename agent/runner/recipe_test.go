package runner

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestEveryOperationHasARecipeAndEveryRecipeAnOperation(t *testing.T) {
	var recipes, operations []string
	for _, r := range Recipes() {
		recipes = append(recipes, r.Operation)
	}
	for _, o := range restic.Operations() {
		operations = append(operations, o.Name)
	}
	slices.Sort(recipes)
	slices.Sort(operations)
	if diff := cmp.Diff(operations, recipes); diff != "" {
		t.Errorf("operations (-) and recipes (+) differ:\n%s", diff)
	}
}

// onStorage moves the place's repository to a rest-server.
func (p *place) onStorage(server *restictest.RestServer) {
	p.t.Helper()
	location, err := restic.ParseLocation(server.Location("repository"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.storage = server.RepositoryDir("repository")
	p.repository(func(r *Repository) { r.Location, r.Credential = location, credentialRef })
	p.secrets[credentialRef.ID] = restic.NewSecret(server.Password)
	p.options.Storage = &http.Client{}
	p.runner = New(p.options)
	p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: ['" + server.Location("repository") + "']\n")
}

// initialise makes the repository, and pins what it is: as init would, which takes seconds.
func (p *place) initialise() {
	p.t.Helper()
	id, key := restictest.CheapRepository(p.t, p.program, p.storage, password)
	p.repository(func(r *Repository) { r.ResticID, r.KeyID = id, key })
}

// initialiseByJob has the host make the repository, and pins what it is.
func (p *place) initialiseByJob() control.RepositoryIdentity {
	p.t.Helper()
	got := p.do("init", repositoryParams()).want(spool.Succeeded, "")
	if got.Repository == nil {
		p.t.Fatal("init reported no identity")
	}
	restictest.CheapKey(p.t, p.program, p.storage, password)
	keys, err := os.ReadDir(filepath.Join(p.storage, "keys"))
	if err != nil {
		p.t.Fatal(err)
	}
	got.Repository.KeyId = keys[0].Name()
	p.repository(func(r *Repository) { r.ResticID, r.KeyID = got.Repository.ResticId, got.Repository.KeyId })
	return *got.Repository
}

func TestTheRealResticOnAnAppendOnlyServer(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			bins := restictest.Find(t, suite)
			p := newPlace(t, bins.Restic)
			server := restictest.StartRestServer(t, bins)
			p.onStorage(server)

			identity := p.initialiseByJob()
			if got := p.do("identify", repositoryParams()).outcome(); got.CanDelete != "no" {
				t.Errorf("an append-only server was taken for one that says %q to deletions", got.CanDelete)
			}
			if identity.KeyCount != 1 || len(identity.KeyId) != 64 || identity.FormatVersion != 2 {
				t.Errorf("identity after init: %+v", identity)
			}
			again := p.do("identify", repositoryParams()).want(spool.Succeeded, "")
			if diff := cmp.Diff(&identity, again.Repository); diff != "" {
				t.Errorf("identify saw another repository than init:\n%s", diff)
			}

			backup := p.do("backup", backupParams())
			got := backup.want(spool.Succeeded, "")
			if !got.Confirmed || len(got.SnapshotId) != 64 || got.Stats == nil || got.Stats.FilesNew != 2 {
				t.Errorf("backup: %+v", got)
			}
			snapshot := backup.finished[0].Snapshot
			if snapshot == nil || snapshot.Id != got.SnapshotId || snapshot.Hostname != "web-1" {
				t.Fatalf("the new snapshot did not travel: %+v", snapshot)
			}
			if diff := cmp.Diff([]string{"acked", "running", "finished"}, withoutNotes(backup.kinds())); diff != "" {
				t.Errorf("events:\n%s", diff)
			}
			if !slices.Contains(snapshot.Tags, "nightly") || !slices.Contains(snapshot.Tags, "rm:schedule:"+scheduleID) {
				t.Errorf("tags: %q", snapshot.Tags)
			}

			listing := p.command("snapshots", repositoryParams())
			p.runner.Run(t.Context(), listing)
			p.recorded(listing.ID).want(spool.Succeeded, "")
			if got := p.listed(listing.ID); len(got) != 1 || got[0].Id != snapshot.Id {
				t.Errorf("listing: %+v", got)
			}
			p.do("locks", repositoryParams()).want(spool.Succeeded, "")

			for _, secret := range []string{password, server.Password} {
				if strings.Contains(p.all(), secret) {
					t.Error("a secret is in what was recorded")
				}
			}
		})
	}
}

func withoutNotes(kinds []string) []string {
	return slices.DeleteFunc(kinds, func(k string) bool { return k == "note" })
}

func (p *place) listed(jobID string) []control.SnapshotRecord {
	p.t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(p.listings[jobID]))
	if err != nil {
		p.t.Fatal(err)
	}
	var list []control.SnapshotRecord
	for lines := bufio.NewScanner(zip); lines.Scan(); {
		var record control.SnapshotRecord
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, record)
	}
	return list
}

func TestBackupsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := newPlace(t, bins.Restic)
	p.initialise()

	t.Run("a source that does not exist is a warning that names it", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "gone")
		p.schedule(func(s *Schedule) { s.Paths = []string{p.source, missing} })
		got := p.do("backup", backupParams()).want(spool.Warning, "source_missing")
		if got.WarningsTotal != 1 || len(got.Warnings) != 1 || got.Warnings[0].Path != missing {
			t.Errorf("warnings: %+v", got.Warnings)
		}
		if !got.Confirmed {
			t.Error("the snapshot was not confirmed")
		}
	})
	t.Run("a file that cannot be read is a warning that names it", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root reads every file; see the end to end tests, which run as a user")
		}
		closed := filepath.Join(p.source, "closed.txt")
		writeFile(t, closed, "x")
		if err := os.Chmod(closed, 0); err != nil {
			t.Fatal(err)
		}
		p.schedule(func(s *Schedule) { s.Paths = []string{p.source} })
		got := p.do("backup", backupParams()).want(spool.Warning, "source_unreadable")
		if got.WarningsTotal != 1 || len(got.Warnings) != 1 || got.Warnings[0].Path != closed {
			t.Errorf("warnings: %+v", got.Warnings)
		}
	})
	t.Run("what was seen of each source is told, and what room the repository has", func(t *testing.T) {
		empty, missing := t.TempDir(), filepath.Join(t.TempDir(), "gone")
		p.schedule(func(s *Schedule) { s.Paths = []string{p.source, empty, missing} })
		got := p.do("backup", backupParams()).outcome()
		want := []spool.SourceSeen{{Path: p.source, State: "ok"}, {Path: empty, State: "empty"}, {Path: missing, State: "missing"}}
		if !slices.Equal(got.Sources, want) {
			t.Errorf("sources %+v, want %+v", got.Sources, want)
		}
		if got.Storage.TotalBytes <= 0 || got.Storage.FreeBytes <= 0 || got.Storage.FreeBytes > got.Storage.TotalBytes {
			t.Errorf("storage %+v", got.Storage)
		}
	})
	t.Run("a backup of nothing that exists fails", func(t *testing.T) {
		p.schedule(func(s *Schedule) { s.Paths = []string{filepath.Join(t.TempDir(), "gone")} })
		got := p.do("backup", backupParams()).outcome()
		if got.Result != spool.Failed || got.SnapshotId != "" {
			t.Errorf("ended as %s %s with snapshot %q", got.Result, got.Code, got.SnapshotId)
		}
		if len(got.RepositorySeen) != 64 {
			t.Errorf("the repository was opened before, and the outcome says it was %q", got.RepositorySeen)
		}
	})
}

func (p *place) schedule(change func(*Schedule)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.config.Schedules[scheduleID]
	change(&s)
	p.config.Schedules = map[string]Schedule{scheduleID: s}
}

func TestRepositoriesAreNotTakenForOneAnother(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := newPlace(t, bins.Restic)
	p.initialise()
	identity := p.config.Repositories[repositoryID].ResticID
	folder := p.config.Repositories[repositoryID].Location.Path()

	t.Run("another repository at the location", func(t *testing.T) {
		p.repository(func(r *Repository) { r.ResticID = otherResticID })
		for _, operation := range []string{"backup", "identify", "snapshots"} {
			params := repositoryParams()
			if operation == "backup" {
				params = backupParams()
			}
			p.do(operation, params).want(spool.Failed, CodeRepositoryChanged)
		}
		p.repository(func(r *Repository) { r.ResticID = identity })
	})
	t.Run("another password", func(t *testing.T) {
		p.secrets[passwordRef.ID] = restic.NewSecret("not it")
		p.do("backup", backupParams()).want(spool.Failed, "wrong_password")
		p.secrets[passwordRef.ID] = restic.NewSecret(password)
	})
	t.Run("a repository that is gone is an alarm, and stays gone", func(t *testing.T) {
		if err := os.Rename(folder, folder+".away"); err != nil {
			t.Fatal(err)
		}
		p.do("backup", backupParams()).want(spool.Failed, CodeRepoMissing)
		p.do("init", repositoryParams()).want(spool.Failed, "repo_exists")
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("something is at the location of the lost repository: %v", err)
		}
	})
	t.Run("a repository that never was", func(t *testing.T) {
		p.repository(func(r *Repository) { r.ResticID = "" })
		p.do("identify", repositoryParams()).want(spool.Failed, "repo_not_found")
	})
}

func TestInitOfARepositoryThatIsThere(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := newPlace(t, bins.Restic)
	p.initialiseByJob()
	p.repository(func(r *Repository) { r.ResticID = "" })
	p.do("init", repositoryParams()).want(spool.Failed, "repo_exists")
}

// TestCredentialsThatCanDelete uses a rest-server that lets its users delete.
func TestCredentialsThatCanDelete(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := newPlace(t, bins.Restic)
	p.onStorage(restictest.StartRestServer(t, bins, restictest.WithDeletes()))

	if got := p.do("init", repositoryParams()).want(spool.Rejected, CodeCredentialCanDelete); got.CanDelete != "yes" {
		t.Errorf("the probe's finding did not travel: %q", got.CanDelete)
	}
	p.do("backup", backupParams()).want(spool.Rejected, CodeCredentialCanDelete)
	p.repository(func(r *Repository) { r.AllowDeletingCredential = true })
	p.initialiseByJob()
	p.do("backup", backupParams()).want(spool.Succeeded, "")
}

func TestAListingTravelsInParts(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	task := &Task{runner: p.runner}
	task.Job.ID = "job"
	result := bytes.Repeat([]byte("0123456789abcdef"), 3*partSize/16+1)
	if err := task.deliver(t.Context(), "snapshots", result); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.listings["job"], result) {
		t.Errorf("%d bytes arrived of %d", len(p.listings["job"]), len(result))
	}
}
