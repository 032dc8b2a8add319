package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The limits of what is made of missed slots.
const (
	missedRows   = 1000 // of a schedule in one go; older ones are summed up, a row a day
	missedAtOnce = 200  // in a transaction
	putOffTime   = 5 * time.Minute
	patience     = 24 * time.Hour  // with an agent that is there and has not reported everything
	promptly     = 2 * time.Minute // an agent that has new times in force within this missed none by that
	outageEdge   = 2 * time.Minute // around an outage of ours
	maxBatches   = 20              // that a loop works off in a round, as when a whole fleet falls silent
)

// CheckSlots makes a job with the result missed of each slot that nobody ran. A slot is
// decided about once its agent claims to have looked after it, or once nothing was heard
// of it for too long. Every replica may call it at any time: jobs have their slot's id,
// and a schedule's row says how far it was checked.
func (s *Service) CheckSlots(ctx context.Context) error {
	now := fleet.At(s.Store.Now())
	quiet := s.Store.Now().Before(s.Store.QuietUntil())
	for range maxBatches {
		due, err := s.Store.SchedulesToCheck(ctx, now, quiet, batch)
		if err != nil {
			return err
		}
		var failed []error
		for _, ref := range due {
			err := s.checkSlots(ctx, ref, now, quiet)
			if err != nil && !errors.Is(err, errElsewhere) && !fleet.Is(err, fleet.NotFound) && !fleet.Is(err, fleet.Unavailable) {
				failed = append(failed, fmt.Errorf("check the slots of schedule %s: %w", ref.ID, err))
			}
		}
		if len(failed) > 0 || len(due) < batch {
			return errors.Join(failed...)
		}
	}
	return nil
}

// Judge brings the standing of hosts up to date that changes because time passes.
func (s *Service) Judge(ctx context.Context) error {
	quiet := s.Store.Now().Before(s.Store.QuietUntil())
	for range maxBatches {
		hosts, err := s.Store.HostsToJudge(ctx, fleet.At(s.Store.Now()), quiet, batch)
		if err != nil {
			return err
		}
		for _, id := range hosts {
			err := s.Store.Write(ctx, func(tx *store.Tx) error { return takeIn(ctx, tx, id) })
			if err != nil && !fleet.Is(err, fleet.NotFound) {
				return fmt.Errorf("judge host %s: %w", id, err)
			}
		}
		if len(hosts) < batch {
			return nil
		}
	}
	return nil
}

// errElsewhere ends a check that another replica, or a change of the schedule, made
// superfluous.
var errElsewhere = errors.New("the schedule was changed or checked meanwhile")

// check is one look at the slots of a schedule that can be decided about.
type check struct {
	ref      store.ScheduleRef
	schedule fleet.Schedule // as it was read; the rows are compared with it
	host     fleet.Host
	absences []Absence
	outages  []store.Outage
	now      fleet.Time
	byClaim  bool // else by silence
	from, to fleet.Time
	oldest   fleet.Time // what was before is nobody's any more: its jobs may have been removed
	before   fleet.Time // how far the schedule was checked when the look began
	caughtUp fleet.Time // when a catch-up was born after the first slot; 0: none
}

func (s *Service) checkSlots(ctx context.Context, ref store.ScheduleRef, now fleet.Time, quiet bool) error {
	c := &check{ref: ref, now: now, oldest: now.Add(-min(s.historyLimit(), claimsSince))}
	err := s.Store.View(ctx, func(q store.Queries) error { return c.read(ctx, q) })
	if err != nil {
		return err
	}
	if !c.begin(quiet) {
		return s.Store.Write(ctx, func(tx *store.Tx) error { return c.putOff(ctx, tx) })
	}
	if c.caughtUp, err = s.Store.RanLater(ctx, ref.ID, c.from); err != nil {
		return err
	}
	slots := c.slots()
	older := slots[:max(0, len(slots)-missedRows)]
	for len(older) > 0 {
		n := slices.IndexFunc(older, func(t fleet.Time) bool { return fleet.DayOf(t) != fleet.DayOf(older[0]) })
		if n < 0 {
			n = len(older)
		}
		day := older[:n]
		if err := s.Store.Write(ctx, func(tx *store.Tx) error { return c.decide(ctx, tx, day, true, false) }); err != nil {
			return err
		}
		older = older[n:]
	}
	newer := slots[max(0, len(slots)-missedRows):]
	for {
		part := newer[:min(len(newer), missedAtOnce)]
		newer = newer[len(part):]
		last := len(newer) == 0
		if err := s.Store.Write(ctx, func(tx *store.Tx) error { return c.decide(ctx, tx, part, false, last) }); err != nil || last {
			return err
		}
	}
}

func (c *check) read(ctx context.Context, q store.Queries) error {
	host, err := q.Host(ctx, c.ref.HostID)
	if err != nil {
		return err
	}
	schedule, err := q.Schedule(ctx, c.ref.HostID, c.ref.ID)
	if err != nil {
		return err
	}
	c.host, c.schedule = *host, *schedule
	if c.outages, err = q.Outages(ctx); err != nil {
		return err
	}
	return c.host.Absences.Read(&c.absences)
}

// begin finds which slots are to be decided about, and by what; false where it is too
// early.
func (c *check) begin(quiet bool) bool {
	s := &c.schedule
	c.before = s.CheckedUntil
	reached := func(t fleet.Time) bool { return !t.IsZero() && t <= s.ClaimUntil }
	switch {
	case reached(s.Unchecked) || reached(s.SilentFrom):
		c.byClaim, c.from, c.to = true, s.CheckedUntil, s.ClaimUntil
		if reached(s.SilentFrom) {
			c.from = min(c.from, s.SilentFrom-1)
		}
	case quiet || s.Unchecked.IsZero() || s.Overdue(s.Unchecked) > c.now || c.stillComing(): //guard:missed-early
		return false
	default:
		c.from, c.to = s.CheckedUntil, c.now
	}
	c.from = max(c.from, c.host.EnrolledAt, c.oldest)
	return true
}

// stillComing tells whether the agent is there and what it has to say may be on its
// way: it has jobs to report, or its clock is behind ours.
func (c *check) stillComing() bool {
	if c.host.Presence(c.now.Time()) != fleet.Online {
		return false
	}
	overdue := c.schedule.Overdue(c.schedule.Unchecked)
	var spool SpoolSummary
	if c.host.Spool.Read(&spool) == nil && spool.Jobs > 0 && c.now < overdue.Add(patience) { //guard:missed-spool
		return true
	}
	offset := c.skew()
	return offset > maxSkew && c.now < overdue.Add(min(offset, patience))
}

// putOff looks at the schedule again a little later, so that it does not stand in the
// way of others.
func (c *check) putOff(ctx context.Context, tx *store.Tx) error {
	if _, err := tx.LockHost(ctx, c.ref.HostID); err != nil {
		return err
	}
	s, err := tx.LockSchedule(ctx, c.ref.ID)
	if err != nil || s.OverdueAt > tx.Now || s.Unchecked.IsZero() {
		return err
	}
	s.OverdueAt = tx.Now.Add(putOffTime)
	return tx.SaveTruth(ctx, s)
}

// slots enumerates what is to be decided about, oldest first.
func (c *check) slots() []fleet.Time {
	var list []fleet.Time
	for at := c.schedule.SlotAfter(c.from); !at.IsZero() && at <= c.to; at = c.schedule.SlotAfter(at) {
		if !c.byClaim && c.schedule.Overdue(at) > c.now {
			break
		}
		list = append(list, at)
	}
	return list
}

// decide makes jobs of those slots that nobody ran, and moves on how far the schedule
// was checked. summed makes one job of all slots, which are of one day; last ends the
// look.
func (c *check) decide(ctx context.Context, tx *store.Tx, slots []fleet.Time, summed, last bool) error {
	host, err := tx.LockHost(ctx, c.ref.HostID)
	if err != nil {
		return err
	}
	s, err := tx.LockSchedule(ctx, c.ref.ID)
	if err != nil {
		return err
	}
	if s.CheckedUntil != c.schedule.CheckedUntil || s.SilentFrom != c.schedule.SilentFrom || s.TimingVersion != c.schedule.TimingVersion || host.Disabled { //guard:missed-once
		return errElsewhere
	}
	made, err := c.settleSlots(ctx, tx, slots, summed)
	if err != nil {
		return err
	}
	c.move(s, slots, last)
	if made {
		if s.Missed, err = tx.CountMissed(ctx, s.ID, s.LastGood, ""); err != nil {
			return err
		}
	}
	s.Foretell(tx.Now, host.Availability)
	if err := tx.SaveTruth(ctx, s); err != nil {
		return err
	}
	c.schedule = *s
	schedules, err := tx.Schedules(ctx, host.ID)
	if err != nil {
		return err
	}
	tx.Touch(fleet.TopicSchedules, string(s.ID))
	return tx.Stand(ctx, host, schedules)
}

// move notes how far the schedule was checked, and from where on a claim has yet to
// explain what silence decided.
func (c *check) move(s *fleet.Schedule, slots []fleet.Time, last bool) {
	if len(slots) > 0 {
		s.CheckedUntil = max(s.CheckedUntil, slots[len(slots)-1])
	}
	switch {
	case c.byClaim && last:
		s.CheckedUntil, s.SilentFrom = max(s.CheckedUntil, c.to), 0
	case last:
		s.CheckedUntil = max(s.CheckedUntil, c.from)
	}
	if !c.byClaim && len(slots) > 0 && s.SilentFrom.IsZero() {
		s.SilentFrom = slots[0]
	}
}

// settleSlots writes the jobs of slots that nobody ran and tells whether any number
// changed by it.
func (c *check) settleSlots(ctx context.Context, tx *store.Tx, slots []fleet.Time, summed bool) (made bool, err error) {
	ids := make([]fleet.JobID, len(slots))
	for i, at := range slots {
		if ids[i], err = fleet.SlotJob(c.ref.ID, at); err != nil {
			return false, err
		}
	}
	known, err := tx.JobsNamed(ctx, ids)
	if err != nil {
		return false, err
	}
	byID := make(map[fleet.JobID]*fleet.Job, len(known))
	for i := range known {
		byID[known[i].ID] = &known[i]
	}
	sums, err := c.sumsBefore(ctx, tx, slots)
	if err != nil {
		return false, err
	}
	var rows []fleet.Job
	for i, at := range slots {
		why, told := c.why(at)
		j := byID[ids[i]]
		switch {
		case j != nil:
			changed, err := c.explain(ctx, tx, j, why, told)
			if err != nil {
				return false, err
			}
			made = made || changed
		case told && !(at <= c.before && sums[fleet.DayOf(at)]): //guard:missed-summed
			row, err := c.row(ids[i], at, why)
			if err != nil {
				return false, err
			}
			rows = append(rows, row)
		}
	}
	if summed {
		if rows, err = c.sum(ctx, tx, rows); err != nil {
			return false, err
		}
	}
	return made || len(rows) > 0, c.write(ctx, tx, rows)
}

// sumsBefore tells the days of which an earlier look has summed up slots.
func (c *check) sumsBefore(ctx context.Context, tx *store.Tx, slots []fleet.Time) (map[int64]bool, error) {
	days := map[int64]bool{}
	var ids []fleet.JobID
	for _, at := range slots {
		if day := fleet.DayOf(at); at <= c.before && !days[day] {
			days[day] = true
			id, err := fleet.DayJob(c.ref.ID, at)
			if err != nil {
				return nil, err
			}
			ids = append(ids, id)
		}
	}
	jobs, err := tx.JobsNamed(ctx, ids)
	clear(days)
	for i := range jobs {
		days[fleet.DayOf(jobs[i].Slot)] = true
	}
	return days, err
}

// explain puts the reason that a claim gives in the place of "no word from the host".
// Where the claim tells that the slot was looked after and we were not there to hear it,
// nothing is known to have been missed.
func (c *check) explain(ctx context.Context, tx *store.Tx, j *fleet.Job, why Outcome, told bool) (changed bool, err error) {
	if !c.byClaim || j.Result != fleet.Missed {
		return false, nil
	}
	var before Outcome
	if err := j.Outcome.Read(&before); err != nil {
		return false, fmt.Errorf("read the outcome of job %s: %w", j.ID, err)
	}
	if before.Code != CodeHostSilent && before.Code != CodeNoWord {
		return false, nil
	}
	if !told {
		if err := tx.AddDay(ctx, j.Day(0).Less()); err != nil {
			return false, err
		}
		return true, tx.DeleteJob(ctx, j.ID)
	}
	if j.Outcome, err = fleet.NewDoc(why); err != nil {
		return false, err
	}
	touch(tx, j)
	return false, tx.SaveJob(ctx, j)
}
