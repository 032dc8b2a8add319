package job

import (
	"bytes"
	"context"
	"fmt"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Streams are dense: the job's row says which number comes next, and it is locked
// while records are appended. What was there before is skipped, what would leave a
// hole is answered with the number expected. So a stream is in order and free of
// doubles by construction, and its numbers are a cursor for readers.

// span is the numbers that a record takes: one, or those that a gap stands for.
type span struct{ first, last int64 }

func spanOf(e *Event) span {
	if e.Gap != nil && e.Gap.Stream == streamEvents {
		return span{e.Seq, e.Gap.LastSeq}
	}
	return span{e.Seq, e.Seq}
}

// fit says what of a dense run of records is to be appended to a stream that
// expects a number: all but the first skip. hole says that nothing can be, because
// records before them are missing.
func fit(expected int64, run []span) (skip int, hole bool) {
	for skip < len(run) && run[skip].last < expected {
		skip++
	}
	return skip, skip < len(run) && run[skip].first != expected
}

func eventSpans(events []Event) []span {
	run := make([]span, len(events))
	for i := range events {
		run[i] = spanOf(&events[i])
	}
	return run
}

func logSpans(chunks []fleet.LogChunk) []span {
	run := make([]span, len(chunks))
	for i, c := range chunks {
		run[i] = span{c.Seq, c.Seq}
	}
	return run
}

// overlap decides about the records of an item that are here already, by the last
// of them: true where it is not the same, so that somebody else has written it.
func (it *Item) overlaps(ctx context.Context, tx *store.Tx, j *fleet.Job, events, chunks int) (diverged bool, err error) {
	if events == 0 && chunks == 0 {
		return false, nil
	}
	if it.Writer != j.WriterID {
		return true, nil
	}
	if events > 0 {
		e := &it.Events[events-1]
		stored, err := tx.Event(ctx, j.ID, e.Seq)
		if err != nil && !fleet.Is(err, fleet.NotFound) {
			return false, err
		}
		body, bodyErr := fleet.NewDoc(e)
		if bodyErr != nil {
			return false, bodyErr
		}
		if err == nil && stored.Body != body {
			return true, nil
		}
	}
	if chunks > 0 {
		c := &it.Log[chunks-1]
		stored, err := tx.LogChunk(ctx, j.ID, c.Seq)
		if err != nil && !fleet.Is(err, fleet.NotFound) {
			return false, err
		}
		if err == nil && !bytes.Equal(stored.Data, c.Data) {
			return true, nil
		}
	}
	return false, nil
}

// appendEvents writes events that fit and moves the job's number on.
func appendEvents(ctx context.Context, tx *store.Tx, j *fleet.Job, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	rows := make([]fleet.Event, len(events))
	for i := range events {
		body, err := fleet.NewDoc(&events[i])
		if err != nil {
			return fmt.Errorf("encode event %d of job %s: %w", events[i].Seq, j.ID, err)
		}
		rows[i] = fleet.Event{JobID: j.ID, Seq: events[i].Seq, Kind: events[i].Kind, Body: body, ReceivedAt: tx.Now}
	}
	if err := tx.AppendEvents(ctx, rows); err != nil {
		return err
	}
	j.NextEventSeq = spanOf(&events[len(events)-1]).last + 1
	return nil
}

// appendLog writes chunks that fit and moves the job's numbers on. Lines are
// numbered on behind what is there where another writer counted from lower.
func appendLog(ctx context.Context, tx *store.Tx, j *fleet.Job, chunks []fleet.LogChunk) error {
	if len(chunks) == 0 {
		return nil
	}
	rows := make([]fleet.LogChunk, len(chunks))
	for i, c := range chunks {
		c.JobID = j.ID
		c.FirstLine = max(c.FirstLine, j.LogLines+1)
		j.LogLines = c.FirstLine + int64(c.Lines) - 1
		rows[i] = c
	}
	j.NextLogSeq = chunks[len(chunks)-1].Seq + 1
	return tx.AppendLog(ctx, rows)
}

// bridge moves the number that a job's log expects over what gap events say will
// never come. Gaps are told when they are made, which may be long before the log
// before them arrives; so all of them are looked at.
func bridge(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	gaps, err := tx.EventsOf(ctx, j.ID, EventGap)
	if err != nil {
		return err
	}
	for moved := true; moved; {
		moved = false
		for _, row := range gaps {
			var e Event
			if err := row.Body.Read(&e); err != nil {
				return fmt.Errorf("read event %d of job %s: %w", row.Seq, j.ID, err)
			}
			g := e.Gap
			if g != nil && g.Stream == streamLog && g.FirstSeq <= j.NextLogSeq && j.NextLogSeq <= g.LastSeq {
				j.NextLogSeq = g.LastSeq + 1
				moved = true
			}
		}
	}
	return nil
}
