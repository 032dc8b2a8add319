package runner

import (
	"context"
	"sync"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// runInit makes a repository, once in its life.
func runInit(ctx context.Context, t *Task) *Ending {
	if t.Repository.ResticID != "" { //guard:init-once
		return failed(string(restic.CodeRepoExists), "the repository has been initialised before, and is never initialised again",
			"if it is gone from its location, bring the storage back")
	}
	if _, e := perform(ctx, t, restic.Init{}); e != nil {
		switch {
		case e.Code == string(restic.CodeRepoAnswerLost):
			return t.madeAfterAll(ctx, e)
		case e.Result == spool.Cancelled, e.Result == spool.Interrupted, e.Code == string(restic.CodeRepoHalfMade):
			return halfMade(e)
		}
		return e
	}
	// It exists from here on. What else is read is worth having and no reason to fail,
	// nor to keep an agent that is told to end.
	ctx, cancel := lingering(ctx, t.runner.afterInit)
	defer cancel()
	identity, e := t.identity(ctx)
	if e != nil {
		e.NextStep = "identify the repository: it was made, but could not be read afterwards"
		return e
	}
	return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, Repository: identity}}
}

// madeAfterAll looks whether the repository is there and opens, although restic did not
// learn that the storage has taken its last file.
func (t *Task) madeAfterAll(ctx context.Context, e *Ending) *Ending {
	identity, unread := t.identity(ctx)
	if unread != nil {
		return halfMade(e)
	}
	t.Note("an answer of the storage was lost; the repository was made all the same, and opens")
	return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, Repository: identity}}
}

// initPatience is how long what follows an init may take once it was told to end. With
// the last restic's own end that makes about half a minute.
const initPatience = 25 * time.Second

// lingering returns a context that ends that long after ctx, with its cause.
func lingering(ctx context.Context, patience time.Duration) (context.Context, func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	var timer *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if longer.Err() == nil {
			timer = time.AfterFunc(patience, func() { end(context.Cause(ctx)) })
		}
	})
	return longer, func() {
		stop()
		end(nil)
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
	}
}

// halfMade explains what an init that did not come to its end may have left.
func halfMade(e *Ending) *Ending {
	e.Code = CodeInitInterrupted
	e.Message = clip(e.Message+"; a part of the repository may be there", 4000)
	e.NextStep = "look at the location: with a file named config, identify the repository; without one, " +
		"remove what is there (keys, empty folders) with the storage's own tools, and initialise it again"
	return e
}

// recoverInit finds out whether an init that nobody saw the end of made it.
func recoverInit(ctx context.Context, t *Task) *Ending {
	identity, e := t.identity(ctx)
	switch {
	case e == nil:
		e := end(spool.Interrupted, CodeInitInterrupted, "the agent died while it made the repository, which is there and opens",
			"identify the repository")
		e.Repository = identity
		return &e
	case e.Code == string(restic.CodeRepoNotFound), e.Code == string(restic.CodeWrongPassword), e.Code == string(restic.CodeRepoDamaged):
		half := end(spool.Interrupted, CodeInitInterrupted, "the agent died while it made the repository", "")
		return halfMade(&half)
	}
	return nil
}
