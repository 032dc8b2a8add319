package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"restic-manager/server/fleet"
)

const (
	// FeedKept is how long changes are kept.
	FeedKept = time.Hour
	// maxChanges is how many an answer holds; more than that is a reset.
	maxChanges = 1000

	topicReset fleet.Topic = "*"
)

// Feed is what changed after a cursor.
type Feed struct {
	Cursor  int64 // for the next question
	Changes []fleet.Change
	Reset   bool // the cursor is unknown or too old: read everything again
}

// FeedCursor gives the cursor of now.
func (q Queries) FeedCursor(ctx context.Context) (int64, error) {
	var cursor int64
	err := q.get(ctx, &cursor, `SELECT cursor FROM feed WHERE name = 'changes'`)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the feed's cursor: %w", err)
	}
	return cursor, nil
}

// Feed reads what changed after a cursor, each object once, of these topics or of
// all when there are none. Where nothing changed it costs one statement.
func (q Queries) Feed(ctx context.Context, since int64, topics ...fleet.Topic) (Feed, error) {
	cursor, err := q.FeedCursor(ctx)
	if err != nil || cursor == since {
		return Feed{Cursor: cursor}, err
	}
	reset := Feed{Cursor: cursor, Reset: true}
	if since > cursor { // of another database, or of this one before it was restored
		return reset, nil
	}
	var rows []struct {
		Seq int64 `db:"seq"`
		fleet.Change
	}
	err = q.all(ctx, &rows, `SELECT seq, topic, id FROM changes WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, since, cursor, maxChanges+1)
	if err != nil {
		return Feed{}, fmt.Errorf("read the feed: %w", err)
	}
	if len(rows) == 0 || len(rows) > maxChanges || rows[0].Seq != since+1 { // numbers are dense until they are trimmed
		return reset, nil
	}
	f := Feed{Cursor: cursor}
	seen := map[fleet.Change]bool{}
	for _, r := range rows {
		if r.Topic == topicReset {
			return reset, nil
		}
		if !seen[r.Change] && (len(topics) == 0 || slices.Contains(topics, r.Topic)) {
			seen[r.Change] = true
			f.Changes = append(f.Changes, r.Change)
		}
	}
	return f, nil
}

// FlushFeed numbers changes and appends them to the feed; none is fine. It is
// called with what OnCommit told, not from within a transaction that changes
// something: the feed's row would make all of those wait for each other.
func (s *Store) FlushFeed(ctx context.Context, changes []fleet.Change) error {
	if len(changes) == 0 {
		return nil
	}
	err := s.Write(ctx, func(tx *Tx) error {
		_, err := tx.appendFeed(ctx, changes)
		return err
	})
	if err != nil {
		return fmt.Errorf("append %d changes to the feed: %w", len(changes), err)
	}
	return nil
}

// ResetFeed makes every reader read everything again: changes were lost.
func (s *Store) ResetFeed(ctx context.Context) error {
	return s.FlushFeed(ctx, []fleet.Change{{Topic: topicReset}})
}

// appendFeed gives all of the changes the next number. The feed's row is locked
// until the transaction ends, so numbers become visible in their order and a reader
// never skips one.
func (tx *Tx) appendFeed(ctx context.Context, changes []fleet.Change) (int64, error) {
	var cursor int64
	err := tx.get(ctx, &cursor, `INSERT INTO feed (name, cursor) VALUES ('changes', 1)
		ON CONFLICT (name) DO UPDATE SET cursor = feed.cursor + 1 RETURNING cursor`)
	if err != nil {
		return 0, err
	}
	type row struct {
		Seq int64 `db:"seq"`
		fleet.Change
		At fleet.Time `db:"at"`
	}
	for part := range slices.Chunk(changes, 500) {
		rows := make([]row, len(part))
		for i, c := range part {
			rows[i] = row{cursor, c, tx.Now}
		}
		if _, err := tx.named(ctx, insert("changes", "seq, topic, id, at")+` ON CONFLICT (seq, topic, id) DO NOTHING`, rows); err != nil {
			return 0, err
		}
	}
	return cursor, nil
}
