package spool

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"restic-manager/agent/control"
)

// healthOf gives the codes of what is wrong.
func healthOf(s *Spool) string {
	var codes []string
	for _, p := range s.Health() {
		codes = append(codes, p.Code)
	}
	return strings.Join(codes, " ")
}

// TestCommandsAgainstTheContractLeaveNothingBehind: an id that is none would be in
// every session and report from then on, and make each invalid at another server.
func TestCommandsAgainstTheContractLeaveNothingBehind(t *testing.T) {
	for name, spoil := range map[string]func(*control.Command){
		"no command id":          func(c *control.Command) { c.Id = "" },
		"a command id of words":  func(c *control.Command) { c.Id = "'; DROP TABLE seen; --" },
		"no job id":              func(c *control.Command) { c.JobId = "" },
		"a job id that is a way": func(c *control.Command) { c.JobId = "../../../../etc/cron.d/x" },
		"a job id in capitals":   func(c *control.Command) { c.JobId = strings.ToUpper("abcdefab-0000-4000-8000-000000000001") },
		"a job id and more":      func(c *control.Command) { c.JobId += "\n" },
		"a huge job id":          func(c *control.Command) { c.JobId = strings.Repeat("0", 1<<20) },
		"a negative epoch":       func(c *control.Command) { c.Epoch = -1 },
		"the last epoch":         func(c *control.Command) { c.Epoch = math.MaxInt64 },
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, Options{Dir: t.TempDir()})
			bad := runCommand(1, 1)
			spoil(&bad)
			if acked := mustJournal(t, s, bad, runCommand(2, 2)); acked != 2 {
				t.Errorf("acknowledged up to %d, want 2", acked)
			}
			s = reopen(t, s)
			if jobs := s.AgentJobs(); len(jobs) != 1 || jobs[0].JobId != id(2) {
				t.Errorf("the jobs are %+v", jobs)
			}
			if got := healthOf(s); got != "command_malformed" {
				t.Errorf("health says %q", got)
			}
		})
	}
}

// TestNumbersNoServerCountsToAreNotAcknowledged: an agent that had acknowledged the
// last number there is would never again take a command from anybody.
func TestNumbersNoServerCountsToAreNotAcknowledged(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	far := []control.Command{runCommand(2, 2), runCommand(3, 3), runCommand(4, 4)}
	far[0].Seq, far[1].Seq, far[2].Seq = math.MaxInt64, maxSeq+1, math.MinInt64
	if acked := mustJournal(t, s, far...); acked != 1 {
		t.Errorf("acknowledged up to %d, want 1", acked)
	}
	if jobs := s.AgentJobs(); len(jobs) != 1 {
		t.Errorf("the jobs are %+v", jobs)
	}
	t.Run("and the last that is does not end the count", func(t *testing.T) {
		s := mustOpen(t, Options{Dir: t.TempDir()})
		last, next := runCommand(1, 1), runCommand(2, 2)
		last.Seq, next.Seq = maxSeq, maxSeq+1
		if acked := mustJournal(t, s, last); acked != maxSeq {
			t.Errorf("acknowledged up to %d", acked)
		}
		if acked := mustJournal(t, s, next); acked != maxSeq+1 {
			t.Errorf("a server that goes on from there is acknowledged up to %d", acked)
		}
	})
	if got := healthOf(reopen(t, s)); got != "command_malformed" {
		t.Errorf("health says %q", got)
	}
}

func TestReplayedAndReorderedCommandsAreTakenOnce(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(5, 5), runCommand(3, 3), runCommand(4, 4))
	again := runCommand(6, 3) // the same job by another command
	same := runCommand(7, 7)
	same.Id = id(1005) // another job by the same command
	if acked := mustJournal(t, s, runCommand(1, 1), runCommand(3, 3), again, same); acked != 7 {
		t.Errorf("acknowledged up to %d, want 7", acked)
	}
	var jobs []string
	for _, j := range s.Pending() {
		jobs = append(jobs, j.ID[35:])
	}
	if got := strings.Join(jobs, " "); got != "3 4 5" {
		t.Errorf("the jobs are %q", got)
	}
}

// TestAJobThatWasForgottenIsNotRunAgain replays what is long reported.
func TestAJobThatWasForgottenIsNotRunAgain(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	s = reopen(t, s)
	replay := runCommand(2, 1)
	mustJournal(t, s, replay)
	if jobs := s.Pending(); len(jobs) != 0 {
		t.Errorf("the job is pending again: %+v", jobs)
	}
}

func TestParamsAreBounded(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	big, foreign, long := runCommand(1, 1), runCommand(2, 2), runCommand(3, 3)
	big.Params = json.RawMessage(`{"x":"` + strings.Repeat("x", maxParams) + `"}`)
	foreign.Params = json.RawMessage(`{"schedule_id":"../x","schedule_version":-5,"repository_id":"` + strings.Repeat("y", 1<<16) + `"}`)
	long.Operation, long.Trigger = strings.Repeat("o", 1<<16), strings.Repeat("t", 1<<16)
	long.StartWithinS = math.MaxInt64
	mustJournal(t, s, big, foreign, long)
	s = reopen(t, s)
	j, err := s.Job(id(1))
	if err != nil || j.Result != Rejected || len(j.Params) != 0 {
		t.Errorf("of large params got %+v, %v", j, err)
	}
	items := mustBatch(t, s)
	for _, item := range items {
		o := item.Opened
		if len(o.ScheduleId) > 36 || len(o.RepositoryId) > 36 || len(o.Operation) > maxWord+2 || len(o.Trigger) > maxWord+2 {
			t.Errorf("a job is told with what no server takes: %.200v", *o)
		}
	}
	if j, err = s.Job(id(3)); err != nil || j.StartBy.Before(j.OpenedAt) {
		t.Errorf("a job with all the time there is has to start by %v", j.StartBy)
	}
	if got := kinds(items, id(1)); got != "1:acked 2:finished" {
		t.Errorf("the refusal's events are %q", got)
	}
}

func TestNoMoreCommandsAreTakenThanMayWait(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	var flood []control.Command
	for i := 1; i <= mostCommanded+500; i++ {
		flood = append(flood, runCommand(int64(i), i))
	}
	if acked := mustJournal(t, s, flood...); acked != mostCommanded {
		t.Fatalf("acknowledged up to %d, want %d", acked, mostCommanded)
	}
	if acked := mustJournal(t, s, flood...); acked != mostCommanded {
		t.Errorf("acknowledged up to %d the second time", acked)
	}
	for i := 1; i <= 10; i++ {
		must(t, s.Finish(t.Context(), id(i), Outcome{Result: Rejected}, nil))
	}
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	if acked := mustJournal(t, s, flood...); acked <= mostCommanded {
		t.Errorf("acknowledged up to %d after some were reported", acked)
	}
}

// TestVerdictsOfAHostileServerDoNoLastingHarm: whatever numbers it names, the agent
// goes on, keeps its memory, and a server that keeps to the contract gets it all.
func TestVerdictsOfAHostileServerDoNoLastingHarm(t *testing.T) {
	numbers := []int64{math.MinInt64, -1, 0, 1, 2, 1000, maxSeq - 1, maxSeq, maxSeq + 1, math.MaxInt64}
	for _, outcome := range []string{"ok", "gap", "diverged", "rejected", "unknown_job", "nonsense", ""} {
		t.Run(outcome, func(t *testing.T) {
			s := runningJob(t, 3)
			for _, event := range numbers {
				for _, chunk := range numbers {
					apply(t, s, control.ReportVerdict{
						Outcome: outcome, NextEventSeq: event, NextLogSeq: chunk,
						RejectedStream: "log; DROP TABLE records", RejectedSeq: chunk, Message: strings.Repeat("x", 1<<12),
					})
				}
			}
			must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
			deliver(t, reopen(t, s))
		})
	}
}

// TestAStreamThatWasSentFarAheadComesBackAtOnce: the numbers in between are not
// filled one by one.
func TestAStreamThatWasSentFarAheadComesBackAtOnce(t *testing.T) {
	s := runningJob(t, 1)
	apply(t, s, control.ReportVerdict{Outcome: "diverged", NextEventSeq: 3 * mostFilled, NextLogSeq: 1})
	apply(t, s, control.ReportVerdict{Outcome: "gap", NextEventSeq: 1, NextLogSeq: 1})
	if n := s.AgentJobs()[0].NextEventSeq; n > 100 {
		t.Errorf("the next event has number %d", n)
	}
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
	deliver(t, s)
}

// honest is a server that keeps to the contract and has never heard of the job.
type honest struct {
	event, log int64 // expected next
	gaps       []control.Gap
	finished   bool
}

func (h *honest) take(item control.ReportItem) control.ReportVerdict {
	v := control.ReportVerdict{JobId: item.JobId, Outcome: outcomeOK}
	for _, e := range item.Events {
		last := e.Seq
		if e.Gap != nil && e.Gap.Stream == control.Events {
			last = e.Gap.LastSeq
		}
		if e.Seq > h.event {
			v.Outcome = "gap"
			break
		}
		if last < h.event {
			continue
		}
		h.event = last + 1
		h.finished = h.finished || e.Kind == "finished"
		if e.Gap != nil && e.Gap.Stream == control.Log {
			h.gaps = append(h.gaps, *e.Gap)
		}
	}
	for range h.gaps {
		for _, g := range h.gaps {
			if g.FirstSeq <= h.log && h.log <= g.LastSeq {
				h.log = g.LastSeq + 1
			}
		}
	}
	for _, c := range item.Log {
		if c.Seq > h.log {
			v.Outcome = "gap"
		}
		if c.Seq == h.log {
			h.log++
		}
	}
	v.NextEventSeq, v.NextLogSeq = h.event, h.log
	return v
}

// deliver reports to an honest server until there is nothing left to say.
func deliver(t *testing.T, s *Spool) {
	t.Helper()
	h := &honest{event: 1, log: 1}
	for range 50 {
		var verdicts []control.ReportVerdict
		for _, item := range mustBatch(t, s) {
			verdicts = append(verdicts, h.take(item))
		}
		must(t, s.Applied(t.Context(), verdicts))
	}
	if !h.finished {
		t.Error("the result never came")
	}
	if left := s.AgentJobs(); len(left) != 0 {
		t.Errorf("still here: %s", fmt.Sprint(left))
	}
}

// TestFactsAgainstTheContractDoNotStopAResult: a record that cannot be written as JSON
// would keep its job from ever being reported.
func TestFactsAgainstTheContractDoNotStopAResult(t *testing.T) {
	for facts, want := range map[string]string{
		`{"keys":2}`: `{"keys":2}`,
		`{"keys":`:   "",
		"":           "",
		`{"a":"` + strings.Repeat("x", maxFacts) + `"}`: "",
	} {
		s := mustOpen(t, Options{Dir: t.TempDir()})
		mustJournal(t, s, runCommand(1, 1))
		if _, err := s.Start(t.Context(), id(1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), id(1), Outcome{Result: Succeeded, Facts: json.RawMessage(facts), Rows: 3}, nil); err != nil {
			t.Fatal(err)
		}
		events := mustBatch(t, reopen(t, s))[0].Events
		got := events[len(events)-1].Outcome
		if got == nil || got.Result != Succeeded || string(got.Facts) != want || got.Rows != 3 {
			t.Errorf("of %.40q came %+v", facts, got)
		}
	}
}
