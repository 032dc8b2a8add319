package api

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"time"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/wake"
)

// When the server stops, parked requests are answered spread over drainTime, and
// their agents come back spread over comeBackTime.
const (
	drainTime    = 2500 * time.Millisecond
	comeBackTime = 25 * time.Second
)

// maxParked is how many requests of one agent are parked at a time. It needs one, and
// some more where connections are cut without a word; each costs memory and a file.
const maxParked = 64

func tooManyParked() error {
	e := fleet.Errorf(fleet.Unavailable, "Too many requests of this agent wait already; try again a little later.")
	e.Extra = map[string]int64{auth.RetryAfter: int64(job.MaxHold / time.Second)}
	return e
}

// Sync takes what an agent tells and parks its request until there is something for
// it or the hold is over. While it is parked it holds no connection to the database
// and no place in the crowd, and where its connection can be taken over no goroutine.
func (h *Handlers) Sync(ctx context.Context, r SyncRequestObject) (SyncResponseObject, error) {
	p := &parked{handlers: h, visit: auth.VisitOf(ctx), agent: agentOf(ctx), request: toSyncRequest(r.Body)}
	hold := holdFor(r.Body.WaitS)
	// Deadlines on whole seconds let one timer of the process serve many requests.
	p.deadline = time.Now().Add(hold).Truncate(time.Second)
	topic := wake.Host(p.agent.Host)
	p.bell = h.waker.Bell(topic)
	if h.waker.Waiting(topic) > maxParked { //guard:sync-parked
		p.bell.Close()
		return nil, tooManyParked()
	}

	release, err := h.crowd.arrivals.enter(ctx)
	if err == nil {
		p.answer, err = h.jobs.Sync(ctx, p.agent, p.request, hold)
		release()
	}
	p.over = p.late()
	p.request.Status = job.Status{} // it was taken, and may be large
	if way := wayOf(ctx); err == nil && !p.done() && h.lot != nil && way.open && !p.stopping() {
		return takeover{p, h.lot, way.last}, nil
	}
	defer p.bell.Close()
	for err == nil && !p.done() {
		err = p.park(ctx)
	}
	if err != nil {
		return nil, err
	}
	return Sync200JSONResponse(p.compose(ctx)), nil
}

// way is what becomes of a request's connection: whether it can be taken over, and
// whether it ends with the answer.
type way struct{ open, last bool }

type wayKey struct{}

// withWay notes the way of a request that may be parked.
func withWay(w http.ResponseWriter, r *http.Request) *http.Request {
	found := way{open: hijackable(w), last: r.Close || !r.ProtoAtLeast(1, 1)}
	return r.WithContext(context.WithValue(r.Context(), wayKey{}, found))
}

func wayOf(ctx context.Context) way {
	found, _ := ctx.Value(wayKey{}).(way)
	return found
}

func hijackable(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = inner.Unwrap()
	}
}

// holdFor is how long a request is parked: what the agent can wait, within our
// bound, less up to a fifth, so that agents that came together come back apart.
func holdFor(waitS int) time.Duration {
	hold := min(time.Duration(waitS)*time.Second, job.MaxHold)
	return time.Duration(float64(hold) * (0.8 + 0.2*rand.Float64()))
}

// parked is a request of an agent that waits for something to tell.
type parked struct {
	handlers *Handlers
	visit    *auth.Visit
	agent    job.Agent
	request  *job.SyncRequest
	bell     *wake.Bell
	deadline time.Time
	answer   *job.SyncAnswer
	over     bool
	draining bool
}

// look reads what the agent is to be told.
func (p *parked) look(ctx context.Context) error {
	var err error
	p.answer, err = p.handlers.jobs.Offer(ctx, p.agent, p.request)
	return err
}

func (p *parked) done() bool { return p.over || p.draining || !p.answer.Empty() }

// stopping tells whether the server has said to everybody that it stops: who asks for a
// wake-up after that gets none.
func (p *parked) stopping() bool {
	select {
	case <-p.handlers.waker.Draining():
		return true
	default:
		return false
	}
}

func (p *parked) late() bool { return !time.Now().Before(p.deadline) }

// patience is how long to wait if nothing rings.
func (p *parked) patience() time.Duration {
	until := time.Until(p.deadline)
	if p.answer.Pause > 0 {
		until = min(until, p.answer.Pause)
	}
	return max(0, until)
}

// park waits for a wake-up or an end in the request's goroutine, and looks again. A
// wake-up carries no data. One that got lost is made up for when the agent asks again,
// which it does at once at the end of the hold: nobody looks then.
func (p *parked) park(ctx context.Context) error {
	rung := make(chan struct{})
	p.bell.Call(func() { close(rung) })
	timer := time.NewTimer(p.patience())
	defer timer.Stop()
	select {
	case <-rung:
	case <-timer.C:
		if p.over = p.late(); p.over {
			return nil
		}
	case <-p.handlers.waker.Draining():
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-p.handlers.waker.Draining(): // which wakes everybody, too
		p.draining = true
		return p.spread(ctx)
	default:
		return p.look(ctx)
	}
}

// spread keeps answers from leaving all at the same moment.
func (p *parked) spread(ctx context.Context) error {
	timer := time.NewTimer(rand.N(drainTime))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// compose writes the answer in the contract's words.
func (p *parked) compose(ctx context.Context) SyncAnswer {
	a := p.handlers.answered(ctx)
	answer := SyncAnswer{
		Protocol: a.Protocol, ServerTime: a.ServerTime, RequestId: a.RequestId,
		Commands: make([]Command, len(p.answer.Commands)), Config: toAgentConfig(p.answer.Config),
	}
	for i, c := range p.answer.Commands {
		answer.Commands[i] = Command{
			Seq: c.Seq, Id: c.ID, Kind: c.Kind, JobId: string(c.JobID), Epoch: c.Epoch, Operation: c.Operation,
			Trigger: string(c.Trigger), IssuedAt: c.IssuedAt.Time(), Params: json.RawMessage(c.Params),
		}
		if c.StartWithin > 0 {
			answer.Commands[i].StartWithinS = max(1, int64(c.StartWithin/time.Second))
		}
		if c.Repository != nil {
			answer.Commands[i].Repository = toAgentRepository(c.Repository)
		}
	}
	for _, d := range p.answer.Directives {
		answer.Jobs = append(answer.Jobs, JobDirective{
			JobId: string(d.Job), Desired: d.Desired, ReportIntervalMs: d.Interval.Milliseconds(), Detail: d.Detail,
		})
	}
	answer.Holds = toHolds(p.answer.Holds, a.ServerTime)
	if p.draining {
		answer.Hints = &Hints{ReconnectAfterMs: rand.Int64N(comeBackTime.Milliseconds())}
	}
	return answer
}

// toHolds gives the holds that last, each for the time that is left of it.
func toHolds(holds []store.Hold, now time.Time) []AgentHold {
	if holds == nil {
		return nil
	}
	out := []AgentHold{}
	for _, h := range holds {
		left := min(h.Until.Time().Sub(now), job.HoldFor)
		if left < time.Second {
			continue
		}
		out = append(out, AgentHold{
			RepositoryId: string(h.Repository), JobId: string(h.Job), ForS: int(left / time.Second), Reason: restic.TitleOf(h.Operation) + " at " + h.Host,
		})
	}
	return out
}

func toSyncRequest(b *SyncRequest) *job.SyncRequest {
	r := &job.SyncRequest{
		Session: fleet.SessionID(b.SessionId), JournalID: b.JournalId, AckedSeq: b.AckedSeq,
		ConfigRevision: b.ConfigRevision, AgentTime: b.AgentTime,
		Status: toStatus(b.Policy, b.Health, b.Spool, b.LastExchange),
	}
	told(&r.Status, b.Offers, b.Slots, b.Absences)
	if b.ConfigError != nil {
		r.ConfigError = &job.ConfigError{Revision: b.ConfigError.Revision, Code: b.ConfigError.Code, Message: b.ConfigError.Message}
	}
	for _, id := range b.Holds {
		r.Holds = append(r.Holds, fleet.JobID(id))
	}
	for _, j := range b.Running {
		r.Running = append(r.Running, job.RunningJob{ID: fleet.JobID(j.JobId), Epoch: j.Epoch, Phase: j.Phase})
	}
	for _, d := range b.Directives {
		r.Directives = append(r.Directives, job.Directive{
			Job: fleet.JobID(d.JobId), Desired: d.Desired, Interval: time.Duration(d.ReportIntervalMs) * time.Millisecond, Detail: d.Detail,
		})
	}
	return r
}

func toAgentConfig(c *job.Config) *AgentConfig {
	if c == nil {
		return nil
	}
	out := &AgentConfig{
		Revision: c.Revision, HostId: string(c.Host), SnapshotHost: c.SnapshotHost,
		Repositories: make([]AgentRepository, len(c.Repositories)), Schedules: make([]AgentSchedule, len(c.Schedules)),
	}
	for i, r := range c.Repositories {
		out.Repositories[i] = toAgentRepository(&r)
	}
	for i, s := range c.Schedules {
		out.Schedules[i] = AgentSchedule{
			Id: string(s.ID), Version: s.Version, Name: s.Name, RepositoryId: string(s.RepositoryID), Paths: s.Paths.Items(),
			Excludes: s.Excludes.Items(), Tags: s.Tags.Items(), Manual: s.Manual, Enabled: s.Enabled, Cron: s.Cron, Zone: s.Zone,
			Source: s.Source, Options: toOptions(&s),
		}
	}
	return out
}

func toAgentRepository(r *job.ConfigRepository) AgentRepository {
	out := AgentRepository{
		Id: string(r.ID), Name: r.Name, Location: r.Location, ResticId: r.ResticID, KeyId: r.KeyID,
		AllowDeletingCredential: r.AllowDeletingCredential, Password: toSecretRef(r.Password),
	}
	if r.Append != nil {
		ref := toSecretRef(*r.Append)
		out.Credential = &ref
	}
	if r.Maintenance != nil {
		out.Maintenance = toAgentMaintenance(r.Maintenance)
	}
	return out
}

// toAgentMaintenance names the schedules with what each keeps. One whose rules cannot be
// read is left out: its snapshots are kept.
func toAgentMaintenance(m *job.Maintenance) AgentMaintenance {
	out := AgentMaintenance{Location: m.Location, Schedules: []AgentRetention{}}
	if m.Credential != nil {
		ref := toSecretRef(*m.Credential)
		out.Credential = &ref
	}
	for i := range m.Kept {
		k := &m.Kept[i]
		var keep Retention
		if k.Retention.Read(&keep) != nil {
			continue
		}
		out.Schedules = append(out.Schedules, AgentRetention{
			ScheduleId: string(k.ID), Name: k.Name, HostName: k.HostName, SnapshotHost: k.SnapshotHost, Zone: k.Zone, Retention: keep,
		})
	}
	return out
}

// toOptions gives an agent the options as they are kept; what cannot be read is left
// out, and the agent goes by the defaults.
func toOptions(s *fleet.Schedule) *ScheduleOptions {
	var o ScheduleOptions
	if s.Options.Read(&o) != nil {
		return nil
	}
	return &o
}

func toSecretRef(r job.SecretRef) SecretRef { return SecretRef{Id: string(r.ID), Version: r.Version} }
