package model_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

// trial is one job before the court.
type trial struct {
	*court
	job     *fleet.Job
	events  []job.Event
	chunks  []fleet.LogChunk
	lines   []job.LogLine
	account account
	forgets bool // the machine's disk or the database was set back, so what happened may be forgotten
}

func (t *trial) errorf(format string, args ...any) {
	t.w.t.Errorf("job %s (%s, %s %s): "+format, append([]any{t.job.ID, t.job.Operation, t.job.State, t.job.Result}, args...)...)
}

func (c *court) judgeJob(ctx context.Context, j *fleet.Job) {
	t := &trial{court: c, job: j, events: c.events(ctx, j.ID), chunks: c.chunks(ctx, j.ID), lines: c.lines(ctx, j.ID)}
	c.w.ledger.change(func() { t.account = *c.w.ledger.account(string(j.ID)) })
	m := c.machineOf(j.HostID)
	t.forgets = c.setBack || m != nil && m.setBack
	c.w.cover.hit(coveredResults, string(j.Result))
	if j.Active() {
		t.errorf("is not finished")
		return
	}
	t.judgeEvents()
	t.judgeWord()
	if m == nil || !m.setBack {
		t.judgeRuns()
	}
	if t.forgets {
		return
	}
	t.judgeNotes()
	t.judgeLog()
}

// judgeEvents demands a dense stream.
func (t *trial) judgeEvents() {
	next := int64(1)
	for _, e := range t.events {
		if e.Seq != next {
			t.errorf("event %d stands where %d should", e.Seq, next)
		}
		if next = e.Seq + 1; e.Gap != nil && e.Gap.Stream == "events" {
			next = e.Gap.LastSeq + 1
		}
	}
	if t.job.NextEventSeq != next {
		t.errorf("its next event is %d, and the stream ends before %d", t.job.NextEventSeq, next)
	}
}

// last is the agent's last word, nil when it gave none.
func (t *trial) last() *job.Outcome {
	for _, e := range slices.Backward(t.events) {
		if e.Kind == job.EventFinished {
			return e.Outcome
		}
	}
	return nil
}

// judgeWord demands that the result is the agent's last word, or the server's own
// about a job that no agent ended.
func (t *trial) judgeWord() {
	word := t.last()
	switch {
	case word != nil && word.Result != string(t.job.Result):
		t.errorf("its agent's word is %s", word.Result)
	case word != nil:
	case t.job.Result == fleet.Lost && t.forgets:
	case t.job.Result != fleet.Expired && t.job.Result != fleet.Cancelled && t.job.Result != fleet.Missed:
		t.errorf("its agent has not said so")
	case len(t.account.runs) > 0 && !t.forgets:
		t.errorf("it ran, and its agent's word is missing")
	}
}

// cutOff reports whether a run of a slot was ended by the end of its agent, so that
// another attempt may follow where it left nothing.
func (t *trial) cutOff(r *run) bool {
	stopped := r.ended != nil && r.ended.Result == spool.Interrupted && r.ended.Code == runner.CodeAgentStopped
	return !t.job.Slot.IsZero() && (stopped || r.life.killed())
}

// judgeRuns demands one execution at most, or another one of a slot whose first was cut
// off, and a result that is true of the last.
func (t *trial) judgeRuns() {
	runs := t.account.runs
	if len(runs) == 2 && t.cutOff(runs[0]) && runs[0].tries < runs[1].tries {
		t.w.cover.hit(coveredSlots, "tried again after it was cut off: "+string(t.job.Result))
	} else if len(runs) > 1 {
		t.errorf("it was carried out %d times", len(runs))
	}
	if len(t.account.snapshots) > 1 {
		t.errorf("it made %d snapshots", len(t.account.snapshots))
	}
	word := t.last()
	if len(runs) == 0 || word == nil {
		if t.job.Result.Good() {
			t.errorf("it never ran")
		}
		return
	}
	if r := runs[len(runs)-1]; !t.trueOf(r, word) {
		t.errorf("%q is not what it came to: %s, %d snapshots, agent killed %v", word.Code, endingOf(r), len(t.account.snapshots), r.life.killed())
	}
}

// trueOf reports whether a word is what a run came to, as far as anybody could know.
func (t *trial) trueOf(r *run, word *job.Outcome) bool {
	same := r.ended != nil && string(r.ended.Result) == word.Result
	if same && (word.Code == r.ended.Code || word.Code == "record_refused") {
		return true
	}
	if !r.life.killed() && !t.cutOff(r) { // what a living agent saw it said
		return false
	}
	if len(t.account.snapshots) > 0 {
		return word.Result == "warning" && word.Code == runner.CodeEndNotSeen && word.SnapshotID == t.account.snapshots[0]
	}
	// Another attempt may not have come to begin.
	unbegun := t.cutOff(r) && (word.Result == "cancelled" || word.Result == "rejected" || word.Code == runner.CodeJournalFailed)
	return word.Result == "interrupted" || unbegun
}

func endingOf(r *run) string {
	if r.ended == nil {
		return "no end"
	}
	return fmt.Sprintf("%s %q", r.ended.Result, r.ended.Code)
}

// judgeNotes demands that every event that the agent's disk took is here, once and in
// order.
func (t *trial) judgeNotes() {
	for _, r := range t.account.runs {
		wanted := r.notes
		for _, e := range t.events {
			switch {
			case e.Kind != "note" || e.Attempt != r.tries:
			case len(wanted) > 0 && e.Message == wanted[0]:
				wanted = wanted[1:]
			case slices.Contains(r.notes, e.Message):
				t.errorf("note %q came twice or too late", e.Message)
			}
		}
		if len(wanted) > 0 {
			t.errorf("%d notes are missing, the first is %q", len(wanted), wanted[0])
		}
	}
}

// flushed is how old a line is at most that its agent's disk does not have yet.
const flushed = 1500 * time.Millisecond

// judgeLog demands every line, in its place, but for those that a gap record counts,
// and those that a killed agent had not written yet.
func (t *trial) judgeLog() {
	t.judgeChunks()
	if len(t.account.runs) > 1 {
		return // each attempt counts its lines anew
	}
	var said []time.Time
	for _, r := range t.account.runs {
		said = r.said
	}
	var counted int64
	for _, e := range t.events {
		if e.Gap != nil && e.Gap.Stream == "log" {
			counted += e.Gap.Lines
		}
	}
	here := map[int64]bool{}
	for _, l := range t.lines {
		var n int64
		if _, err := fmt.Sscanf(l.Text, "line %d", &n); err != nil || n != l.N || here[n] {
			t.errorf("line %d of the log says %.20q", l.N, l.Text)
			return
		}
		here[n] = true
	}
	missing, late := int64(0), int64(0)
	for i, at := range said {
		if here[int64(i+1)] {
			continue
		}
		missing++
		if r := t.account.runs[len(t.account.runs)-1]; r.life.killed() && at.After(r.life.at.Add(-flushed)) {
			late++
		}
	}
	if missing > counted+late {
		t.errorf("%d of %d lines are missing, gaps count %d, and %d were said when the agent was killed", missing, len(said), counted, late)
	}
}

// judgeChunks demands that the log's numbers are dense, where a gap stands for those
// that are not there. A gap may also count chunks that came after all, since an agent
// that makes room cannot know which of them have arrived.
func (t *trial) judgeChunks() {
	declared := func(seq int64) bool {
		return slices.ContainsFunc(t.events, func(e job.Event) bool {
			return e.Gap != nil && e.Gap.Stream == "log" && e.Gap.FirstSeq <= seq && seq <= e.Gap.LastSeq
		})
	}
	next := int64(1)
	upTo := func(seq int64) {
		for ; next < seq; next++ {
			if !declared(next) {
				t.errorf("chunk %d of the log is missing, and no gap stands for it", next)
			}
		}
	}
	for _, chunk := range t.chunks {
		if chunk.Seq < next {
			t.errorf("chunk %d of the log comes after %d", chunk.Seq, next-1)
		}
		upTo(chunk.Seq)
		next = chunk.Seq + 1
	}
	upTo(t.job.NextLogSeq)
}
