package runner

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// poison is what a hostile server tries to get into an argument, a path or a shell.
func poison(canary string) []string {
	run := "touch " + canary
	return []string{
		"--password-command=" + run, "-o", "-osftp.command=" + run, "--option=rclone.program=" + run, "--", "-", "--json",
		"$(" + run + ")", "`" + run + "`", "; " + run, "| " + run, "& " + run, "\n" + run, "\x00", "\r", "\x1b[2J", "../../../etc", "/etc/../etc",
		"rclone:x:", "sftp:-oProxyCommand=" + run + ":/y", "rest:http://evil.test/", "s3:evil.test/x", "file:" + canary, canary, "/", "",
		"a,b", "rm:job:x", "rm:schedule:x", "%2e%2e", "\u202etxt", strings.Repeat("A", 100_000), "null", "{}", "[]", `C:\Windows`, `\\evil\share`,
	}
}

// hostile orders 300 times something that no honest server would.
type hostile struct {
	*place
	rand   *rand.Rand
	poison []string
}

func (h *hostile) pick() string { return h.poison[h.rand.IntN(len(h.poison))] }

// order is one hostile command: what is asked, and the configuration it relies on.
func (h *hostile) order() (operation string, params any) {
	switch h.rand.IntN(5) {
	case 0: // operations that are not there
		names := []string{
			"exec", "shell", "run", "forget", "prune", "restore", "unlock", "rewrite", "key add", "dump", "mount", "self-update",
			"backup\n", "BACKUP", "../backup", "cat", "update_agent", h.pick(),
		}
		return names[h.rand.IntN(len(names))], map[string]any{"args": []string{h.pick()}, "repository_id": repositoryID}
	case 1: // members that are not there
		members := []string{"extra_args", "cmd", "hook", "env", "password_command", "options", "host", "paths", "location", h.pick()}
		params := backupParams()
		params[members[h.rand.IntN(len(members))]] = h.pick()
		return "backup", params
	case 2: // values of another kind
		values := []any{h.pick(), []string{h.pick()}, map[string]any{h.pick(): h.pick()}, -1, 1e300, nil, true}
		return "backup", map[string]any{"schedule_id": values[h.rand.IntN(len(values))], "schedule_version": values[h.rand.IntN(len(values))]}
	case 3: // a repository that the policy does not allow
		location, err := restic.ParseLocation([]string{"rest:http://evil.test/x/", "/etc", "/srv/other", "rest:https://nas.test.evil.test/"}[h.rand.IntN(4)])
		if err != nil {
			h.t.Fatal(err)
		}
		h.repository(func(r *Repository) { r.Location = location })
		return []string{"backup", "init", "identify", "snapshots", "locks"}[h.rand.IntN(5)], map[string]any{"repository_id": repositoryID}
	default: // a schedule that carries something
		h.schedule(func(s *Schedule) {
			switch h.rand.IntN(3) {
			case 0:
				s.Paths = []string{h.pick()}
			case 1:
				s.Tags = []string{h.pick()}
			default:
				s.Excludes = []string{"\x00" + h.pick(), "a\nb"}
			}
		})
		return "backup", backupParams()
	}
}

// allowedArgs is the form of every argument that a restic may be started with.
var allowedArgs = regexp.MustCompile(`^(--json|--no-lock|--|--stuck-request-timeout=5m0s|--(retry-lock=[0-9hms]+|host=web-1)|` +
	`--tag=(rm:(schedule|job):[0-9a-f-]{36}|[A-Za-z0-9._:-]{1,64})|--(files-from-raw|exclude-file)=/[^\x00]*|--key-hint=[0-9a-f]+|` +
	`init|cat|config|key|list|backup|snapshots|locks|lock|[0-9a-f]{64})$`)

// TestNothingButResticWithOurArgumentsRuns lets a hostile server order 300 things of
// a guarded host. Whatever is not refused is restic with arguments from our table,
// nothing is written outside of the agent's folders, and every refusal is told.
func TestNothingButResticWithOurArgumentsRuns(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", summary(), 0), listed("x"), says("key list", "[]", 0), says("list locks", "", 0)))
	outside := t.TempDir()
	canary := filepath.Join(outside, "canary")
	h := &hostile{place: newPlace(t, fake.Path()), rand: rand.New(rand.NewPCG(seed, 0)), poison: poison(canary)}
	honest := h.config
	told := map[string]int{}
	for n := range 300 {
		h.mu.Lock()
		h.config = Config{SnapshotHost: honest.SnapshotHost, Repositories: honest.Repositories, Schedules: honest.Schedules}
		h.mu.Unlock()
		operation, params := h.order()
		job := h.command(operation, params, func(c *control.Command) {
			if n%17 == 0 {
				c.Kind = h.pick()
			}
		})
		if job.Phase != spool.Finished {
			h.runner.Run(t.Context(), job)
		}
		r := h.recorded(job.ID)
		got := r.outcome()
		if got.Result == spool.Rejected && (got.Code == "" || got.Message == "") {
			t.Errorf("a refusal of %.60q is not explained: %+v", operation, got)
		}
		told[string(got.Result)+" "+got.Code]++
	}
	for _, call := range fake.Calls() {
		if i := slices.IndexFunc(call.Args, func(arg string) bool { return !allowedArgs.MatchString(arg) }); i >= 0 {
			t.Errorf("restic was started with %.200q", call.Args)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("something was written outside: %v, %v", left, err)
	}
	if told["rejected unsupported"] == 0 || told["rejected unknown_operation"] == 0 || told["rejected unknown_field"] == 0 || told["rejected repo_not_allowed"] == 0 {
		text, _ := json.MarshalIndent(told, "", " ")
		t.Errorf("the orders were not of all kinds: %s", text)
	}
	t.Log(fmt.Sprint(told))
}
