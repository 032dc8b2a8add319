package model_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
)

// recipes carry out jobs in the order of the real ones, with the model's processes in
// the place of restic's.
func (l *life) recipes() []runner.Recipe {
	return []runner.Recipe{
		{Operation: "backup", Run: l.logged(l.backUp), Recover: l.recoverBackup},
		{Operation: "init", Run: l.logged(l.initialise), Recover: l.recoverInit, Alone: true},
		{Operation: "identify", Run: l.logged(l.identify)},
		{Operation: "snapshots", Run: l.logged(l.list)},
		{Operation: "locks", Run: l.logged(l.look)},
	}
}

// logged keeps what an execution really came to.
func (l *life) logged(recipe func(context.Context, *runner.Task, *run) *runner.Ending) func(context.Context, *runner.Task) *runner.Ending {
	return func(ctx context.Context, t *runner.Task) *runner.Ending {
		if l.killed() { // the dead begin nothing
			return stopped(ctx)
		}
		r := l.m.ledger.begin(t.Job.ID, t.Job.Attempt, l.pulse)
		e := recipe(ctx, t, r)
		l.m.ledger.change(func() { r.ended = e })
		return e
	}
}

func ending(result spool.Result, code string) *runner.Ending {
	return &runner.Ending{Outcome: spool.Outcome{Result: result, Code: code}}
}

func stopped(ctx context.Context) *runner.Ending {
	if errors.Is(context.Cause(ctx), runner.ErrCancelled) {
		return ending(spool.Cancelled, "cancelled")
	}
	return ending(spool.Interrupted, runner.CodeAgentStopped)
}

// probe is the look at the repository that comes before any work.
func (l *life) probe(ctx context.Context, t *runner.Task) (id string, e *runner.Ending) {
	if !l.pause(ctx, l.m.dice.between(0, 3*time.Second)) {
		return "", stopped(ctx)
	}
	id, there := l.m.depot.identity(t.Repository.ID)
	switch {
	case !there:
		return "", ending(spool.Failed, "repo_not_found")
	case t.Repository.ResticID != "" && t.Repository.ResticID != id:
		return "", ending(spool.Failed, runner.CodeRepositoryChanged)
	}
	return id, nil
}

// pause waits, and reports false when it was cut short.
func (l *life) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-l.dead:
	}
	return false
}

func (l *life) backUp(ctx context.Context, t *runner.Task, r *run) *runner.Ending {
	if _, e := l.probe(ctx, t); e != nil {
		return e
	}
	l.note(t, r, "the storage does not let this credential delete")
	exit, e := l.carryOut(ctx, t, r)
	if e != nil {
		return e
	}
	found := l.m.depot.of(t.Repository.ID, t.Job.ID)
	switch exit {
	case exitInterrupted:
		return stopped(ctx)
	case exitFailed:
		return ending(spool.Failed, "restic_failed")
	case exitCrashed:
		return seen(found)
	}
	e = ending(spool.Succeeded, "")
	if exit == exitWarning {
		e = ending(spool.Warning, "items_unreadable")
		e.Warnings = []spool.FileWarning{{Path: "/etc/shadow", Message: "permission denied"}}
		e.WarningsTotal = 1
	}
	e.SnapshotId = found.Id
	e.Stats = &spool.Stats{FilesProcessed: 12, BytesProcessed: 3456}
	if !l.pause(ctx, l.m.dice.between(0, 2*time.Second)) { // it could not be listed
		l.note(t, r, "the new snapshot could not be listed")
		return e
	}
	e.Snapshot, e.Confirmed = found, true
	if l.m.dice.chance(l.m.poison) {
		bad := *found
		bad.Id = "no id of restic's" // the server cannot take the record, and the result must come through
		e.Snapshot = &bad
	}
	return e
}

// seen is the ending of a backup that nobody saw the end of.
func seen(found *spool.Snapshot) *runner.Ending {
	if found == nil {
		return ending(spool.Interrupted, runner.CodeAgentDied)
	}
	e := ending(spool.Warning, runner.CodeEndNotSeen)
	e.SnapshotId, e.Confirmed, e.Snapshot = found.Id, true, found
	return e
}

func (l *life) recoverBackup(ctx context.Context, t *runner.Task) *runner.Ending {
	if !l.pause(ctx, l.m.dice.between(0, 10*time.Second)) || l.m.dice.chance(0.2) {
		return nil // the storage was not reached; it is asked again
	}
	return seen(l.m.depot.of(t.Repository.ID, t.Job.ID))
}

func (l *life) initialise(ctx context.Context, t *runner.Task, r *run) *runner.Ending {
	if _, there := l.m.depot.identity(t.Repository.ID); there {
		return ending(spool.Failed, "repo_exists")
	}
	exit, e := l.carryOut(ctx, t, r)
	switch {
	case e != nil:
		return e
	case exit == exitInterrupted:
		e = stopped(ctx)
		e.Code = runner.CodeInitInterrupted
		return e
	case exit == exitFailed:
		return ending(spool.Failed, "restic_failed")
	}
	return l.identified(t, spool.Succeeded, "")
}

func (l *life) identified(t *runner.Task, result spool.Result, code string) *runner.Ending {
	e := ending(result, code)
	if id, there := l.m.depot.identity(t.Repository.ID); there {
		e.Repository = &spool.RepositoryIdentity{ResticId: id, KeyId: hexID("key of " + id), FormatVersion: 2, KeyCount: 1}
	}
	return e
}

func (l *life) recoverInit(ctx context.Context, t *runner.Task) *runner.Ending {
	if !l.pause(ctx, time.Second) {
		return nil
	}
	return l.identified(t, spool.Interrupted, runner.CodeInitInterrupted)
}

func (l *life) identify(ctx context.Context, t *runner.Task, _ *run) *runner.Ending {
	if _, e := l.probe(ctx, t); e != nil {
		return e
	}
	return l.identified(t, spool.Succeeded, "")
}

// look stands for an operation that only reads.
func (l *life) look(ctx context.Context, t *runner.Task, r *run) *runner.Ending {
	if _, e := l.probe(ctx, t); e != nil {
		return e
	}
	exit, e := l.carryOut(ctx, t, r)
	switch {
	case e != nil:
		return e
	case exit == exitInterrupted:
		return stopped(ctx)
	}
	e = ending(spool.Succeeded, "")
	e.Locks = []spool.LockInfo{}
	return e
}

// list hands over all snapshots of the repository, in small parts.
func (l *life) list(ctx context.Context, t *runner.Task, _ *run) *runner.Ending {
	if _, e := l.probe(ctx, t); e != nil {
		return e
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	lines := json.NewEncoder(zip)
	for _, s := range l.m.depot.list(t.Repository.ID) {
		if err := lines.Encode(s); err != nil {
			return ending(spool.Failed, "restic_failed")
		}
	}
	if err := zip.Close(); err != nil {
		return ending(spool.Failed, "restic_failed")
	}
	const part = 200
	for offset := int64(0); ; {
		to := min(offset+part, int64(packed.Len()))
		last := to == int64(packed.Len())
		next, err := l.agent.Put(ctx, t.Job.ID, "snapshots", offset, packed.Bytes()[offset:to], last)
		switch {
		case err != nil && ctx.Err() != nil:
			return stopped(ctx)
		case err != nil:
			return ending(spool.Failed, runner.CodeListingNotDelivered)
		case next > int64(packed.Len()):
			return ending(spool.Failed, fmt.Sprintf("part_%d_of_%d", next, packed.Len()))
		case last && next == to:
			return ending(spool.Succeeded, "")
		}
		offset = next
	}
}
