package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const deliveryCols = "id, channel_id, alert_id, kind, state, subject, body, held, attempts, error, created_at, next_attempt_at, lease_to, sent_at"

// Delivery reads a delivery. NotFound when there is none.
func (q Queries) Delivery(ctx context.Context, id fleet.DeliveryID) (*fleet.Delivery, error) {
	var d fleet.Delivery
	err := q.get(ctx, &d, `SELECT `+deliveryCols+` FROM deliveries WHERE id = ?`, id)
	return one(&d, err, "delivery %s", id)
}

// Deliveries lists what was sent through a channel, newest first.
func (q Queries) Deliveries(ctx context.Context, id fleet.ChannelID, p Page) ([]fleet.Delivery, string, error) {
	var w where
	w.add("channel_id = ?", id)
	var at fleet.Time
	var last fleet.DeliveryID
	if ok, err := p.after(id, &at, &last); err != nil {
		return nil, "", err
	} else if ok {
		w.add("(created_at, id) < (?, ?)", at, last)
	}
	var list []fleet.Delivery
	err := q.all(ctx, &list, `SELECT `+deliveryCols+` FROM deliveries`+w.String()+` ORDER BY created_at DESC, id DESC LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	return paged(p, id, list, func(d *fleet.Delivery) []any { return []any{d.CreatedAt, d.ID} })
}

// LastDeliveries reads the newest delivery of each channel that was tried.
func (q Queries) LastDeliveries(ctx context.Context) (map[fleet.ChannelID]fleet.Delivery, error) {
	var list []fleet.Delivery
	err := q.all(ctx, &list, `SELECT `+deliveryCols+` FROM deliveries WHERE id IN (SELECT
		(SELECT d.id FROM deliveries d WHERE d.channel_id = c.id AND d.attempts > 0 ORDER BY d.created_at DESC, d.id DESC LIMIT 1) FROM channels c)`)
	if err != nil {
		return nil, fmt.Errorf("read the last deliveries: %w", err)
	}
	byChannel := map[fleet.ChannelID]fleet.Delivery{}
	for _, d := range list {
		byChannel[d.ChannelID] = d
	}
	return byChannel, nil
}

// ChannelsDue reads the channels that have something to send and may try.
func (q Queries) ChannelsDue(ctx context.Context, now fleet.Time) ([]fleet.ChannelID, error) {
	var ids []fleet.ChannelID
	err := q.all(ctx, &ids, `SELECT DISTINCT d.channel_id FROM deliveries d JOIN channels c ON c.id = d.channel_id
		WHERE d.state = 'pending' AND d.next_attempt_at <= ? AND d.lease_to <= ? AND c.retry_at <= ? ORDER BY d.channel_id`, now, now, now)
	return ids, err
}

// DueDeliveries reads what a channel has to send by now, oldest first. Call it with
// the channel locked.
func (tx *Tx) DueDeliveries(ctx context.Context, id fleet.ChannelID, limit int) ([]fleet.Delivery, error) {
	var list []fleet.Delivery
	err := tx.all(ctx, &list, `SELECT `+deliveryCols+` FROM deliveries WHERE channel_id = ? AND state = 'pending' AND next_attempt_at <= ? AND lease_to <= ?
		ORDER BY created_at, id LIMIT ?`, id, tx.Now, tx.Now, limit)
	return list, err
}

// PendingDeliveries counts what has not been sent.
func (q Queries) PendingDeliveries(ctx context.Context) (int, error) {
	var n int
	err := q.get(ctx, &n, `SELECT count(*) FROM deliveries WHERE state = 'pending'`)
	return n, err
}

// AddDelivery promises a message.
func (tx *Tx) AddDelivery(ctx context.Context, d *fleet.Delivery) error {
	if d.CreatedAt.IsZero() {
		d.CreatedAt = tx.Now
	}
	if _, err := tx.named(ctx, insert("deliveries", deliveryCols), d); err != nil {
		return fmt.Errorf("promise a delivery: %w", err)
	}
	tx.Touch(fleet.TopicChannels, string(d.ChannelID))
	return nil
}

// SaveDelivery writes what came of an attempt.
func (tx *Tx) SaveDelivery(ctx context.Context, d *fleet.Delivery) error {
	_, err := tx.named(ctx, `UPDATE deliveries SET state = :state, attempts = :attempts, error = :error, next_attempt_at = :next_attempt_at,
		lease_to = :lease_to, sent_at = :sent_at WHERE id = :id`, d)
	if err != nil {
		return fmt.Errorf("save delivery %s: %w", d.ID, err)
	}
	tx.Touch(fleet.TopicChannels, string(d.ChannelID))
	return nil
}

// DropDeliveries removes promises that another one stands for.
func (tx *Tx) DropDeliveries(ctx context.Context, ids []fleet.DeliveryID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.execIn(ctx, `DELETE FROM deliveries WHERE id IN (?) AND state = 'pending'`, ids)
	return err
}

// DropPings removes a channel's pings that were not sent.
func (tx *Tx) DropPings(ctx context.Context, id fleet.ChannelID) error {
	_, err := tx.exec(ctx, `DELETE FROM deliveries WHERE channel_id = ? AND kind = 'ping' AND state = 'pending'`, id)
	return err
}
