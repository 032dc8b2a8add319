package job

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// offerPause is how long commands that were just offered are not offered again to
// an agent that did not acknowledge them.
const offerPause = 5 * time.Second

// commandOverhead is what a command takes in an answer beside its params.
const commandOverhead = 400

// Offer reads what an agent is to be told now. Where there are commands, they are
// marked as offered before they are given out: what is not marked can still be
// withdrawn. Call it again after each wake-up; a wake-up carries no data.
//
// It fails as Attend does.
func (s *Service) Offer(ctx context.Context, a Agent, r *SyncRequest) (*SyncAnswer, error) {
	here, err := s.attendance(ctx, a, r.Session)
	if err != nil {
		return nil, err
	}
	return s.offer(ctx, here, r)
}

func (s *Service) offer(ctx context.Context, here *store.Attendance, r *SyncRequest) (answer *SyncAnswer, err error) {
	answer = &SyncAnswer{}
	if answer.Directives, err = s.directives(ctx, here.ID, r); err != nil {
		return nil, err
	}
	if here.Holds > 0 || len(r.Holds) > 0 {
		if err := s.offerHolds(ctx, here.ID, r, answer); err != nil {
			return nil, err
		}
	}
	refused := r.ConfigError != nil && r.ConfigError.Revision == here.ConfigRevision
	if here.ConfigRevision != r.ConfigRevision && !refused {
		if answer.Config, err = s.config(ctx, here.ID); err != nil {
			return nil, err
		}
	}
	if here.CommandSeq > here.AckedSeq {
		if err := s.offerCommands(ctx, &here.Host, answer); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// offerHolds tells what holds an agent's backups back, and whether it knew.
func (s *Service) offerHolds(ctx context.Context, host fleet.HostID, r *SyncRequest, answer *SyncAnswer) error {
	holds, err := s.Store.HoldsOfHost(ctx, host, fleet.At(s.Store.Now()))
	if err != nil {
		return err
	}
	known := map[fleet.JobID]bool{}
	for _, id := range r.Holds {
		known[id] = true
	}
	answer.HoldsChanged = len(known) != len(holds)
	for _, h := range holds {
		answer.HoldsChanged = answer.HoldsChanged || !known[h.Job]
	}
	if len(holds) > 0 || answer.HoldsChanged {
		answer.Holds = append([]store.Hold{}, holds...)
	}
	return nil
}

// HoldFor is how long a hold lasts at an agent that hears no more of it.
const HoldFor = 5 * time.Minute

func (s *Service) offerCommands(ctx context.Context, host *fleet.Host, answer *SyncAnswer) error {
	queued, err := s.Store.QueuedCommands(ctx, host.ID, maxCommands)
	if err != nil || len(queued) == 0 {
		return err
	}
	cloned, err := s.holds(ctx, host.ID, CodeAgentCloned)
	if err != nil || cloned {
		return err
	}
	now := fleet.At(s.Store.Now())
	seqs, pause := choose(queued, now)
	if len(seqs) == 0 || pause > 0 {
		answer.Pause = pause
		return nil
	}
	offered := map[int64]bool{}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		clear(offered)
		marked, err := tx.OfferCommands(ctx, host.ID, seqs)
		for _, seq := range marked {
			offered[seq] = true
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("offer commands to host %s: %w", host.ID, err)
	}
	for _, c := range queued {
		if offered[c.Seq] {
			out := Command{Command: c}
			if !c.StartBy.IsZero() {
				out.StartWithin = c.StartBy.Time().Sub(now.Time())
			}
			if err := bring(ctx, s.Store.Queries, host.ID, &out); err != nil {
				return err
			}
			answer.Commands = append(answer.Commands, out)
		}
	}
	return nil
}

// choose takes the first commands that fit into an answer, without those that are
// about to expire. pause is above zero where all of them were offered a moment ago.
func choose(queued []fleet.Command, now fleet.Time) (seqs []int64, pause time.Duration) {
	size, fresh := 0, false
	for _, c := range queued {
		size += len(c.Params) + commandOverhead
		if size > maxCommandBytes && len(seqs) > 0 {
			break
		}
		if !c.StartBy.IsZero() && c.StartBy <= now {
			continue
		}
		seqs = append(seqs, c.Seq)
		wait := c.OfferedAt.Add(offerPause).Time().Sub(now.Time())
		fresh = fresh || c.OfferedCount == 0
		pause = max(pause, wait)
	}
	if fresh {
		pause = 0
	}
	return seqs, pause
}

// holds tells whether a condition of a host holds.
func (s *Service) holds(ctx context.Context, host fleet.HostID, code string) (bool, error) {
	list, err := s.Store.Conditions(ctx, store.ObjectHost, string(host))
	for _, c := range list {
		if c.Code == code {
			return true, nil
		}
	}
	return false, err
}

// directives gives those for running jobs that differ from the ones in force.
func (s *Service) directives(ctx context.Context, host fleet.HostID, r *SyncRequest) ([]Directive, error) {
	if len(r.Running) == 0 {
		return nil, nil
	}
	ids := make([]fleet.JobID, len(r.Running))
	for i, j := range r.Running {
		ids[i] = j.ID
	}
	jobs, err := s.Store.JobsNamed(ctx, ids)
	if err != nil {
		return nil, err
	}
	watched, err := s.Store.Watched(ctx, ids, fleet.At(s.Store.Now()))
	if err != nil {
		return nil, err
	}
	interval, err := s.unwatchedInterval(ctx)
	if err != nil {
		return nil, err
	}
	inForce := map[fleet.JobID]Directive{}
	for _, d := range r.Directives {
		inForce[d.Job] = d
	}
	var changed []Directive
	for i := range jobs {
		j := &jobs[i]
		if j.HostID != host || !j.Active() {
			continue
		}
		wanted := directive(j, watched[j.ID], interval)
		known, told := inForce[j.ID]
		if !told {
			known = directive(&fleet.Job{ID: j.ID}, false, interval)
		}
		if wanted != known {
			changed = append(changed, wanted)
		}
	}
	return changed, nil
}

func directive(j *fleet.Job, watched bool, unwatched time.Duration) Directive {
	d := Directive{Job: j.ID, Desired: DesiredRun, Interval: unwatched, Detail: DetailFull}
	if j.Cancel {
		d.Desired = DesiredStop
	}
	if watched {
		d.Interval = watchedInterval
	}
	return d
}

// unwatchedInterval is how often a job reports that nobody watches: the more run,
// the less often each. It moves in steps, so that one job more or less does not
// change every agent's directives.
func (s *Service) unwatchedInterval(ctx context.Context) (time.Duration, error) {
	n, err := s.Store.CountJobsOnAgents(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the jobs on agents: %w", err)
	}
	return intervalFor(n), nil
}

func intervalFor(jobs int) time.Duration {
	step := minInterval
	for step < maxInterval && time.Duration(jobs)*time.Second/jobsPerSecond > step {
		step *= 2
	}
	return step
}
