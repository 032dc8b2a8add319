package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// linkedFolders are a place with a repository's folder, a link to it, one that leads out,
// and one to another user's.
func linkedFolders(t *testing.T) (place string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("this test must run as root")
	}
	dir := t.TempDir()
	place = filepath.Join(dir, "srv")
	for _, folder := range []string{"srv/web", "srv/other", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(place, "other"), 54321, 54321); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"srv/link": "web", "srv/out": "../elsewhere", "srv/theirs": "other", "alias": "srv"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	return place
}

func reaching(t *testing.T, place, folder, runAs string) reach {
	t.Helper()
	location, err := restic.ParseLocation(folder)
	if err != nil {
		t.Fatal(err)
	}
	return reach{location: location, maintained: true, rule: policy.Maintenance{Path: place, RunAs: runAs}}
}

// TestRootWorksInNoFolderThatALinkLeadsTo has somebody who may write beside the
// repositories choose where the agent works.
func TestRootWorksInNoFolderThatALinkLeadsTo(t *testing.T) {
	place := linkedFolders(t)
	alias := filepath.Join(filepath.Dir(place), "alias")
	for _, test := range []struct {
		name, place, folder, runAs string
		uid                        uint32
		refused                    string
	}{
		{"root's own folder", place, "web", "", 0, ""},
		{"a link to root's folder", place, "link", "", 0, "which is root's"},
		{"a link to root's folder, as whom the policy names", place, "link", "root", 0, ""},
		{"a link to another's folder", place, "theirs", "", 54321, ""},
		{"a link that leads out", place, "out", "", 0, "does not cover"},
		{"a link above, which is root's word", alias, "web", "", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			as, _, err := reaching(t, test.place, filepath.Join(test.place, test.folder), test.runAs).owner()
			if test.refused == "" && (err != nil || as.UID != test.uid) || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("%v, %v", as, err)
			}
		})
	}
}

// TestAFolderThatIsExchangedUnderAJobIsNotWorkedIn swaps it between two restics.
func TestAFolderThatIsExchangedUnderAJobIsNotWorkedIn(t *testing.T) {
	t.Parallel()
	place := linkedFolders(t)
	fake := restictest.NewFake(t, fakeScript(catConfig()))
	p := newPlace(t, fake.Path())
	folder := filepath.Join(place, "theirs")
	task := &Task{runner: p.runner, Job: p.command("identify", repositoryParams()), reach: reaching(t, place, folder, "")}
	task.access = restic.Access{Location: task.reach.location, Password: restic.NewSecret(password)}
	if e := task.become(); e != nil || task.access.RunAs.UID != 54321 {
		t.Fatal(e, task.access.RunAs)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"web", "../elsewhere"} {
		_ = os.Remove(folder)
		if err := os.Symlink(to, folder); err != nil {
			t.Fatal(err)
		}
		if _, e := perform(t.Context(), task, restic.CatConfig{}); e == nil || e.Result != spool.Failed || e.Code != string(restic.CodeRunAsRefused) {
			t.Errorf("%s: %+v", to, e)
		}
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil { // root's, without a link
		t.Fatal(err)
	}
	if _, e := perform(t.Context(), task, restic.CatConfig{}); e == nil || !strings.Contains(e.Message, "another owner") {
		t.Errorf("%+v", e)
	}
	if calls := fake.Calls(); len(calls) != 0 {
		t.Errorf("restic was started: %v", calls)
	}
}

// TestACopyReadsOnlyWhatThePolicyLetsItAndAsItsOwner copies from a folder that the server
// names as one that this host maintains.
func TestACopyReadsOnlyWhatThePolicyLetsItAndAsItsOwner(t *testing.T) {
	t.Parallel()
	place := linkedFolders(t)
	fake := restictest.NewFake(t, fakeScript(catConfig()))
	p := newPlace(t, fake.Path())
	from := uuid.NewString()
	folder := func(path string) restic.Location {
		location, err := restic.ParseLocation(path)
		if err != nil {
			t.Fatal(err)
		}
		return location
	}
	storage, err := restic.ParseLocation("rest:https://nas.test:8000/web-2/")
	if err != nil {
		t.Fatal(err)
	}
	p.repository(func(r *Repository) {
		r.Location = folder(filepath.Join(place, "web"))
		r.Maintenance = &Maintenance{Location: r.Location}
	})
	source := func(path string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.config.Repositories[from] = Repository{ID: from, Name: "other", Location: storage, Password: passwordRef, Maintenance: &Maintenance{Location: folder(path)}}
	}
	maintains := func(paths ...string) {
		text := "version: 1\nprofile: guarded\nmaintenance:\n"
		for _, path := range paths {
			text += "- path: " + path + "\n"
		}
		p.writePolicy(text)
	}
	params := map[string]any{"from_repository_id": from, "snapshot_ids": []string{fakeSnap}}
	source(filepath.Join(place, "other"))
	maintains(filepath.Join(place, "web"))
	done, _ := p.order("copy", params)
	done.want(spool.Rejected, policy.CodeRepoNotAllowed) // as any host, then, which the policy does not let it
	if calls := fake.Calls(); len(calls) != 0 {
		t.Errorf("restic was started: %v", calls)
	}
	source(filepath.Join(place, "out"))
	maintains(place)
	done, _ = p.order("copy", params)
	done.want(spool.Rejected, policy.CodeRepoNotAllowed)

	task := &Task{origin: reaching(t, place, filepath.Join(place, "other"), ""), runner: p.runner, from: p.config.Repositories[from]}
	there, e := task.copySource(t.Context())
	if e != nil || there.RunAs == nil || there.RunAs.UID != 54321 || there.Location.Path() != filepath.Join(place, "other") {
		t.Fatalf("%+v, %+v", there, e)
	}
	root := restic.RunAs{}
	for _, test := range []struct {
		name    string
		here    restic.Access
		want    *restic.RunAs
		refused bool
	}{
		{"to a storage", restic.Access{Location: storage}, there.RunAs, false},
		{"into a folder of the same owner", restic.Access{Location: folder(place), RunAs: there.RunAs}, there.RunAs, false},
		{"into root's folder", restic.Access{Location: folder(place), RunAs: &root}, nil, true},
		{"into a folder that is nobody's to maintain", restic.Access{Location: folder(place)}, nil, true},
	} {
		task.access = test.here
		if e := task.copyAs(there); (e != nil) != test.refused || e == nil && task.access.RunAs.UID != test.want.UID {
			t.Errorf("%s: %+v, as %v", test.name, e, task.access.RunAs)
		}
	}
}
