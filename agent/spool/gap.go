package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"restic-manager/agent/control"
)

// add counts a log record into the gap that will stand for it.
func add(g *control.Gap, r record) {
	if g.FirstSeq == 0 {
		g.FirstSeq = r.seq
	}
	g.LastSeq = r.seq
	g.Lines += int64(r.lines)
	g.Bytes += r.bytes
}

// dropLog removes the chunks that gap counts and adds the gap record. Chunks
// between others may be removed too: the gap record is an event, and events are
// reported first.
func (s *Spool) dropLog(j *job, gap control.Gap) error {
	if gap.FirstSeq == 0 {
		return nil
	}
	within := func(r record) bool { return gap.FirstSeq <= r.seq && r.seq <= gap.LastSeq }
	for _, r := range j.Chunks.unsaved {
		if within(r) {
			j.Chunks.size -= r.size()
		}
	}
	j.Chunks.unsaved = slices.DeleteFunc(slices.Clone(j.Chunks.unsaved), within)
	j.statements = append(j.statements, statement{
		`DELETE FROM records WHERE job_id = ? AND stream = ? AND seq BETWEEN ? AND ?`,
		[]any{j.ID, logs, gap.FirstSeq, gap.LastSeq},
	})
	if gap.FirstSeq <= j.Chunks.First {
		j.Chunks.First = max(j.Chunks.First, gap.LastSeq+1)
	}
	return j.event(control.Event{At: s.now(), Kind: eventGap, Gap: &gap})
}

// lowestChunk returns the lowest number of the log that can still be sent, the
// next one to be made if there is none.
func (s *Spool) lowestChunk(ctx context.Context, j *job) (int64, error) {
	var lowest sql.NullInt64
	const query = `SELECT MIN(seq) FROM records WHERE job_id = ? AND stream = ? AND seq >= ?`
	if err := s.db.QueryRowContext(ctx, query, j.ID, logs, j.Chunks.First).Scan(&lowest); err != nil {
		return 0, fmt.Errorf("look for the log of job %s: %w", j.ID, err)
	}
	switch {
	case lowest.Valid:
		return lowest.Int64, nil
	case len(j.Chunks.unsaved) > 0:
		return j.Chunks.unsaved[0].seq, nil
	default:
		return j.Chunks.Next, nil
	}
}

// announceMost is how often a server is told of the same hole before the rest of
// the log is given up.
const announceMost = 3

// bridgeLog tells the server that what it waits for will never come. The records
// that it lacks were dropped or, when its database was set back, confirmed by it.
func (s *Spool) bridgeLog(ctx context.Context, d *draft, j *job, next int64) error {
	if next >= j.Chunks.Next || j.Events.retained() {
		return nil // nothing is missing, or the gap record is still on its way
	}
	if j.Hole.First != next {
		j.Hole = hole{First: next}
	}
	if j.Hole.Times > announceMost {
		j.Chunks.trim(j.Chunks.Next)
		return nil
	}
	lowest, err := s.lowestChunk(ctx, j)
	if err != nil || lowest <= next {
		return err
	}
	d.urgent = true
	gap := control.Gap{
		Stream: control.Log, FirstSeq: next, LastSeq: lowest - 1,
		Reason: "The agent no longer has these records.",
	}
	if j.Hole.Times++; j.Hole.Times > announceMost {
		gap.LastSeq = j.Chunks.Next - 1
		return s.dropLog(j, gap)
	}
	return j.event(control.Event{At: s.now(), Kind: eventGap, Gap: &gap})
}

// fillEvents puts a gap record at every number that the server expects and that
// was confirmed before. It happens when the server's database was set back.
func (s *Spool) fillEvents(j *job, next int64) error {
	now := s.now()
	for seq := next; seq < j.Events.First; seq++ {
		doc, err := gapDoc(now, j.Attempt, control.Events, seq, "The agent no longer has this record.")
		if err != nil {
			return err
		}
		j.statements = append(j.statements, statement{
			insertRecord, []any{j.ID, events, seq, len(doc), 0, 0, doc, nil},
		})
	}
	j.Events.First = next
	return nil
}

// gapDoc is an event that stands for one record.
func gapDoc(at time.Time, attempt int, stream control.GapStream, seq int64, reason string) ([]byte, error) {
	return json.Marshal(control.Event{
		At: at, Kind: eventGap, Attempt: attempt,
		Gap: &control.Gap{Stream: stream, FirstSeq: seq, LastSeq: seq, Reason: cut(reason, 200)},
	})
}

// Reject replaces a record that the server cannot take by a gap record and keeps a
// copy aside. The result of a job is replaced by the bare result instead. Of a
// record that is not retained it changes nothing.
func (s *Spool) Reject(ctx context.Context, jobID string, stream control.GapStream, seq int64, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.draft(stepReject)
	j := d.job(jobID)
	if j == nil {
		return nil
	}
	if err := s.reject(ctx, d, j, string(stream), seq, reason); err != nil {
		return err
	}
	return s.commit(ctx, d)
}

func (s *Spool) reject(ctx context.Context, d *draft, j *job, stream string, seq int64, reason string) error {
	r, err := s.record(ctx, j, stream, seq)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set record %d of %s of job %s aside: %w", seq, stream, j.ID, err)
	}
	d.required = true
	d.counts.Rejected.add(s.now())
	d.exec(`INSERT INTO quarantine (job_id, stream, seq, at, reason, doc, data) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		j.ID, stream, seq, s.now().UnixMicro(), reason, r.doc, r.data)
	d.exec(`DELETE FROM quarantine WHERE rowid <= (SELECT MAX(rowid) FROM quarantine) - ?`, quarantineMost)
	if stream == logs {
		gap := control.Gap{Stream: control.Log, Reason: cut("The server refused this record: "+reason, 200)}
		add(&gap, r)
		d.counts.DroppedLines += gap.Lines
		return s.dropLog(j, gap)
	}
	doc, err := s.standIn(j, r, reason)
	if err != nil {
		return err
	}
	j.statements = append(j.statements, statement{
		`UPDATE records SET doc = ?, size = ? WHERE job_id = ? AND stream = ? AND seq = ?`,
		[]any{doc, len(doc), j.ID, events, seq},
	})
	return nil
}

// quarantineMost is how many refused records are kept.
const quarantineMost = 100

// codeRefused marks a result whose record the server refused once.
const codeRefused = "record_refused"

// standIn is what goes in the place of a refused event.
func (s *Spool) standIn(j *job, r record, reason string) ([]byte, error) {
	var e control.Event
	if err := json.Unmarshal(r.doc, &e); err != nil {
		return nil, fmt.Errorf("decode event %d of job %s: %w", r.seq, j.ID, err)
	}
	if e.Outcome == nil || e.Outcome.Code == codeRefused {
		return gapDoc(e.At, e.Attempt, control.Events, r.seq, "The server refused this record: "+reason)
	}
	e.Outcome = &control.Outcome{
		Result: e.Outcome.Result, Code: codeRefused, SnapshotId: e.Outcome.SnapshotId,
		Message: "The server refused the whole record; the agent keeps a copy.",
	}
	e.Message, e.Snapshot = "", nil
	return json.Marshal(e)
}
