package agent

import (
	"context"
	"reflect"
	"slices"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/runner"
)

// keepSynced keeps a request parked at the server until the session ends. The
// request is never given up for something to tell: that is what reports are for.
func (a *Agent) keepSynced(ctx context.Context, session string) error {
	backoff := control.Backoff{Rand: a.rand}
	pace := control.NewPace()
	for {
		request := a.syncRequest(ctx, session)
		answer, err := a.link.Sync(ctx, request)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && endsSession(err):
			return err
		case err != nil:
			a.noteTrouble(err)
			a.log.Debug("sync failed", "err", err)
			if err := control.Sleep(ctx, backoff.Next(err)); err != nil {
				return err
			}
			continue
		}
		backoff.Next(nil)
		a.noteTrouble(nil)
		if request.Policy != nil {
			a.sentPolicy = *request.Policy
		}
		if request.Offers.Hooks != nil {
			a.sentOffers = request.Offers
		}
		if request.Slots != nil {
			a.sentSlots = request.Slots
		}
		if request.Absences != nil {
			a.sentAways = request.Absences
		}
		if err := a.heed(ctx, session, answer); err != nil {
			return err
		}
		if a.spool.AckedSeq() == request.AckedSeq { //guard:sync-pace
			// Only commands that were taken are worth an answer at once.
			if err := pace.Wait(ctx); err != nil {
				return err
			}
		}
	}
}

// syncRequest says where the agent stands. The policy, what the host publishes, how far
// its schedules are and when it was away travel when they have changed.
func (a *Agent) syncRequest(ctx context.Context, session string) control.SyncRequest {
	health := a.health(ctx)
	running := a.spool.Running()
	request := control.SyncRequest{
		SessionId: session, JournalId: a.spool.JournalID(), AckedSeq: a.spool.AckedSeq(),
		ConfigRevision: a.inForce.revision(), ConfigError: a.inForce.refusal(),
		Running: running, Directives: a.directives.inForce(), Holds: a.jobs.runner.HeldBack(), Spool: new(a.spool.Summary()),
		Health: health.problems, UptimeMs: time.Since(a.started).Milliseconds(),
	}
	if !reflect.DeepEqual(health.policy, a.sentPolicy) {
		request.Policy = &health.policy
	}
	if !reflect.DeepEqual(health.offers, a.sentOffers) {
		request.Offers = health.offers
	}
	if claims := a.cron.Claims(); !slices.EqualFunc(claims, a.sentSlots, sameClaim) {
		request.Slots = claims
	}
	if away := a.cron.Absences(); !slices.Equal(away, a.sentAways) {
		request.Absences = away
	}
	return request
}

func sameClaim(a, b control.SlotClaim) bool {
	return a.ScheduleId == b.ScheduleId && a.ScheduleVersion == b.ScheduleVersion && a.From.Equal(b.From) && a.Until.Equal(b.Until)
}

// heed does what an answer says, in the order that the contract demands: the
// configuration first, then the commands, which may rely on it.
func (a *Agent) heed(ctx context.Context, session string, answer *control.SyncAnswer) error {
	received := time.Now()
	if answer.Config != nil {
		a.applyConfig(ctx, *answer.Config)
	}
	if answer.Holds != nil {
		a.jobs.runner.HoldBack(holdsOf(answer.Holds, received))
	}
	a.takeCommands(answer.Commands, received)
	for _, wish := range answer.Jobs {
		a.obey(wish)
	}
	if slices.Contains(answer.Want, wantFullState) {
		return errWanted
	}
	if answer.Hints != nil {
		return a.takeHints(ctx, session, *answer.Hints)
	}
	return nil
}

// longestHold is the contract's: a server that goes away holds nobody back for longer.
const longestHold = 5 * time.Minute

// holdsOf are the server's holds, from when they were received.
func holdsOf(list []control.AgentHold, received time.Time) []runner.HoldBack {
	var holds []runner.HoldBack
	for _, h := range list[:min(len(list), 1000)] {
		lasts := longestHold
		if h.ForS < int(longestHold/time.Second) { //guard:hold-longest
			lasts = time.Duration(h.ForS) * time.Second
		}
		holds = append(holds, runner.HoldBack{
			RepositoryID: h.RepositoryId, JobID: h.JobId, Until: received.Add(lasts), Reason: clip(h.Reason, 300),
		})
	}
	return holds
}

// takeCommands makes commands durable and starts what they ask for. Commands that
// the disk refuses are not acknowledged, so the server offers them again.
func (a *Agent) takeCommands(commands []control.Command, received time.Time) {
	if len(commands) == 0 {
		return
	}
	// Without the session's context: half of a journal's write helps nobody.
	acked, err := a.spool.Journal(context.Background(), commands, received)
	if err != nil {
		a.log.Error("commands not journaled", "err", err)
		return
	}
	a.log.Info("commands journaled", "count", len(commands), "acked", acked)
	for _, c := range commands {
		if c.Kind == "cancel" {
			a.jobs.cancel(c.JobId)
		}
	}
	a.jobs.startPending()
}

// obey takes a directive, whichever answer brought it.
func (a *Agent) obey(wish control.JobDirective) {
	a.directives.take(wish)
	if wish.Desired != desiredStop {
		return
	}
	if err := a.spool.RequestCancel(context.Background(), wish.JobId); err != nil {
		a.log.Error("cancel not recorded", "job", wish.JobId, "err", err)
	}
	a.jobs.cancel(wish.JobId)
}

// takeHints slows the agent down, or starts what the server asks for in passing.
func (a *Agent) takeHints(ctx context.Context, session string, h control.Hints) error {
	if h.MaxWaitS > 0 {
		a.link.GrantWait(time.Duration(h.MaxWaitS) * time.Second)
	}
	a.directives.suggest(h.ReportIntervalMs)
	if h.UploadBytesPerS > 0 {
		a.uploadRate.Store(h.UploadBytesPerS)
	}
	if h.RotateCredential {
		a.rotate(ctx, session)
	}
	pause := max(h.ReconnectAfterMs, h.MinPollIntervalMs)
	return control.Sleep(ctx, min(maxInterval, time.Duration(min(max(pause, 0), int64(maxInterval/time.Millisecond)))*time.Millisecond))
}
