package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"restic-manager/server/fleet"
)

const alertCols = "id, alert_key, code, subject_type, subject_id, severity, state, severity_rank, title, message, next_step, " +
	"objects, objects_total, fact, content, raised_at, last_seen_at, gone_since, reminded_at, acked_at, acked_by, " +
	"silenced_to, resolved_at, resolved_by, note, version"

// AlertFilter narrows a list of alerts; empty fields do not.
type AlertFilter struct {
	Open, Resolved bool
	Severity       fleet.Severity
	Code           string
	Host           fleet.HostID
	Repository     fleet.RepositoryID
	Tag            string
}

func (f AlertFilter) where() where {
	var w where
	switch {
	case f.Open && !f.Resolved:
		w.add("severity_rank > 0")
	case f.Resolved && !f.Open:
		w.add("severity_rank = 0")
	}
	if f.Severity != "" {
		w.add("severity = ?", f.Severity)
	}
	if f.Code != "" {
		w.add("code = ?", f.Code)
	}
	if f.Host != "" {
		w.add("EXISTS (SELECT 1 FROM alert_hosts t WHERE t.alert_id = alerts.id AND t.host_id = ?)", f.Host)
	}
	if f.Repository != "" {
		w.add("subject_type = ? AND subject_id = ?", fleet.ObjectRepository, f.Repository)
	}
	if f.Tag != "" {
		var tag where
		tag.holds("h.tags", f.Tag)
		w.add("EXISTS (SELECT 1 FROM alert_hosts t JOIN hosts h ON h.id = t.host_id WHERE t.alert_id = alerts.id AND "+tag.conditions[0]+")", tag.args...)
	}
	return w
}

// Alert reads an alert. NotFound when there is none.
func (q Queries) Alert(ctx context.Context, id fleet.AlertID) (*fleet.Alert, error) {
	var a fleet.Alert
	err := q.get(ctx, &a, `SELECT `+alertCols+` FROM alerts WHERE id = ?`, id)
	return one(&a, err, "alert %s", id)
}

// Alerts lists alerts: open ones by severity, then newest first.
func (q Queries) Alerts(ctx context.Context, f AlertFilter, p Page) ([]fleet.Alert, string, error) {
	w := f.where()
	var rank int
	var at fleet.Time
	var id fleet.AlertID
	if ok, err := p.after(f, &rank, &at, &id); err != nil {
		return nil, "", err
	} else if ok {
		w.add("(severity_rank, raised_at, id) < (?, ?, ?)", rank, at, id)
	}
	var list []fleet.Alert
	err := q.all(ctx, &list, `SELECT `+alertCols+` FROM alerts`+w.String()+
		` ORDER BY severity_rank DESC, raised_at DESC, id DESC LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	return paged(p, f, list, func(a *fleet.Alert) []any { return []any{a.Rank, a.RaisedAt, a.ID} })
}

// OpenAlerts counts the alerts that wait for somebody: neither acknowledged nor
// silenced nor resolved.
func (q Queries) OpenAlerts(ctx context.Context) (int, error) {
	var n int
	err := q.get(ctx, &n, `SELECT count(*) FROM alerts WHERE state = 'raised'`)
	return n, err
}

// AlertHosts lists the hosts that alerts touch.
func (q Queries) AlertHosts(ctx context.Context, ids ...fleet.AlertID) (map[fleet.AlertID][]fleet.HostID, error) {
	byAlert := map[fleet.AlertID][]fleet.HostID{}
	for part := range slices.Chunk(ids, 500) {
		var rows []struct {
			Alert fleet.AlertID `db:"alert_id"`
			Host  fleet.HostID  `db:"host_id"`
		}
		if err := q.allIn(ctx, &rows, `SELECT alert_id, host_id FROM alert_hosts WHERE alert_id IN (?) ORDER BY host_id`, part); err != nil {
			return nil, fmt.Errorf("list the hosts of alerts: %w", err)
		}
		for _, r := range rows {
			byAlert[r.Alert] = append(byAlert[r.Alert], r.Host)
		}
	}
	return byAlert, nil
}

// OpenAlertRows reads all alerts that have not been resolved. They are not locked:
// most stay as they are, and SaveAlert notices who was faster.
func (q Queries) OpenAlertRows(ctx context.Context) ([]fleet.Alert, error) {
	var list []fleet.Alert
	if err := q.all(ctx, &list, `SELECT `+alertCols+` FROM alerts WHERE state <> 'resolved'`); err != nil {
		return nil, fmt.Errorf("read the open alerts: %w", err)
	}
	return list, nil
}

// LockAlert reads an alert that nobody else changes before this transaction ends.
// NotFound when there is none.
func (tx *Tx) LockAlert(ctx context.Context, id fleet.AlertID) (*fleet.Alert, error) {
	var a fleet.Alert
	err := tx.get(ctx, &a, `UPDATE alerts SET version = version WHERE id = ? RETURNING `+alertCols, id)
	return one(&a, err, "alert %s", id)
}

// ClosedByHand reads the facts of those alerts of the keys that a person closed
// last.
func (q Queries) ClosedByHand(ctx context.Context, keys []string) (map[string]string, error) {
	facts := map[string]string{}
	for part := range slices.Chunk(keys, 500) {
		var rows []struct {
			Key  string `db:"alert_key"`
			Fact string
			By   string `db:"resolved_by"`
		}
		err := q.allIn(ctx, &rows, `SELECT alert_key, fact, resolved_by FROM alerts WHERE alert_key IN (?) AND state = 'resolved'
			ORDER BY resolved_at, id`, part)
		if err != nil {
			return nil, fmt.Errorf("read alerts that were closed: %w", err)
		}
		for _, r := range rows {
			delete(facts, r.Key)
			if r.By != "" {
				facts[r.Key] = r.Fact
			}
		}
	}
	return facts, nil
}

// RaisedSince lists keys, subjects and times of alerts that were raised after a moment.
func (q Queries) RaisedSince(ctx context.Context, since fleet.Time) ([]fleet.Alert, error) {
	var list []fleet.Alert
	err := q.all(ctx, &list, `SELECT alert_key, subject_type, subject_id, raised_at FROM alerts WHERE raised_at > ?`, since)
	if err != nil {
		return nil, fmt.Errorf("list alerts raised lately: %w", err)
	}
	return list, nil
}

// CreateAlert writes a new alert and tells whether it did: it does not where one of
// its key is open.
func (tx *Tx) CreateAlert(ctx context.Context, a *fleet.Alert, hosts []fleet.HostID) (bool, error) {
	a.Version = 1
	n, err := tx.named(ctx, insert("alerts", alertCols)+" ON CONFLICT DO NOTHING", a)
	if err != nil || n == 0 {
		return false, err
	}
	tx.Touch(fleet.TopicAlerts, string(a.ID))
	return true, tx.addAlertHosts(ctx, a.ID, hosts)
}

// SaveAlert writes what may change of an alert. VersionConflict when somebody else
// was faster.
func (tx *Tx) SaveAlert(ctx context.Context, a *fleet.Alert) error {
	a.Version++
	n, err := tx.named(ctx, `UPDATE alerts SET severity = :severity, state = :state, severity_rank = :severity_rank, title = :title,
		message = :message, next_step = :next_step, objects = :objects, objects_total = :objects_total, fact = :fact, content = :content,
		last_seen_at = :last_seen_at, gone_since = :gone_since, reminded_at = :reminded_at, acked_at = :acked_at, acked_by = :acked_by,
		silenced_to = :silenced_to, resolved_at = :resolved_at, resolved_by = :resolved_by, note = :note, version = :version WHERE id = :id AND version = :version - 1`, a)
	if err != nil {
		return fmt.Errorf("save alert %s: %w", a.ID, err)
	}
	if n == 0 {
		return fleet.Errorf(fleet.VersionConflict, "Somebody changed this alert meanwhile; read it again and repeat your change.")
	}
	tx.Touch(fleet.TopicAlerts, string(a.ID))
	return nil
}

// SeeAlerts notes that the causes of alerts were there when last looked, where
// nothing else of them changed. Pages are not told.
func (tx *Tx) SeeAlerts(ctx context.Context, ids []fleet.AlertID) error {
	for part := range slices.Chunk(ids, 500) {
		if _, err := tx.execIn(ctx, `UPDATE alerts SET last_seen_at = ?, gone_since = 0 WHERE id IN (?)`, tx.Now, part); err != nil {
			return err
		}
	}
	return nil
}

// SetAlertHosts replaces the hosts that an alert touches.
func (tx *Tx) SetAlertHosts(ctx context.Context, id fleet.AlertID, hosts []fleet.HostID) error {
	if _, err := tx.exec(ctx, `DELETE FROM alert_hosts WHERE alert_id = ?`, id); err != nil {
		return err
	}
	return tx.addAlertHosts(ctx, id, hosts)
}

func (tx *Tx) addAlertHosts(ctx context.Context, id fleet.AlertID, hosts []fleet.HostID) error {
	type row struct {
		Alert fleet.AlertID `db:"alert_id"`
		Host  fleet.HostID  `db:"host_id"`
	}
	for part := range slices.Chunk(hosts, 500) {
		rows := make([]row, len(part))
		for i, h := range part {
			rows[i] = row{id, h}
		}
		if _, err := tx.named(ctx, insert("alert_hosts", "alert_id, host_id")+" ON CONFLICT (alert_id, host_id) DO NOTHING", rows); err != nil {
			return fmt.Errorf("write the hosts of alert %s: %w", id, err)
		}
	}
	return nil
}

// How long what was told is kept.
const (
	alertKept    = 400 * 24 * time.Hour // after it was resolved
	alertsKept   = 1000                 // resolved ones of one subject: an agent could have them come and go forever
	deliveryKept = 60 * 24 * time.Hour
	pingKept     = 24 * time.Hour
)

// ForgetAlerts removes resolved alerts that are past their time or too many, and
// deliveries that are past theirs, a slice at once, the oldest first.
func (tx *Tx) ForgetAlerts(ctx context.Context) error {
	for _, f := range []struct {
		statement string
		limit     any
	}{
		{`DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < ? LIMIT 1000)`, tx.Now.Add(-alertKept)},
		{`DELETE FROM alerts WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER
			(PARTITION BY subject_type, subject_id ORDER BY resolved_at DESC, id DESC) AS place FROM alerts WHERE state = 'resolved') AS placed
			WHERE place > ? ORDER BY place DESC LIMIT 10000)`, alertsKept},
		{`DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state <> 'pending' AND created_at < ? LIMIT 1000)`, tx.Now.Add(-deliveryKept)},
		{`DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state <> 'pending' AND kind = 'ping' AND created_at < ? LIMIT 1000)`,
			tx.Now.Add(-pingKept)},
	} {
		if _, err := tx.exec(ctx, f.statement, f.limit); err != nil {
			return fmt.Errorf("forget old alerts: %w", err)
		}
	}
	return nil
}

// TagsOfAlert reads the different tag lists of the hosts that an alert touches.
func (q Queries) TagsOfAlert(ctx context.Context, id fleet.AlertID) ([]fleet.List, error) {
	var lists []fleet.List
	err := q.all(ctx, &lists, `SELECT DISTINCT h.tags FROM alert_hosts t JOIN hosts h ON h.id = t.host_id WHERE t.alert_id = ?`, id)
	if err != nil {
		return nil, fmt.Errorf("read the tags of alert %s: %w", id, err)
	}
	return lists, nil
}
