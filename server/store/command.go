package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const commandCols = "host_id, seq, id, kind, job_id, epoch, operation, job_trigger, params, state, issued_at, start_by, " +
	"offered_at, offered_count, acked_at"

// Commands of a host are numbered densely by its command_seq: whoever makes one
// raises that under the row's lock, so numbers become visible in their order.

// QueuedCommands reads the commands that a host's agent has not acknowledged, in
// order.
func (q Queries) QueuedCommands(ctx context.Context, host fleet.HostID, limit int) ([]fleet.Command, error) {
	var list []fleet.Command
	err := q.all(ctx, &list, `SELECT `+commandCols+` FROM commands
		WHERE host_id = ? AND seq > (SELECT acked_seq FROM hosts WHERE id = ?) AND state = 'queued' ORDER BY seq LIMIT ?`, host, host, limit)
	if err != nil {
		return nil, fmt.Errorf("read the commands of host %s: %w", host, err)
	}
	return list, nil
}

// CommandsOf reads the commands of a job, in order.
func (q Queries) CommandsOf(ctx context.Context, id fleet.JobID) ([]fleet.Command, error) {
	var list []fleet.Command
	if err := q.all(ctx, &list, `SELECT `+commandCols+` FROM commands WHERE job_id = ? ORDER BY seq`, id); err != nil {
		return nil, fmt.Errorf("read the commands of job %s: %w", id, err)
	}
	return list, nil
}

// CreateCommand numbers a command and queues it. NotFound when the host is gone.
func (tx *Tx) CreateCommand(ctx context.Context, c *fleet.Command) error {
	err := tx.get(ctx, &c.Seq, `UPDATE hosts SET command_seq = command_seq + 1 WHERE id = ? RETURNING command_seq`, c.HostID)
	if err != nil {
		return missing(err, "host %s", c.HostID)
	}
	c.State, c.IssuedAt = fleet.CommandQueued, tx.Now
	if _, err := tx.named(ctx, insert("commands", commandCols), c); err != nil {
		return fmt.Errorf("create command %d of host %s: %w", c.Seq, c.HostID, err)
	}
	return nil
}

// OfferCommands marks those of the commands that are still queued as offered and
// gives their numbers. Only what is marked may be sent: what is not can still be
// withdrawn.
func (tx *Tx) OfferCommands(ctx context.Context, host fleet.HostID, seqs []int64) ([]int64, error) {
	var offered []int64
	err := tx.allIn(ctx, &offered, `UPDATE commands SET offered_count = offered_count + 1, offered_at = ?
		WHERE host_id = ? AND seq IN (?) AND state = 'queued' RETURNING seq`, tx.Now, host, seqs)
	return offered, err
}

// AckCommands marks the offered commands up to a number as acknowledged and gives
// them in no order.
func (tx *Tx) AckCommands(ctx context.Context, host fleet.HostID, upTo int64) ([]fleet.Command, error) {
	var acked []fleet.Command
	err := tx.all(ctx, &acked, `UPDATE commands SET state = 'acked', acked_at = ?
		WHERE host_id = ? AND seq <= ? AND state = 'queued' AND offered_count > 0 RETURNING `+commandCols, tx.Now, host, upTo)
	return acked, err
}

// NeverOffered reads the queued commands up to a number that no answer ever held,
// without the overdue ones: those are passed over on purpose.
func (q Queries) NeverOffered(ctx context.Context, host fleet.HostID, upTo int64) ([]fleet.Command, error) {
	var list []fleet.Command
	err := q.all(ctx, &list, `SELECT `+commandCols+` FROM commands
		WHERE host_id = ? AND seq <= ? AND state = 'queued' AND offered_count = 0 AND (start_by = 0 OR start_by > ?) ORDER BY seq`,
		host, upTo, q.now())
	return list, err
}

// RenumberCommand gives a queued command the host's next number.
func (tx *Tx) RenumberCommand(ctx context.Context, c fleet.Command) error {
	var next int64
	err := tx.get(ctx, &next, `UPDATE hosts SET command_seq = command_seq + 1 WHERE id = ? RETURNING command_seq`, c.HostID)
	if err != nil {
		return missing(err, "host %s", c.HostID)
	}
	_, err = tx.exec(ctx, `UPDATE commands SET seq = ? WHERE host_id = ? AND seq = ?`, next, c.HostID, c.Seq)
	return err
}

// MoveCommandSeq raises the number of a host's last command to at least a number.
func (tx *Tx) MoveCommandSeq(ctx context.Context, host fleet.HostID, to int64) error {
	_, err := tx.exec(ctx, `UPDATE hosts SET command_seq = ? WHERE id = ? AND command_seq < ?`, to, host, to)
	return err
}

// WithdrawCommands takes back the queued commands of a job and tells how many. With
// unseen, only those that were never offered.
func (tx *Tx) WithdrawCommands(ctx context.Context, id fleet.JobID, unseen bool) (int64, error) {
	limit := ""
	if unseen {
		limit = " AND offered_count = 0"
	}
	return tx.exec(ctx, `UPDATE commands SET state = 'withdrawn' WHERE job_id = ? AND state = 'queued'`+limit, id)
}
