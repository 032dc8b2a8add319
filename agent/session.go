package agent

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"restic-manager/agent/control"
)

// The protocol that this agent speaks.
const (
	protocolMin = 1
	protocolMax = 1
)

// Codes of the server's refusals that the agent acts upon; what each means is told
// in package control.
const (
	codeCredentialUnknown = "credential_unknown"
	codeAgentDisabled     = "agent_disabled"
	codeAgentDeleted      = "agent_deleted"
	codeSessionSuperseded = "session_superseded"
	codeSessionUnknown    = "session_unknown"
	codeProtocolUnsupport = "protocol_unsupported"
	codeBodyTooLarge      = "body_too_large"
)

// wantFullState is the server's wish for a new session.
const wantFullState = "full_state"

// How long to wait before the next session.
const (
	takeoverWindow       = time.Hour
	takeoverPauseAtFirst = time.Second
	takeoverPauseAtMost  = 15 * time.Minute
	refusedPauseAtFirst  = 5 * time.Second
	refusedPauseAtMost   = 15 * time.Minute
	unsupportedPause     = time.Hour
	leastSessionPause    = 500 * time.Millisecond
)

const sessionAnswerDeadline = 2 * time.Minute

// errWanted says that the server asked for a new session.
var errWanted = errors.New("the server asked for a new session")

// talk keeps a session with the server until ctx ends.
func (a *Agent) talk(ctx context.Context) {
	if control.Sleep(ctx, a.jitter(a.firstContact)) != nil {
		return
	}
	pacer := sessionPacer{backoff: control.Backoff{Rand: a.rand}}
	for ctx.Err() == nil {
		began := time.Now()
		err := a.converse(ctx)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errWanted) {
			a.noteTrouble(err)
		}
		pause := max(pacer.next(err, began, time.Now()), leastSessionPause)
		a.log.Debug("no session", "err", err, "next_in", pause)
		if control.Sleep(ctx, pause+a.jitter(pause/4)) != nil {
			return
		}
	}
}

// converse opens a session and keeps it until the server or the network ends it in
// a way that only a new one mends.
func (a *Agent) converse(ctx context.Context) error {
	answer, err := a.openSession(ctx)
	if err != nil {
		return err
	}
	a.noteTrouble(nil)
	a.log.Info("session opened", "session", answer.SessionId, "number", answer.SessionNo)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.keepSynced(ctx, answer.SessionId) })
	g.Go(func() error { return a.keepReported(ctx, answer.SessionId, limitsOf(answer.Limits)) })
	g.Go(func() error { a.fetchSecrets(ctx, a.inForce.get().SecretRefs()); return nil })
	if a.mustRotate() {
		g.Go(func() error { a.rotate(ctx, answer.SessionId); return nil })
	}
	err = g.Wait()
	a.log.Info("session ended", "session", answer.SessionId, "err", err)
	return err
}

// openSession tells the server where this agent stands, and takes over what it says
// about the jobs that both know of.
func (a *Agent) openSession(ctx context.Context) (*control.SessionAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionAnswerDeadline)
	defer cancel()
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	health := a.health(ctx)
	answer, err := a.link.OpenSession(ctx, control.SessionRequest{
		InstallId: a.identity.InstallID, JournalId: a.spool.JournalID(), AckedSeq: a.spool.AckedSeq(),
		AgentVersion: a.version, ResticVersion: health.resticVersion,
		Os: runtime.GOOS, Arch: runtime.GOARCH, Hostname: hostname,
		Protocol:     control.ProtocolRange{Min: protocolMin, Max: protocolMax},
		Capabilities: capabilities(a.recipeNames), BootId: a.bootID,
		AgentTime: time.Now().UTC(), UptimeMs: time.Since(a.started).Milliseconds(),
		ConfigRevision: a.inForce.revision(), Jobs: a.spool.AgentJobs(), Spool: new(a.spool.Summary()),
		Policy: &health.policy, Health: health.problems, SecretStore: a.vault.store.Rung(),
		Offers: health.offers,
	})
	if err != nil {
		return nil, err
	}
	a.session.Store(&answer.SessionId)
	a.sentPolicy, a.sentOffers = health.policy, health.offers
	a.cron.Met(answer.ServerEpoch)
	a.sentSlots, a.sentAways = nil, nil // with the first sync, when it is known whether the server has lost something
	if answer.Limits.MaxWaitS > 0 {
		a.link.GrantWait(time.Duration(answer.Limits.MaxWaitS) * time.Second)
	}
	a.directives.reset()
	a.uploadRate.Store(0)
	stop, err := a.spool.Reconcile(context.WithoutCancel(ctx), answer.Jobs)
	for _, id := range stop {
		a.jobs.cancel(id)
	}
	if err != nil {
		a.log.Error("session's verdicts not recorded", "err", err)
	}
	return answer, nil
}

// capabilities are names of what this agent can do: the operations it has recipes for.
func capabilities(operations []string) []string {
	var list []string
	for _, name := range operations {
		list = append(list, "operation:"+name)
	}
	slices.Sort(list)
	return list
}

// endsSession reports whether an error means that this session is over, or that the
// server will not hear this agent for now. Everything else is mended by repeating.
func endsSession(err error) bool {
	return slices.ContainsFunc([]string{
		codeSessionUnknown, codeSessionSuperseded, codeCredentialUnknown,
		codeAgentDisabled, codeAgentDeleted, codeProtocolUnsupport,
	}, func(code string) bool { return control.IsRefusal(err, code) })
}

// sessionPacer says how long to wait before the next session. It is for one goroutine.
type sessionPacer struct {
	backoff   control.Backoff
	takeovers []time.Time // when other processes took our session over, the last hour's
	refused   time.Duration
}

func (p *sessionPacer) next(err error, opened, now time.Time) time.Duration {
	if now.Sub(opened) > time.Minute {
		p.backoff.Next(nil)
		p.refused = 0
	}
	switch {
	case errors.Is(err, errWanted):
		return 0
	case control.IsRefusal(err, codeSessionUnknown):
		return p.backoff.Next(err)
	case control.IsRefusal(err, codeSessionSuperseded):
		return p.takenOver(now)
	case control.IsRefusal(err, codeProtocolUnsupport):
		return unsupportedPause
	case endsSession(err):
		p.refused = min(refusedPauseAtMost, max(refusedPauseAtFirst, 2*p.refused))
		return p.refused
	}
	return p.backoff.Next(err)
}

// takenOver waits longer each time that another process takes the session within an
// hour: one takeover may be a delayed repeat of our own opening, several are a clone
// of this machine, and two that outbid each other would starve both.
func (p *sessionPacer) takenOver(now time.Time) time.Duration {
	p.takeovers = slices.DeleteFunc(p.takeovers, func(t time.Time) bool { return now.Sub(t) > takeoverWindow })
	p.takeovers = append(p.takeovers, now)
	pause := takeoverPauseAtFirst
	for range p.takeovers[1:] {
		pause = min(takeoverPauseAtMost, pause*8)
	}
	return pause
}
