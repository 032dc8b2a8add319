package runner

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// onFakeStorage gives the place a storage that answers deletions with a status, and
// counts what it is asked.
func (p *place) onFakeStorage(status int) (asked *atomic.Int64) {
	p.t.Helper()
	asked = new(atomic.Int64)
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		user, secret, _ := r.BasicAuth()
		if r.Method != http.MethodDelete || user != "host1" || secret != restSecret || !strings.HasPrefix(r.URL.Path, "/web-1/data/") {
			p.t.Errorf("the storage was asked %s %s by %s", r.Method, r.URL.Path, user)
		}
		w.WriteHeader(status)
	}))
	p.t.Cleanup(storage.Close)
	location, err := restic.ParseLocation("rest:" + storage.URL + "/web-1/")
	if err != nil {
		p.t.Fatal(err)
	}
	p.repository(func(r *Repository) { r.Location, r.Credential = location, credentialRef })
	p.options.Storage = storage.Client()
	p.runner = New(p.options)
	p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: ['" + location.String() + "']\n")
	return asked
}

// TestACredentialThatCouldDeleteIsNotUsed counts that restic never runs with it.
func TestACredentialThatCouldDeleteIsNotUsed(t *testing.T) {
	t.Parallel()
	for status, deletes := range map[int]bool{
		http.StatusOK: true, http.StatusNoContent: true, http.StatusNotFound: true, http.StatusForbidden: false, http.StatusMethodNotAllowed: false,
	} {
		fake := restictest.NewFake(t, fakeScript())
		p := newPlace(t, fake.Path())
		asked := p.onFakeStorage(status)
		got := p.do("backup", backupParams()).outcome()
		if refused := got.Result == spool.Rejected && got.Code == CodeCredentialCanDelete; refused != deletes {
			t.Errorf("a storage that answers %d to a deletion: %s %q", status, got.Result, got.Code)
		}
		if ran := len(fake.Calls()) > 0; ran == deletes || asked.Load() != 1 {
			t.Errorf("a storage that answers %d to a deletion: restic ran: %t, asked %d times", status, ran, asked.Load())
		}
	}
}

func TestAnotherRepositoryAtTheLocationIsRefused(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", summary(), 0)))
	p := newPlace(t, fake.Path())
	p.repository(func(r *Repository) { r.ResticID = otherResticID })
	for operation, params := range map[string]map[string]any{
		"backup": backupParams(), "snapshots": repositoryParams(), "identify": repositoryParams(),
	} {
		if got := p.do(operation, params).want(spool.Failed, CodeRepositoryChanged); got.RepositorySeen != "" {
			t.Errorf("%s says that it saw the repository, which was another: %s", operation, got.RepositorySeen)
		}
	}
	for _, call := range fake.Calls() {
		if got := strings.Join(call.Args, " "); !strings.HasSuffix(got, "cat -- config") {
			t.Errorf("restic ran: %s", got)
		}
	}
}

func TestDeniedFoldersAreLeftOutOfWhatContainsThem(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", summary(), 0), listed("x")))
	p := newPlace(t, fake.Path())
	denied := filepath.Join(p.source, "keys")
	p.writePolicy("version: 1\nprofile: trusting\nbackup:\n  deny: ['" + denied + "']\n")
	p.do("backup", backupParams()).want(spool.Succeeded, "")
	for _, call := range fake.Calls() {
		list, has := call.Files["--exclude-file"]
		if has && strings.Contains(string(list), "\n"+denied+"\n") {
			return
		}
	}
	t.Error("restic was not told to leave the denied folder out")
}

// TestAListingIsNotLedAstray has a server that asks for bytes that there are not.
func TestAListingIsNotLedAstray(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	for _, next := range []int64{-1, 1 << 62, 6, -1 << 63} {
		p.options.Listings = wayward(next)
		task := &Task{runner: New(p.options)}
		if err := task.deliver(t.Context(), "snapshots", []byte("12345")); err == nil {
			t.Errorf("asked for byte %d of 5, and nobody noticed", next)
		}
	}
}

// TestAListingIsNotSentForEver has a server that forgets everything each time.
func TestAListingIsNotSentForEver(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	forgetful := &takes{answer: func(offset int64, part []byte) int64 {
		if offset > 0 {
			return 0
		}
		return int64(len(part))
	}}
	p.options.Listings = forgetful
	task := &Task{runner: New(p.options)}
	if err := task.deliver(t.Context(), "snapshots", make([]byte, partSize+1)); err == nil || len(forgetful.parts) > 1000 {
		t.Errorf("after %d parts: %v", len(forgetful.parts), err)
	}
}

// wayward always asks for the same byte next.
type wayward int64

func (w wayward) Put(context.Context, string, string, int64, []byte, bool) (int64, error) {
	return int64(w), nil
}
