package spool

import (
	"context"
	"fmt"
	"time"

	"restic-manager/agent/control"
)

// Budget bounds what waits for the server.
type Budget struct {
	Total  int64 // bytes of records, all jobs
	PerJob int64 // bytes of records, one job
	// The spool does not grow while less is free than the smaller of these: a large
	// disk at 96 % has room, a small one at the same mark has not.
	MinFree        int64
	MinFreePercent int
}

// DefaultBudget returns 256 MiB in all, 64 MiB a job, and 1 GiB or 5 % left free.
func DefaultBudget() Budget {
	return Budget{Total: 256 << 20, PerJob: 64 << 20, MinFree: 1 << 30, MinFreePercent: 5}
}

// space remembers what the file system said last.
type space struct {
	at    time.Time
	tight bool
	frame int64 // bytes that may wait while it is tight
}

// spaceFor is how long that is believed.
const spaceFor = 10 * time.Second

// leastRoom may wait however tight the disk is, so that the log of what happens
// now can be looked at.
const leastRoom = 1 << 20

// keepBudget drops the oldest log until what waits is within the budget, and an
// eighth below it, so that this is seldom. Events are never dropped.
func (s *Spool) keepBudget(ctx context.Context) error {
	d := s.draft(stepBudget)
	var total int64
	for _, j := range s.jobs {
		size := j.Events.size + j.Chunks.size
		if size > s.budget.PerJob { //guard:spool-job-budget
			dropped, err := s.shrink(ctx, d, j.ID, size-s.budget.PerJob*7/8, "The log is larger than a job may keep for the server.")
			if err != nil {
				return err
			}
			size -= dropped
		}
		total += size
	}
	limit, reason := s.limit(total)
	if total > limit { //guard:spool-budget
		over := total - limit*7/8
		for _, j := range s.ordered() {
			dropped, err := s.shrink(ctx, d, j.ID, over, reason)
			if err != nil {
				return err
			}
			if over -= dropped; over <= 0 {
				break
			}
		}
	}
	if len(d.jobs) == 0 {
		return nil
	}
	d.required, d.urgent = true, true // a failed drop frees nothing
	return s.commit(ctx, d)
}

// limit returns how much may wait in all, given that total does.
func (s *Spool) limit(total int64) (limit int64, reason string) {
	if now := s.now(); now.Sub(s.space.at) >= spaceFor {
		s.space.at = now
		tight := false
		if free, size, err := s.freeSpace(s.dir); err == nil {
			floor := min(uint64(s.budget.MinFree), size/100*uint64(s.budget.MinFreePercent))
			tight = free < floor
		}
		if tight && !s.space.tight {
			s.space.frame = max(total, leastRoom)
		}
		s.space.tight = tight
	}
	if s.space.tight && s.space.frame < s.budget.Total { //guard:spool-tight-disk
		return s.space.frame, "The disk is almost full."
	}
	return s.budget.Total, "The server was away for long and the spool is full."
}

// shrink drops at least that much of the job's oldest log, if it has it, and
// returns how much it dropped.
func (s *Spool) shrink(ctx context.Context, d *draft, id string, by int64, reason string) (int64, error) {
	if j := s.jobs[id]; by <= 0 || !j.Chunks.retained() {
		return 0, nil
	}
	j := d.jobs[id]
	if j == nil {
		j = s.jobs[id].clone()
	}
	gap := control.Gap{Stream: control.Log, Reason: reason}
	var dropped int64
	err := s.retained(ctx, j, logs, int(j.Chunks.Next-j.Chunks.First), func(r record) (bool, error) {
		add(&gap, r)
		dropped += r.size()
		return dropped < by, nil
	})
	if err != nil {
		return 0, fmt.Errorf("make room: %w", err)
	}
	if dropped == 0 {
		return 0, nil
	}
	d.jobs[id] = j
	d.counts.DroppedLines += gap.Lines
	return dropped, s.dropLog(j, gap)
}
