//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/restic"
)

// place says where an operation runs, as a row of the table in spec.md does.
type place struct {
	host, another, maintenance bool
	lock                       restic.Lock
}

// operationsTable reads "Which operation runs where" of spec.md.
func operationsTable(t *testing.T) map[string]place {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "spec.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "### Which operation runs where\n")
	if !found {
		t.Fatal("spec.md does not say which operation runs where")
	}
	part, _, _ = strings.Cut(part, "\n#")
	table := map[string]place{}
	for line := range strings.Lines(part) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		yes := func(i int) bool { return strings.TrimSpace(cells[i]) != "no" }
		for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cells[1], -1) {
			table[name[1]] = place{yes(2), yes(3), yes(4), restic.Lock(strings.TrimSpace(cells[5]))}
		}
	}
	return table
}

func TestTheTableOfOperationsIsTheOneThatIsBuilt(t *testing.T) {
	table := operationsTable(t)
	for _, op := range restic.Operations() {
		is := place{slices.Contains(op.Places, restic.PlaceHost), op.Anywhere, slices.Contains(op.Places, restic.PlaceMaintenanceHost), op.Lock}
		if table[op.Name] != is {
			t.Errorf("%s: spec.md says %+v, it is %+v", op.Name, table[op.Name], is)
		}
		delete(table, op.Name)
	}
	if len(table) > 0 {
		t.Errorf("spec.md tells of operations that are not there: %v", table)
	}
}

// honest are the least params with which an operation is in order.
func honest(operation string) obj {
	params := obj{"repository_id": evilRepository}
	with := map[string]obj{
		"ls": {"snapshot_id": evilSnapshot}, "index": {"snapshot_id": evilSnapshot}, "find": {"patterns": []string{"x"}},
		"diff": {"from": evilSnapshot, "to": strings.Repeat("f", 64)}, "dump": {"snapshot_id": evilSnapshot, "path": "/x"},
		"restore": {"snapshot_id": evilSnapshot, "target": "staging"},
		"forget":  {"snapshot_ids": []string{evilSnapshot}}, "tag": {"snapshot_ids": []string{evilSnapshot}, "add": []string{"x"}},
		"rewrite": {"snapshot_ids": []string{evilSnapshot}, "excludes": []string{"x"}}, "key-remove": {"key_id": evilSnapshot},
		"copy":         {"snapshot_ids": []string{evilSnapshot}, "from_repository_id": evilRepository2},
		"key-add":      {"secret_id": evilSchedule, "secret_version": 1},
		"repair-packs": {"pack_ids": []string{evilSnapshot}},
	}
	if operation == "backup" || operation == "preview" {
		return obj{"schedule_id": evilSchedule, "schedule_version": 1}
	}
	for name, value := range with[operation] {
		params[name] = value
	}
	return params
}

// evilRepository2 is another repository of the same host.
const evilRepository2 = "33333333-3333-4333-8333-333333333333"

// pair is an operation at a kind of host, as a hostile server orders it, and the code with
// which the agent refuses it; "" where it does not.
type pair struct {
	operation string
	with      obj // of the command, beside operation and params
	params    obj // beside the honest ones
	code      string
}

// refusals are the codes with which the table's pairs are refused.
var refusals = []string{"operation_not_allowed", "config_not_in_force", "repo_not_allowed", "restore_target_denied"}

// give orders pairs, demands how each is refused, and counts them.
func (v *victim) give(kind string, pairs []pair) (refused int) {
	v.t.Helper()
	jobs := make([]string, len(pairs))
	v.change(func() {
		for i, p := range pairs {
			params := honest(p.operation)
			for name, value := range p.params {
				params[name] = value
			}
			with := obj{"operation": p.operation, "params": params}
			for name, value := range p.with {
				with[name] = value
			}
			c := v.command(with)
			jobs[i] = c["job_id"].(string)
			v.commands = append(v.commands, c)
		}
	})
	for i, p := range pairs {
		var got control.Outcome
		eventually(v.t, fmt.Sprintf("%s: the end of %s", kind, p.operation), 2*time.Minute, func() (known bool) {
			got, known = v.outcome(jobs[i])
			return known
		})
		switch {
		case p.code == "" && slices.Contains(refusals, got.Code):
			v.t.Errorf("%s: %s is refused with %s (%s)", kind, p.operation, got.Code, got.Message)
		case p.code != "" && (got.Result != control.Rejected || got.Code != p.code || got.Message == "" || got.NextStep == ""):
			v.t.Errorf("%s: %s ended as %s %q (%s; %s), want rejected %s", kind, p.operation, got.Result, got.Code, got.Message, got.NextStep, p.code)
		}
		if p.code != "" {
			refused++
		}
	}
	return refused
}

// ruled replaces the host's own policy file, as root does.
func (v *victim) ruled(lines ...string) {
	v.t.Helper()
	text := "version: 1\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(v.watched, "etc", "policy.yaml"), []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// maintainedAt is a configuration in which a hostile server makes the host the one that
// maintains a repository, at a location and with a credential that can delete.
func (v *victim) maintainedAt(location string, credential bool) obj {
	c := evilConfig(v.host, v.prefix+"web-1/")
	second := repositoryAt(evilRepository2, v.prefix+"web-2/")
	c["repositories"] = append(c["repositories"].([]obj), second)
	if location == "" {
		return c
	}
	m := obj{"location": location, "schedules": []obj{}}
	if credential {
		m["credential"] = obj{"id": uuid.NewString(), "version": 1}
	}
	c["repositories"].([]obj)[0]["maintenance"] = m
	return c
}

// What the table refuses is refused by the agent, with a code, whatever the server says:
// at a host that has the append credential, at one that the server calls the maintenance
// host and whose policy file does not, with the profile that trusts, at the maintenance
// host of another repository, and for repositories that come with the command. restic is
// not started for any.
func TestEachPairThatTheTableRefusesIsRefusedByTheAgent(t *testing.T) {
	t.Parallel()
	work(t)
	table := operationsTable(t)
	v := newVictim(t)
	inForce := func(c obj) {
		t.Helper()
		if refusal := v.configure(c); refusal != nil {
			t.Fatalf("a configuration in order was refused: %s", refusal.Message)
		}
	}
	folder, other := filepath.Join(t.TempDir(), "repository"), filepath.Join(t.TempDir(), "other")
	for _, dir := range []string{folder, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	guarded := fmt.Sprintf("repos: {allow: [%q, %q]}", v.prefix, folder)
	var deleting, borrowed []pair
	for name, at := range table {
		if !at.host {
			deleting = append(deleting, pair{operation: name, code: "operation_not_allowed"})
		}
		foreign := pair{operation: name, with: obj{"repository": repositoryAt(uuid.NewString(), "rest:http://127.0.0.1:1/elsewhere/")}, code: "repo_not_allowed"}
		if !at.another {
			foreign.code = "config_not_in_force"
			foreign.with["repository"] = repositoryAt(uuid.NewString(), v.prefix+"web-9/") // allowed, and yet not
		}
		foreign.params = obj{"repository_id": foreign.with["repository"].(obj)["id"]}
		if name != "backup" && name != "preview" { // theirs is their schedule's
			borrowed = append(borrowed, foreign)
		}
	}
	deleting = append(deleting, pair{operation: "unlock", params: obj{"lock_ids": []string{evilSnapshot}, "force": true}, code: "operation_not_allowed"})
	inPlace := []pair{
		{operation: "restore", params: obj{"target": "in_place", "paths": []string{"/etc"}}, code: "restore_target_denied"},
		{operation: "restore", params: obj{"target": "in_place"}, code: "restore_target_denied"},
	}
	v.ruled("profile: guarded", guarded)
	inForce(v.maintainedAt("", false))
	started, refused := len(v.fake.Calls()), 0
	refused += v.give("a host", slices.Concat(deleting, borrowed, inPlace))
	for kind, c := range map[string]obj{
		"a host that the server calls the maintenance host in a folder":     v.maintainedAt(folder, false),
		"a host that is handed a credential that can delete":                v.maintainedAt(v.prefix+"web-1/", true),
		"a host whose append credential is called one that can delete":      v.maintainedAt(v.prefix+"web-1/", false),
		"a host that is to maintain what its policy says nothing of at all": v.maintainedAt("/etc", false),
	} {
		inForce(c)
		for _, rules := range [][]string{
			{"profile: guarded", guarded}, {"profile: trusting"},
			{"profile: guarded", guarded, "maintenance:", "- path: " + other},
		} {
			v.ruled(rules...)
			refused += v.give(kind+", "+strings.Join(rules, " "), deleting)
		}
	}
	v.ruled("profile: guarded", guarded, "maintenance:", "- location: "+v.prefix+"web-1/")
	inForce(v.maintainedAt(v.prefix+"web-1/", false))
	refused += v.give("the maintenance host without a credential that can delete", deleting)
	if now := len(v.fake.Calls()); now != started {
		t.Errorf("restic was started %d times for what is refused: %v", now-started, v.fake.Calls()[started:])
	}
	t.Logf("%d orders were refused", refused)
	if refused < 100 {
		t.Errorf("%d refusals are too few", refused)
	}

	// What the table allows is not refused.
	v.ruled("profile: guarded", guarded, "maintenance:", "- path: "+folder)
	inForce(v.maintainedAt(folder, false))
	var allowed []pair
	for name, at := range table {
		if at.host || at.maintenance {
			allowed = append(allowed, pair{operation: name})
		}
	}
	v.give("the maintenance host", allowed)
}
