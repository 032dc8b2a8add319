//go:build !windows

package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

const (
	fakeRepository = "1111111111111111111111111111111111111111111111111111111111111111"
	fakeSnapshot   = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// victim is a guarded host of a server in the wrong hands: a real agent, a restic
// that keeps what it was called with, a storage that keeps what it was asked, and
// a folder in which nothing may change.
type victim struct {
	*evil
	fake    *restictest.Fake
	agent   *process
	env     []string
	watched string // everything of the host but what the agent may write to
	state   string
	prefix  string // of the repositories that the policy allows
	canary  string
	before  map[string]string
	sampled *sampler
	asked   *requests // of the storage
	counts  map[string]int
}

// requests keeps what a server that is not ours was asked.
type requests struct {
	mu   sync.Mutex
	list []string
}

func (r *requests) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, q.Method+" "+q.URL.Path)
	w.WriteHeader(http.StatusForbidden) // as an append-only storage answers to deletions
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	top := t.TempDir()
	v := &victim{
		evil: newEvil(t), watched: filepath.Join(top, "watched"), state: filepath.Join(top, "state"),
		asked: &requests{}, counts: map[string]int{},
	}
	storage := httptest.NewServer(v.asked)
	t.Cleanup(storage.Close)
	v.prefix = "rest:" + storage.URL + "/allowed/"
	v.canary = filepath.Join(v.watched, "canary")
	v.fake = restictest.NewFake(t, fakeAnswers())
	for _, dir := range []string{"home", "etc", "work", "bin"} {
		if err := os.MkdirAll(filepath.Join(v.watched, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	v.setTraps()
	v.env = v.hostileEnvironment(top)
	v.enrol()
	v.before = contents(t, v.watched)
	v.startAgent()
	return v
}

func fakeAnswers() restictest.Script {
	says := func(command, out string) restictest.Reply {
		return restictest.Reply{Command: command, Steps: []restictest.Step{{Out: out + "\n"}}}
	}
	return restictest.Script{Version: "0.19.1", Replies: []restictest.Reply{
		says("cat config", fmt.Sprintf(`{"version":2,"id":%q,"chunker_polynomial":"x"}`, fakeRepository)),
		says("backup", fmt.Sprintf(`{"message_type":"summary","total_files_processed":1,"snapshot_id":%q}`, fakeSnapshot)),
		says("snapshots", fmt.Sprintf(`[{"time":"2026-01-02T03:04:05Z","tree":"t","paths":["/x"],"hostname":"web-1","id":%q,"short_id":"cccccccc"}]`, fakeSnapshot)),
		says("key list", "[]"), says("list locks", ""), says("init", fmt.Sprintf(`{"message_type":"initialized","id":%q,"repository":"x"}`, fakeRepository)),
	}}
}

// setTraps puts programs on the agent's PATH that leave a canary if anybody runs one.
func (v *victim) setTraps() {
	for _, name := range []string{"sh", "bash", "ssh", "sftp", "rclone", "restic", "curl", "touch", "id", "env", "fuse", "fusermount"} {
		script := fmt.Sprintf("#!/bin/sh\necho %s \"$@\" >> %s-of-%s\n", name, v.canary, name)
		if err := os.WriteFile(filepath.Join(v.watched, "bin", name), []byte(script), 0o755); err != nil {
			v.t.Fatal(err)
		}
	}
}

// hostileEnvironment has what restic and its backends would obey, if it reached them.
func (v *victim) hostileEnvironment(top string) []string {
	run := "touch " + v.canary
	return []string{
		"RM_AGENT_CONFIG=" + filepath.Join(v.watched, "etc", "agent.yaml"), "RM_AGENT_POLICY=" + filepath.Join(v.watched, "etc", "policy.yaml"),
		"RM_AGENT_STATE_DIR=" + v.state, "RM_AGENT_CACHE_DIR=" + filepath.Join(top, "cache"), "RM_AGENT_RESTIC=" + v.fake.Path(),
		"HOME=" + filepath.Join(v.watched, "home"), "PATH=" + filepath.Join(v.watched, "bin"), "TMPDIR=" + filepath.Join(top, "tmp"),
		"XDG_CONFIG_HOME=" + filepath.Join(v.watched, "home"), "XDG_CACHE_HOME=" + filepath.Join(v.watched, "home"),
		"RESTIC_PASSWORD_COMMAND=" + run, "RESTIC_REPOSITORY=rclone:evil:", "RESTIC_PASSWORD=evil", "RESTIC_FROM_PASSWORD_COMMAND=" + run,
		"RESTIC_CACHE_DIR=" + filepath.Join(v.watched, "home"), "RESTIC_FEATURES=x", "RCLONE_CONFIG_EVIL_TYPE=local", "SSH_ASKPASS=" + run,
		"DEBUG_LOG=" + v.canary, "RESTIC_CACERT=" + v.canary, "AWS_ACCESS_KEY_ID=evil",
	}
}

// enrol pastes the line of the evil server, which the agent's user has allowed one
// prefix of repositories.
func (v *victim) enrol() {
	v.t.Helper()
	if err := os.MkdirAll(filepath.Join(filepath.Dir(v.state), "tmp"), 0o700); err != nil {
		v.t.Fatal(err)
	}
	ended := start(v.t, "enrolment", v.env, "/bin/sh", "-c", `exec "$0" enroll --server "$1" --token-stdin --profile guarded --allow-repository "$2" <<'END'
token-of-the-line
END`, filepath.Join(programs, "restic-manager-agent"), v.http.URL, v.prefix)
	<-ended.done
	if !ended.cmd.ProcessState.Success() {
		v.t.Fatalf("enrol: %s", ended.log)
	}
}

func (v *victim) startAgent() {
	v.t.Helper()
	v.agent = start(v.t, "agent", v.env, filepath.Join(programs, "restic-manager-agent"), "run", "--first-contact", "0s")
	v.sampled = sampleChildren(v.t, v.agent.cmd.Process.Pid)
	eventually(v.t, "the agent's first session", time.Minute, func() bool {
		var n int
		v.look(func() { n = v.sessions })
		return n > 0
	})
}

// allowedArguments is the form of every argument list that a restic may have: words
// of ours, and values that are joined to the names of their options.
var allowedArguments = regexp.MustCompile(`^--json( --no-lock)? --stuck-request-timeout=5m0s (cat -- config|init|key list|list -- locks|snapshots( -- [0-9a-f]{64})?|` +
	`backup --host=web-1 --tag=rm:schedule:[0-9a-f-]{36} --tag=rm:job:[0-9a-f-]{36}( --tag=[A-Za-z0-9._:-]{1,64})* ` +
	`--files-from-raw=\S+/tmp/restic-run-[0-9]+/list-0( --exclude-file=\S+/tmp/restic-run-[0-9]+/list-1)?)$`)

var allowedEnvironment = []string{
	"HOME", "RESTIC_CACHE_DIR", "RESTIC_PROGRESS_FPS", "PATH", "TMPDIR", "RESTIC_REPOSITORY", "RESTIC_KEY_HINT",
	"RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD", "RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD",
}

// hasRunNothingElse looks at every process that the agent had.
func (v *victim) hasRunNothingElse() {
	v.t.Helper()
	calls := v.fake.Calls()
	if len(calls) < 50 {
		v.t.Errorf("restic ran %d times only: the attacks that are data did not come through", len(calls))
	}
	for _, call := range calls {
		if line := strings.Join(call.Args, " "); !allowedArguments.MatchString(line) {
			v.t.Errorf("restic was started with %.300q", line)
		}
		for _, entry := range call.Env {
			name, value, _ := strings.Cut(entry, "=")
			if !slices.Contains(allowedEnvironment, name) {
				v.t.Errorf("restic was started with %s in its environment", name)
			}
			if name == "RESTIC_REPOSITORY" && !strings.HasPrefix(value, v.prefix) {
				v.t.Errorf("restic was started on %.200q", value)
			}
		}
	}
	for program, times := range v.sampled.stop() {
		if program != v.fake.Path() && program != filepath.Join(programs, "restic-manager-agent") {
			v.t.Errorf("the agent had a child %s, seen %d times", program, times)
		}
	}
	v.asked.mu.Lock()
	defer v.asked.mu.Unlock()
	for _, request := range v.asked.list {
		if !strings.HasPrefix(request, "DELETE /allowed/") || !strings.Contains(request, "/data/") {
			v.t.Errorf("the storage was asked %.200q", request)
		}
	}
}

// hasLeftNothing compares the host's files, and looks at the modes of the agent's.
func (v *victim) hasLeftNothing() {
	v.t.Helper()
	after := contents(v.t, v.watched)
	for path, was := range v.before {
		if after[path] != was {
			v.t.Errorf("%s was changed or removed", path)
		}
	}
	for path := range after {
		if _, was := v.before[path]; !was {
			v.t.Errorf("%s was made", path)
		}
	}
	for path, is := range contents(v.t, v.state) {
		if !strings.HasPrefix(is, "-rw-------") && !strings.HasPrefix(is, "drwx------") {
			v.t.Errorf("%s in the agent's state is %.10s", path, is)
		}
	}
}

// hasToldNoSecret looks for the repository's secrets wherever they could have come to
// light, and for the agent's own.
func (v *victim) hasToldNoSecret() {
	v.t.Helper()
	var sent string
	v.look(func() { sent = v.all.String() })
	places := map[string]string{"what the agent sent": sent, "the agent's log": v.agent.log.String()}
	for _, call := range v.fake.Calls() {
		places["restic's arguments"] += strings.Join(call.Args, " ")
	}
	for path := range contents(v.t, v.state) {
		if text, err := os.ReadFile(path); err == nil {
			places[path] = string(text)
		}
	}
	for place, text := range places {
		if strings.Contains(text, secretMark) {
			v.t.Errorf("a secret is in %s", place)
		}
	}
	if !strings.HasPrefix(string(v.fake.Calls()[0].Password), secretMark) {
		v.t.Error("the search proves nothing: restic had no password")
	}
}
