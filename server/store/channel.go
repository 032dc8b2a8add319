package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const channelCols = "id, name, kind, enabled, settings, sealed, sealed_version, secrets_set, route, version, created_at, " +
	"failing_since, retry_at, failures, next_report, next_ping"

// Channel reads a channel. NotFound when there is none.
func (q Queries) Channel(ctx context.Context, id fleet.ChannelID) (*fleet.Channel, error) {
	var c fleet.Channel
	err := q.get(ctx, &c, `SELECT `+channelCols+` FROM channels WHERE id = ?`, id)
	return one(&c, err, "channel %s", id)
}

// Channels lists channels by name; there are few.
func (q Queries) Channels(ctx context.Context) ([]fleet.Channel, error) {
	var list []fleet.Channel
	if err := q.all(ctx, &list, `SELECT `+channelCols+` FROM channels ORDER BY name`); err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	return list, nil
}

// LockChannel reads a channel that nobody else changes before this transaction
// ends. NotFound when there is none.
func (tx *Tx) LockChannel(ctx context.Context, id fleet.ChannelID) (*fleet.Channel, error) {
	var c fleet.Channel
	err := tx.get(ctx, &c, `UPDATE channels SET version = version WHERE id = ? RETURNING `+channelCols, id)
	return one(&c, err, "channel %s", id)
}

// CreateChannel adds a channel. NameTaken when another has its name.
func (tx *Tx) CreateChannel(ctx context.Context, c *fleet.Channel) error {
	c.Version, c.CreatedAt = 1, tx.Now
	c.SecretSet = orEmpty(c.SecretSet)
	if _, err := tx.named(ctx, insert("channels", channelCols), c); err != nil {
		return taken(fmt.Errorf("create channel: %w", err))
	}
	tx.Touch(fleet.TopicChannels, string(c.ID))
	return nil
}

// SaveChannel writes what people edit of a channel, which must have been locked, and
// lets it try again at once. NameTaken as in CreateChannel.
func (tx *Tx) SaveChannel(ctx context.Context, c *fleet.Channel) error {
	c.Version++
	c.RetryAt, c.SecretSet = 0, orEmpty(c.SecretSet)
	_, err := tx.named(ctx, `UPDATE channels SET name = :name, kind = :kind, enabled = :enabled, settings = :settings, sealed = :sealed,
		sealed_version = :sealed_version, secrets_set = :secrets_set, route = :route, retry_at = :retry_at,
		next_report = :next_report, next_ping = :next_ping, version = :version WHERE id = :id`, c)
	if err != nil {
		return taken(fmt.Errorf("save channel %s: %w", c.ID, err))
	}
	tx.Touch(fleet.TopicChannels, string(c.ID))
	return nil
}

// DeleteChannel removes a channel with its deliveries. NotFound when there is none.
func (tx *Tx) DeleteChannel(ctx context.Context, id fleet.ChannelID) error {
	n, err := tx.exec(ctx, `DELETE FROM channels WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("delete channel %s: %w", id, err)
	}
	if n == 0 {
		return missingNow("channel %s", id)
	}
	tx.Touch(fleet.TopicChannels, string(id))
	return nil
}

// NoteChannel writes how a channel's last attempt went: since when it fails (0: it
// works), how often in a row, and when it may try again.
func (tx *Tx) NoteChannel(ctx context.Context, id fleet.ChannelID, failingSince, retryAt fleet.Time, failures int) error {
	n, err := tx.exec(ctx, `UPDATE channels SET failing_since = ?, retry_at = ?, failures = ? WHERE id = ?
		AND (failing_since <> ? OR retry_at <> ? OR failures <> ?)`, failingSince, retryAt, failures, id, failingSince, retryAt, failures)
	if n > 0 {
		tx.Touch(fleet.TopicChannels, string(id))
	}
	return err
}

// TakeReport moves a channel's next report on and tells whether it did: no other
// replica was faster.
func (tx *Tx) TakeReport(ctx context.Context, id fleet.ChannelID, due, next fleet.Time) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE channels SET next_report = ? WHERE id = ? AND next_report = ?`, next, id, due)
	return n == 1, err
}

// TakePing is TakeReport for a channel's next ping.
func (tx *Tx) TakePing(ctx context.Context, id fleet.ChannelID, due, next fleet.Time) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE channels SET next_ping = ? WHERE id = ? AND next_ping = ?`, next, id, due)
	return n == 1, err
}
