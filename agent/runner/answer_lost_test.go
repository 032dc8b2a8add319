package runner

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// TestAnAnswerThatIsLostOnTheWayFailsNoBackup has the network lose what the storage says of
// a file that it has taken: restic sends that again, and a rest-server takes no file twice.
func TestAnAnswerThatIsLostOnTheWayFailsNoBackup(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		for _, kind := range []string{"data", "index", "snapshots"} {
			t.Run(suite+", "+kind, func(t *testing.T) {
				t.Parallel()
				bins := restictest.Find(t, suite)
				p := newPlace(t, bins.Restic)
				server := restictest.StartRestServer(t, bins)
				loses := lossy(t, server)
				p.onStorage(server)
				p.initialise()
				writeFile(t, filepath.Join(p.source, "big"), incompressible(1<<20))
				loses("/" + kind + "/")
				done := p.do("backup", backupParams())
				got := done.outcome()
				switch {
				case kind == "snapshots":
					done.want(spool.Warning, CodeEndNotSeen)
				default:
					done.want(spool.Succeeded, "")
				}
				if list := p.snapshots(); len(list) != 1 || list[0].Id != got.SnapshotId || !got.Confirmed {
					t.Errorf("snapshots %+v, the job's is %s", list, got.SnapshotId)
				}
				if locks, _ := os.ReadDir(filepath.Join(p.storage, "locks")); len(locks) != 0 {
					t.Errorf("left are %d locks", len(locks))
				}
			})
		}
	}
}

func TestAnInitWhoseLastAnswerIsLostHasMadeTheRepository(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	for kind, want := range map[string]struct {
		result spool.Result
		code   string
	}{"/config": {spool.Succeeded, ""}, "/keys/": {spool.Failed, CodeInitInterrupted}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, bins.Restic)
			server := restictest.StartRestServer(t, bins)
			loses := lossy(t, server)
			p.onStorage(server)
			loses(kind)
			got := p.do("init", repositoryParams()).want(want.result, want.code)
			if made := got.Repository != nil; made != (want.code == "") {
				t.Errorf("the repository is %+v", got.Repository)
			}
			if want.code == "" {
				return
			}
			again := p.do("init", repositoryParams()).want(want.result, want.code)
			if !strings.Contains(again.NextStep, "remove what is there") {
				t.Errorf("next step %q", again.NextStep)
			}
		})
	}
}

// lossy puts a network before a storage that loses the answer to the next file of a kind.
func lossy(t *testing.T, server *restictest.RestServer) (loses func(kind string)) {
	t.Helper()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	to := httputil.NewSingleHostReverseProxy(target)
	var mu sync.Mutex
	next := ""
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		lost := next != "" && r.Method == http.MethodPost && strings.Contains(r.URL.Path, next)
		if lost {
			next = ""
		}
		mu.Unlock()
		if !lost {
			to.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		to.ServeHTTP(answer, r)
		if answer.Code != http.StatusOK {
			t.Errorf("the storage answered %d", answer.Code)
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(front.Close)
	server.URL = front.URL + "/"
	return func(kind string) {
		mu.Lock()
		defer mu.Unlock()
		next = kind
	}
}
