package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"restic-manager/server/fleet"
)

// AlertFacts is what alerts follow from, at one moment.
type AlertFacts struct {
	Now          fleet.Time
	Hosts        []fleet.Host // without disabled ones; identity, presence and status alone
	Schedules    []fleet.Schedule
	Repositories []fleet.Repository
	Conditions   []fleet.Condition
	Channels     []fleet.Channel
	Marks        map[string]AlertMark
}

// AlertMark is a number that was seen, and when it rose.
type AlertMark struct {
	Value   int64      `db:"value"`
	RisenAt fleet.Time `db:"risen_at"`
}

// AlertFacts reads what alerts follow from. Call it within View.
func (q Queries) AlertFacts(ctx context.Context) (*AlertFacts, error) {
	f := &AlertFacts{Now: q.now(), Marks: map[string]AlertMark{}}
	var marks []struct {
		Mark string `db:"mark"`
		AlertMark
	}
	for _, read := range []struct {
		what  string
		into  any
		query string
	}{
		{"hosts", &f.Hosts, `SELECT id, name, tags, disabled, availability, enrolled_at, last_contact, contact_deadline, agent_version,
			restic_version, spool, clock_offset, protection, breach_at FROM hosts WHERE NOT disabled ORDER BY name`},
		{"schedules", &f.Schedules, `SELECT s.id, s.host_id, s.repository_id, s.name, s.manual, s.enabled, s.last_good, s.breach_at, s.missed, s.facts
			FROM schedules s JOIN hosts h ON h.id = s.host_id WHERE s.enabled AND NOT h.disabled ORDER BY s.host_id, s.name`},
		{"repositories", &f.Repositories, `SELECT id, name, state, can_delete, allow_deleting_credential, created_at, schedules,
			maintenance_host, plan, health FROM repositories ORDER BY name`},
		{"conditions", &f.Conditions, `SELECT ` + conditionCols + ` FROM conditions ORDER BY object_type, object_id, code`},
		{"channels", &f.Channels, `SELECT ` + channelCols + ` FROM channels ORDER BY name`},
		{"marks", &marks, `SELECT mark, value, risen_at FROM alert_marks`},
	} {
		if err := q.all(ctx, read.into, read.query); err != nil {
			return nil, fmt.Errorf("read the %s that alerts follow from: %w", read.what, err)
		}
	}
	for _, m := range marks {
		f.Marks[m.Mark] = m.AlertMark
	}
	return f, nil
}

// AlertRound tells which round of evaluation was last, and when.
func (q Queries) AlertRound(ctx context.Context) (round int64, at fleet.Time, err error) {
	var row struct {
		Round int64
		At    fleet.Time
	}
	err = q.get(ctx, &row, `SELECT round, at FROM alert_rounds WHERE name = 'alerts'`)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	return row.Round, row.At, err
}

// TakeAlertRound begins the round after the one that was read and tells whether it
// did: no other replica was faster. Its row stays locked, so rounds do not overlap.
func (tx *Tx) TakeAlertRound(ctx context.Context, last int64) (bool, error) {
	if last == 0 {
		n, err := tx.exec(ctx, `INSERT INTO alert_rounds (name, round, at) VALUES ('alerts', 1, ?) ON CONFLICT (name) DO NOTHING`, tx.Now)
		return n == 1, err
	}
	n, err := tx.exec(ctx, `UPDATE alert_rounds SET round = round + 1, at = ? WHERE name = 'alerts' AND round = ?`, tx.Now, last)
	return n == 1, err
}

// AlertCandidates reads since when causes are seen that are not yet sure.
func (q Queries) AlertCandidates(ctx context.Context) (map[string]fleet.Time, error) {
	var rows []struct {
		Key   string `db:"alert_key"`
		Since fleet.Time
	}
	if err := q.all(ctx, &rows, `SELECT alert_key, since FROM alert_candidates`); err != nil {
		return nil, err
	}
	since := make(map[string]fleet.Time, len(rows))
	for _, r := range rows {
		since[r.Key] = r.Since
	}
	return since, nil
}

// AddAlertCandidates notes causes that are seen for the first time.
func (tx *Tx) AddAlertCandidates(ctx context.Context, keys []string) error {
	type row struct {
		Key   string     `db:"alert_key"`
		Since fleet.Time `db:"since"`
	}
	for part := range slices.Chunk(keys, 500) {
		rows := make([]row, len(part))
		for i, k := range part {
			rows[i] = row{k, tx.Now}
		}
		if _, err := tx.named(ctx, insert("alert_candidates", "alert_key, since")+" ON CONFLICT (alert_key) DO NOTHING", rows); err != nil {
			return err
		}
	}
	return nil
}

// DropAlertCandidates forgets causes that are raised now, or gone.
func (tx *Tx) DropAlertCandidates(ctx context.Context, keys []string) error {
	for part := range slices.Chunk(keys, 500) {
		if _, err := tx.execIn(ctx, `DELETE FROM alert_candidates WHERE alert_key IN (?)`, part); err != nil {
			return err
		}
	}
	return nil
}

// SetAlertMark writes a number that was seen.
func (tx *Tx) SetAlertMark(ctx context.Context, mark string, m AlertMark) error {
	_, err := tx.exec(ctx, `INSERT INTO alert_marks (mark, value, risen_at) VALUES (?, ?, ?)
		ON CONFLICT (mark) DO UPDATE SET value = excluded.value, risen_at = excluded.risen_at`, mark, m.Value, m.RisenAt)
	return err
}
