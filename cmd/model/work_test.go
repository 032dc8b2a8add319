package model_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
)

// carryOut runs a process for a task, recorded before it may begin, and reads what it
// says. The ending is nil when the process left an exit behind.
func (l *life) carryOut(ctx context.Context, t *runner.Task, r *run) (exit, *runner.Ending) {
	p := l.spawn(l.m.plan(t))
	ref, err := json.Marshal(map[string]string{"job": t.Job.ID})
	if err == nil {
		err = l.spool.Attach(context.Background(), t.Job.ID, ref)
	}
	if err != nil || l.killed() {
		p.killed.kill()
		return 0, ending(spool.Failed, runner.CodeJournalFailed)
	}
	l.m.ledger.change(func() { r.began = time.Now() })
	close(p.let)
	exit, e := l.follow(ctx, t, r, p)
	_ = l.spool.Attach(context.Background(), t.Job.ID, nil) // it is over, whatever the disk says
	return exit, e
}

// follow reads what a process says until its end, interrupts it when the job is to
// end, and dies over it where that is the agent's fate.
func (l *life) follow(ctx context.Context, t *runner.Task, r *run, p *process) (exit, *runner.Ending) {
	var death <-chan time.Time
	if l.m.trouble.Err() == nil && l.m.dice.chance(0.06) {
		timer := time.NewTimer(l.m.dice.between(0, time.Duration(p.steps)*p.pace))
		defer timer.Stop()
		death = timer.C
	}
	done := ctx.Done()
	for percent := 0.0; ; {
		select {
		case text := <-p.lines:
			l.m.ledger.change(func() { r.said = append(r.said, time.Now()) })
			l.spool.Log(t.Job.ID, spool.Line{At: time.Now(), Stream: spool.Stdout, Text: text})
			if percent = min(99, percent+1); l.m.dice.chance(0.05) {
				l.note(t, r, fmt.Sprintf("note %d", len(r.said)))
			}
			t.Progress(spool.Progress{At: time.Now().UTC(), Percent: percent})
		case <-done:
			done = nil
			p.interrupted.kill()
		case exit := <-p.exited:
			return exit, nil
		case <-death:
			l.m.cover.hit(coveredAgent, killedWorking)
			l.kill()
		case <-l.dead:
			return 0, ending(spool.Interrupted, runner.CodeAgentDied)
		}
	}
}

// note records an event of the job, and whether the disk surely has it.
func (l *life) note(t *runner.Task, r *run, text string) {
	err := l.spool.Note(context.Background(), t.Job.ID, text, nil)
	l.m.ledger.change(func() {
		switch {
		case err == nil && !l.killed():
			r.notes = append(r.notes, text)
		case errors.Is(err, errKilled):
			r.maybe = append(r.maybe, text)
		}
	})
}

// plan draws what the restic of a job is to do.
func (m *machine) plan(t *runner.Task) task {
	d := m.dice
	p := task{
		repository: t.Repository.ID, job: t.Job, host: t.SnapshotHost,
		steps: 1 + d.below(16), pace: d.between(100*time.Millisecond, 8*time.Second), lines: d.below(4),
		finishes: d.chance(0.2), orphan: d.chance(0.5),
		exit: pick(d, []exit{exitGood, exitGood, exitGood, exitWarning, exitFailed, exitCrashed}),
	}
	if d.chance(0.1) { // a long one
		p.pace = d.between(10*time.Second, time.Minute)
	}
	if d.chance(0.1) { // a loud one
		p.lines, p.noise = 1+d.below(40), 400+d.below(2000)
	}
	if t.Operation.Name != "backup" {
		p.steps, p.pace = 1+d.below(4), d.between(0, 2*time.Second)
		p.exit = pick(d, []exit{exitGood, exitGood, exitGood, exitFailed})
	}
	return p
}
