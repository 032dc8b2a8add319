package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// LockSchedule reads a schedule that nobody else changes before this transaction ends.
// Lock its host before: everybody takes the two in this order. NotFound when there is
// none.
func (tx *Tx) LockSchedule(ctx context.Context, id fleet.ScheduleID) (*fleet.Schedule, error) {
	var s fleet.Schedule
	err := tx.get(ctx, &s, `UPDATE schedules SET version = version WHERE id = ? RETURNING `+scheduleCols, id)
	return one(&s, err, "schedule %s", id)
}

// SaveTruth writes what is true of a schedule, whole; it must have been locked, or read
// while its host was.
func (tx *Tx) SaveTruth(ctx context.Context, s *fleet.Schedule) error {
	_, err := tx.named(ctx, `UPDATE schedules SET timing_since = :timing_since, timing_version = :timing_version,
		claim_from = :claim_from, claim_until = :claim_until, checked_until = :checked_until, unchecked = :unchecked,
		overdue_at = :overdue_at, silent_from = :silent_from, next_slot = :next_slot, breach_at = :breach_at,
		missed = :missed, facts = :facts WHERE id = :id`, s)
	if err != nil {
		return fmt.Errorf("write what is true of schedule %s: %w", s.ID, err)
	}
	return nil
}

// Stand judges a host anew by its schedules and writes what came of it where it
// changed. The host must have been locked; it is brought up to date.
func (tx *Tx) Stand(ctx context.Context, h *fleet.Host, schedules []fleet.Schedule) error {
	quiet := tx.Now < tx.quiet()
	before := *h
	h.Away = !h.ContactDeadline.IsZero() && h.Presence(tx.Now.Time()) == fleet.Offline
	if quiet { //guard:judge-quiet
		h.Away = before.Away
	}
	st := fleet.Judge(h, schedules, tx.Now, quiet)
	if st.State != h.Protection || h.ProtectionSince.IsZero() {
		h.ProtectionSince = tx.Now
	}
	h.Protection, h.ProtectionReason, h.ProtectionSchedule = st.State, st.Reason, st.Schedule
	h.BreachAt, h.NextSlot, h.Unchecked = st.BreachAt, st.NextSlot, st.Unchecked
	if *h == before {
		return nil
	}
	err := tx.get(ctx, &h.Version, `UPDATE hosts SET protection = ?, protection_reason = ?, protection_since = ?, protection_schedule = ?,
		breach_at = ?, next_slot = ?, unchecked = ?, away = ?, version = version + 1 WHERE id = ? RETURNING version`,
		h.Protection, h.ProtectionReason, h.ProtectionSince, h.ProtectionSchedule, h.BreachAt, h.NextSlot, h.Unchecked, h.Away, h.ID)
	if err != nil {
		return fmt.Errorf("write how host %s is protected: %w", h.ID, err)
	}
	tx.Touch(fleet.TopicHosts, string(h.ID))
	return nil
}

// JudgeHost is Stand for who has not read the host. NotFound when there is none.
func (tx *Tx) JudgeHost(ctx context.Context, id fleet.HostID) error {
	h, err := tx.LockHost(ctx, id)
	if err != nil {
		return err
	}
	schedules, err := tx.Schedules(ctx, id)
	if err != nil {
		return err
	}
	return tx.Stand(ctx, h, schedules)
}

// HostsToJudge reads hosts whose standing changes because time passed: they fell
// silent or came back, or an objective was missed. Hosts that nobody has judged yet are
// among them, and those of which a schedule's next slot has passed; while we are quiet,
// these alone.
func (q Queries) HostsToJudge(ctx context.Context, now fleet.Time, quiet bool, limit int) ([]fleet.HostID, error) {
	seen := map[fleet.HostID]bool{}
	var all []fleet.HostID
	queries := []string{
		`SELECT id FROM hosts WHERE protection_since = 0 AND created_at <= ? LIMIT ?`,
		`SELECT host_id AS id FROM schedules WHERE next_slot > 0 AND next_slot <= ? LIMIT ?`,
		`SELECT id FROM hosts WHERE contact_deadline > 0 AND contact_deadline < ? AND NOT away AND NOT disabled AND enrolled_at > 0 LIMIT ?`,
		`SELECT id FROM hosts WHERE away AND (contact_deadline >= ? OR disabled) LIMIT ?`,
		`SELECT id FROM hosts WHERE breach_at > 0 AND breach_at <= ? AND protection <> 'unprotected' AND NOT disabled LIMIT ?`,
	}
	if quiet {
		queries = queries[:2]
	}
	for _, query := range queries {
		var ids []fleet.HostID
		if err := q.all(ctx, &ids, query, now, limit); err != nil {
			return nil, fmt.Errorf("look for hosts to judge: %w", err)
		}
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				all = append(all, id)
			}
		}
	}
	return all, nil
}

// ScheduleRef names a schedule and its host.
type ScheduleRef struct {
	ID     fleet.ScheduleID `db:"id"`
	HostID fleet.HostID     `db:"host_id"`
}

// SchedulesToCheck reads the schedules of hosts in service of which a slot can be
// decided about: an agent's claim covers it, or, unless we are quiet, nobody has said
// anything of it for too long.
func (q Queries) SchedulesToCheck(ctx context.Context, now fleet.Time, quiet bool, limit int) ([]ScheduleRef, error) {
	overdue := now
	if quiet {
		overdue = 0
	}
	var due []ScheduleRef
	err := q.all(ctx, &due, `SELECT s.id, s.host_id FROM schedules s JOIN hosts h ON h.id = s.host_id
		WHERE s.unchecked > 0 AND s.unchecked <= ? AND (s.unchecked <= s.claim_until OR s.overdue_at <= ?) AND NOT h.disabled AND h.enrolled_at > 0
		ORDER BY s.unchecked LIMIT ?`, now, overdue, limit)
	if err != nil {
		return nil, fmt.Errorf("look for slots to check: %w", err)
	}
	var explained []ScheduleRef
	err = q.all(ctx, &explained, `SELECT s.id, s.host_id FROM schedules s JOIN hosts h ON h.id = s.host_id
		WHERE s.silent_from > 0 AND s.silent_from <= s.claim_until AND (s.unchecked = 0 OR s.unchecked > s.claim_until)
		AND NOT h.disabled AND h.enrolled_at > 0 ORDER BY s.silent_from LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("look for slots that are explained: %w", err)
	}
	return append(due, explained...), nil
}

// Protected is a page of hosts in service with their schedules, by id: the facts that
// alerts follow from. The token is the last host's id.
func (q Queries) Protected(ctx context.Context, after fleet.HostID, limit int) ([]fleet.Host, map[fleet.HostID][]fleet.Schedule, error) {
	var hosts []fleet.Host
	err := q.all(ctx, &hosts, `SELECT `+hostCols+` FROM hosts WHERE id > ? AND NOT disabled ORDER BY id LIMIT ?`, after, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read hosts after %s: %w", after, err)
	}
	byHost := map[fleet.HostID][]fleet.Schedule{}
	if len(hosts) == 0 {
		return hosts, byHost, nil
	}
	ids := make([]fleet.HostID, len(hosts))
	for i := range hosts {
		ids[i] = hosts[i].ID
	}
	var schedules []fleet.Schedule
	if err := q.allIn(ctx, &schedules, `SELECT `+scheduleCols+` FROM schedules WHERE host_id IN (?) ORDER BY host_id, name`, ids); err != nil {
		return nil, nil, fmt.Errorf("read the schedules of hosts after %s: %w", after, err)
	}
	for i := range schedules {
		byHost[schedules[i].HostID] = append(byHost[schedules[i].HostID], schedules[i])
	}
	return hosts, byHost, nil
}
