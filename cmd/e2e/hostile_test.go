//go:build !windows

package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// order queues commands and waits for what must become of each.
func (v *victim) order(list []order) {
	v.t.Helper()
	jobs := make([]string, len(list))
	v.change(func() {
		for i, o := range list {
			c := v.command(o.with)
			jobs[i], _ = c["job_id"].(string)
			v.commands = append(v.commands, c)
		}
	})
	for i, o := range list {
		v.await(jobs[i], o)
	}
	v.awaitAcknowledged()
	v.look(func() {
		for i, o := range list {
			if o.must == passed && v.reported[jobs[i]] != nil {
				v.t.Errorf("%s %.200v made a job", o.kind, o.with)
			}
		}
	})
}

func (v *victim) awaitAcknowledged() {
	v.t.Helper()
	eventually(v.t, "everything is acknowledged", time.Minute, func() bool {
		var done bool
		v.look(func() { done = v.acked >= v.seq })
		return done
	})
}

// await demands the fate of one order, and counts it.
func (v *victim) await(job string, o order) {
	v.t.Helper()
	if o.must == passed {
		v.counts[o.kind+": not taken"]++
		return
	}
	var got control.Outcome
	eventually(v.t, fmt.Sprintf("the result of %s %.200v", o.kind, o.with), 2*time.Minute, func() (known bool) {
		got, known = v.outcome(job)
		return known
	})
	refusal := got.Result == control.Rejected || got.Result == control.Failed
	if o.must == refused && (!refusal || got.Code == "" || got.Message == "") {
		v.t.Errorf("%s %.300v ended as %s %q (%.200s)", o.kind, o.with, got.Result, got.Code, got.Message)
	}
	v.counts[fmt.Sprintf("%s: %s %s", o.kind, got.Result, got.Code)]++
}

// offer sends a configuration together with a command, and waits until the agent
// has said what it thinks of it. It returns why it was refused.
func (v *victim) configure(c obj) (refusal *control.ConfigError) {
	v.t.Helper()
	var revision int64
	v.change(func() {
		v.revision++
		revision = v.revision
		c["revision"] = revision
		v.config = c
		v.commands = append(v.commands, v.command(obj{"kind": "cancel"})) // so that the agent answers at once
	})
	eventually(v.t, "the agent's word on a configuration", 2*time.Minute, func() (said bool) {
		v.look(func() {
			q := v.lastSync
			refusal, said = q.ConfigError, q.ConfigRevision == revision
			if refusal != nil && refusal.Revision == revision {
				said = true
			} else {
				refusal = nil
			}
		})
		return said
	})
	return refusal
}

// carry puts the schedules and repositories of orders in force and gives the orders.
func (v *victim) carry(list []carried) {
	v.t.Helper()
	c := evilConfig(v.host, v.prefix+"web-1/")
	repositories, schedules := c["repositories"].([]obj), c["schedules"].([]obj)
	given := make([]order, len(list))
	for i, o := range list {
		repository := evilRepository
		if o.repository != nil {
			repository = uuid.NewString()
			r := repositoryAt(repository, v.prefix+fmt.Sprintf("r%d/", i))
			maps.Copy(r, o.repository)
			repositories = append(repositories, r)
			v.change(func() {
				for slot, value := range o.secrets {
					v.secrets[r[slot].(obj)["id"].(string)] = value
				}
			})
		}
		o.with = obj{"operation": o.operation, "params": obj{"repository_id": repository}}
		if o.operation == "backup" {
			id := uuid.NewString()
			s := scheduleOf(id, obj{"repository_id": repository})
			maps.Copy(s, o.schedule)
			schedules = append(schedules, s)
			o.with["params"] = obj{"schedule_id": id, "schedule_version": 1}
		}
		given[i] = o.order
	}
	c["repositories"], c["schedules"] = repositories, schedules
	if refusal := v.configure(c); refusal != nil {
		v.t.Fatalf("a configuration whose parts are each in order was refused: %s", refusal.Message)
	}
	v.order(given)
}

// TestNothingAHostileServerOrdersRunsOnAGuardedHost is what a host is promised whose
// server was taken over: nothing but restic with arguments of ours runs, nothing is
// written outside of the agent's own folders, and every refusal can be seen.
func TestNothingAHostileServerOrdersRunsOnAGuardedHost(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("needs /proc to see which programs an agent starts")
	}
	work(t)
	v := newVictim(t)
	honest := func() obj { return evilConfig(v.host, v.prefix+"web-1/") }
	if refusal := v.configure(honest()); refusal != nil {
		t.Fatalf("an honest configuration was refused: %s", refusal.Message)
	}
	v.order(orders(v.canary))
	for _, o := range offerings(v.prefix, v.canary) {
		c := honest()
		o.spoil(c)
		refusal := v.configure(c)
		if refusal == nil || refusal.Code == "" || refusal.Message == "" {
			t.Errorf("a configuration with a bad %s is in force: %.300v", o.kind, c)
			continue
		}
		v.counts["configuration, "+o.kind+": "+refusal.Code]++
	}
	v.carry(carriedOrders(v.prefix, v.canary, v.state))
	for _, c := range large(v.host, v.prefix+"web-1/") {
		if refusal := v.configure(c); refusal != nil {
			t.Errorf("a large configuration was refused: %s", refusal.Message)
		}
		v.order([]order{{"large configuration", obj{"params": backupOrder}, data}})
	}
	v.replay()
	v.misspeak()
	v.lock()
	v.isWellAfterwards(honest())
	v.hasRunNothingElse()
	v.hasLeftNothing()
	v.hasToldNoSecret()
	v.print()
}

// replay gives again what was given, in other orders and under other numbers: no job
// runs twice.
func (v *victim) replay() {
	v.t.Helper()
	job := uuid.NewString()
	var first obj
	v.change(func() {
		first = v.command(obj{"job_id": job, "params": backupOrder})
		v.commands = append(v.commands, first)
	})
	v.await(job, order{"replay", first, data})
	var again []obj
	v.change(func() {
		for _, with := range []obj{{}, {"id": first["id"]}, {"epoch": 0}, {"id": first["id"], "epoch": 9}} {
			c := v.command(obj{"job_id": job, "params": backupOrder})
			maps.Copy(c, with)
			again = append(again, c)
		}
		old := maps.Clone(first)
		v.once = []obj{old, again[2], again[0], old, again[1], again[3]}
		for _, seq := range []any{int64(-1), int64(0), json.RawMessage("9223372036854775807"), json.RawMessage("-9223372036854775808"), int64(1) << 60} {
			v.once = append(v.once, v.command(obj{"seq": seq, "params": backupOrder}))
			v.seq--
		}
		v.commands = append(v.commands, v.command(obj{"operation": "exec"}))
		v.counts["replay: not taken"] += len(v.once)
	})
	v.awaitAcknowledged()
	v.order([]order{{"after the replay", obj{"params": backupOrder}, data}})
	var results int
	v.look(func() { results = len(v.reported[job].finished) })
	backups := 0
	for _, call := range v.fake.Calls() {
		if slices.Contains(call.Args, "--tag=rm:job:"+job) && call.Args[len(call.Args)-1] != "snapshots" && slices.Contains(call.Args, "backup") {
			backups++
		}
	}
	if results != 1 || backups != 1 {
		v.t.Errorf("a job that was given again has %d results of %d backups", results, backups)
	}
}

// misspeak answers what is against the contract in its form, and waits each time for
// the agent to ask again.
func (v *victim) misspeak() {
	v.t.Helper()
	for name, spoil := range map[string]func(answer obj){
		"commands that are none":    func(a obj) { a["commands"] = obj{"seq": 1} },
		"a number that is a text":   func(a obj) { a["commands"] = []obj{{"seq": "1", "kind": "run"}} },
		"a configuration of a text": func(a obj) { a["config"] = "x" },
		"no marker":                 func(a obj) { delete(a, "protocol") },
		"wishes about jobs":         func(a obj) { a["jobs"] = wishes() },
		"hints beyond all measure": func(a obj) {
			a["hints"] = obj{"max_wait_s": 1 << 60, "report_interval_ms": -1 << 60, "upload_bytes_per_s": -1}
		},
		"a nest of a thousand lists": func(a obj) { a["x"] = json.RawMessage(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)) },
	} {
		v.change(func() { v.spoil = spoil })
		eventually(v.t, "another sync after "+name, 2*time.Minute, func() (taken bool) {
			v.look(func() { taken = v.spoil == nil })
			return taken
		})
		v.order([]order{{"after " + name, obj{"operation": "exec"}, refused}})
	}
	v.change(func() {
		v.verdict = func(o obj) { o["next_event_seq"], o["next_log_seq"] = int64(1)<<62, -int64(1)<<62 }
		v.commands = append(v.commands, v.command(obj{"operation": "exec"}))
	})
	v.awaitAcknowledged()
	v.change(func() { v.verdict = nil })
}

func wishes() []obj {
	list := []obj{}
	for _, id := range poison("/nowhere") {
		list = append(list, obj{"job_id": id, "desired": "stop", "detail": id, "report_interval_ms": -5})
	}
	return list
}

// lock lets others write the policy file for a while: then nothing is allowed at all.
func (v *victim) lock() {
	v.t.Helper()
	path := filepath.Join(v.watched, "etc", "policy.yaml")
	change := func(mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			v.t.Fatal(err)
		}
	}
	change(0o666)
	v.order([]order{
		{"open policy file", obj{"params": backupOrder}, refused},
		{"open policy file", obj{"operation": "snapshots", "params": obj{"repository_id": evilRepository}}, refused},
	})
	if v.counts["open policy file: rejected policy_file_insecure"] != 2 {
		v.t.Errorf("with a policy file that everybody can write: %v", v.counts)
	}
	change(0o600)
}

// isWellAfterwards wants an agent that works, and whose only complaint is about what
// it was sent, also after a restart.
func (v *victim) isWellAfterwards(honest obj) {
	v.t.Helper()
	v.agent.stop()
	var before int
	v.look(func() { before = v.sessions })
	v.agent.again()
	v.sampled.follow(v.agent.cmd.Process.Pid)
	eventually(v.t, "the agent's next session", time.Minute, func() (well bool) {
		v.look(func() { well = v.sessions > before })
		return well
	})
	if refusal := v.configure(honest); refusal != nil {
		v.t.Errorf("afterwards an honest configuration is refused: %s", refusal.Message)
	}
	job := uuid.NewString()
	v.change(func() {
		v.commands = append(v.commands, v.command(obj{"job_id": job, "params": backupOrder}))
	})
	v.await(job, order{kind: "honest backup afterwards", must: data})
	if o, _ := v.outcome(job); o.Result != control.Succeeded || !o.Confirmed {
		v.t.Errorf("afterwards an honest backup ended as %s %q: %s", o.Result, o.Code, o.Message)
	}
	var health []control.HealthProblem
	v.look(func() { health = v.lastSync.Health })
	for _, p := range health {
		if p.Code != "command_malformed" {
			v.t.Errorf("afterwards the agent complains: %s %s", p.Code, p.Message)
		}
	}
	if len(health) == 0 {
		v.t.Error("the commands that were not taken are nowhere to be seen")
	}
}

func (v *victim) print() {
	total := 0
	for _, what := range slices.Sorted(maps.Keys(v.counts)) {
		v.t.Logf("%5d  %s", v.counts[what], what)
		total += v.counts[what]
	}
	v.t.Logf("%5d  hostile commands and configurations; restic ran %d times", total, len(v.fake.Calls()))
	if total < 300 {
		v.t.Errorf("%d attacks are too few", total)
	}
}
