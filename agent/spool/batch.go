package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// BatchLimits bound a report.
type BatchLimits struct {
	Items   int   // jobs
	Records int   // events and chunks
	Bytes   int64 // compressed, estimated
	Plain   int64 // as JSON
}

// DefaultBatchLimits returns the contract's.
func DefaultBatchLimits() BatchLimits {
	return BatchLimits{Items: 20, Records: 500, Bytes: 512 << 10, Plain: 4 << 20}
}

// Batch returns what to report next: the events of all jobs, and when those all
// fit, log chunks of the jobs for which detail says so, the oldest job first, and
// the progress of running jobs. At least one record is in it, if there is any,
// however tight the limits. Empty means that there is nothing to say.
//
// Nothing is handed out that is not on disk, unless the disk fails. The same is
// returned again until Applied, so one report at a time.
func (s *Spool) Batch(ctx context.Context, limits BatchLimits, detail func(jobID string) bool) ([]control.ReportItem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	jobs := slices.DeleteFunc(s.ordered(), func(j *job) bool { return j.Muted })
	if err := s.cutWanted(ctx, jobs, detail); err != nil {
		return nil, err
	}
	b := batch{limits: limits, index: map[string]int{}}
	for _, j := range jobs {
		if err := s.addRecords(ctx, &b, j, events); err != nil {
			return nil, err
		}
	}
	for _, j := range jobs {
		if b.full || !detail(j.ID) {
			continue
		}
		if err := s.addRecords(ctx, &b, j, logs); err != nil {
			return nil, err
		}
	}
	for _, j := range jobs {
		if j.progress != nil && b.open(j) {
			b.item(j).Progress = j.progress
			j.progress = nil
		}
	}
	return b.items, nil
}

// cutWanted makes chunks of the lines that are to travel, and writes what is not on disk.
func (s *Spool) cutWanted(ctx context.Context, jobs []*job, detail func(jobID string) bool) error {
	for _, j := range jobs {
		if j.lineCount > 0 && detail(j.ID) {
			if err := s.cutChunk(j); err != nil {
				return err
			}
			j.dirty = true
		}
	}
	if err := s.commit(ctx, s.draft(stepBatch)); err != nil {
		return err
	}
	for _, j := range jobs {
		// What is reported from memory may be forgotten by a crash. Under another
		// writer's name the server will notice instead of taking what comes after
		// for what it has.
		if len(j.Events.unsaved)+len(j.Chunks.unsaved) > 0 && !j.volatile {
			j.volatile, j.WriterID = true, uuid.NewString()
		}
	}
	return nil
}

// batch is a report in the making.
type batch struct {
	limits  BatchLimits
	items   []control.ReportItem
	index   map[string]int // of a job's item
	records int
	bytes   int64
	plain   int64
	full    bool
}

// open reports whether there may be an item for the job.
func (b *batch) open(j *job) bool {
	_, has := b.index[j.ID]
	return has || len(b.items) < b.limits.Items
}

// item returns the job's item and makes it where there is none.
func (b *batch) item(j *job) *control.ReportItem {
	at, has := b.index[j.ID]
	if !has {
		at = len(b.items)
		b.index[j.ID] = at
		item := control.ReportItem{JobId: j.ID, Epoch: j.Epoch, WriterId: j.WriterID, Phase: string(j.Phase)}
		if !j.Known {
			item.Opened = j.opened()
		}
		b.items = append(b.items, item)
	}
	return &b.items[at]
}

// take counts a record in, and says no when it does not fit.
func (b *batch) take(j *job, r record) bool {
	compressed, plain := weigh(r)
	fits := b.open(j) && b.records < b.limits.Records &&
		b.bytes+compressed <= b.limits.Bytes && b.plain+plain <= b.limits.Plain
	if !fits && b.records > 0 {
		b.full = true
		return false
	}
	b.records++
	b.bytes += compressed
	b.plain += plain
	return true
}

// weigh estimates what a record costs in a report. Base64 of compressed data is a
// third longer, and compression takes that third back, all but a few percent.
func weigh(r record) (compressed, plain int64) {
	doc, data := int64(len(r.doc))+20, int64(len(r.data))
	return doc/2 + data + data/32, doc + data*4/3
}

// addRecords adds what fits of the job's records, up to the first hole.
func (s *Spool) addRecords(ctx context.Context, b *batch, j *job, stream string) error {
	t := j.track(stream)
	if b.full || !t.retained() {
		return nil
	}
	next := int64(0)
	return s.retained(ctx, j, stream, b.limits.Records-b.records, func(r record) (more bool, err error) {
		if next != 0 && r.seq != next || !b.take(j, r) {
			return false, nil
		}
		next = r.seq + 1
		return true, r.addTo(b.item(j), stream)
	})
}

// addTo decodes the record into a report's item.
func (r record) addTo(item *control.ReportItem, stream string) error {
	if stream == events {
		var e control.Event
		if err := json.Unmarshal(r.doc, &e); err != nil {
			return fmt.Errorf("decode event %d of job %s: %w", r.seq, item.JobId, err)
		}
		e.Seq = r.seq
		item.Events = append(item.Events, e)
		return nil
	}
	var c control.LogChunk
	if err := json.Unmarshal(r.doc, &c); err != nil {
		return fmt.Errorf("decode log chunk %d of job %s: %w", r.seq, item.JobId, err)
	}
	c.Seq, c.Data = r.seq, r.data
	item.Log = append(item.Log, c)
	return nil
}

// retained calls each for the job's records in ascending order, at most limit (and
// at least one), until it says no.
func (s *Spool) retained(ctx context.Context, j *job, stream string, limit int, each func(record) (more bool, err error)) error {
	t := j.track(stream)
	const query = `SELECT seq, doc, data, lines, bytes FROM records
		WHERE job_id = ? AND stream = ? AND seq >= ? ORDER BY seq LIMIT ?`
	more, left := true, max(limit, 1)
	err := s.each(ctx, query, []any{j.ID, stream, t.First, left}, func(row *sql.Rows) error {
		var r record
		if err := row.Scan(&r.seq, &r.doc, &r.data, &r.lines, &r.bytes); err != nil || !more {
			return err
		}
		left--
		var err error
		more, err = each(r)
		return err
	})
	for _, r := range t.unsaved {
		if err != nil || !more || left <= 0 {
			break
		}
		left--
		more, err = each(r)
	}
	if err != nil {
		return fmt.Errorf("read %s of job %s: %w", stream, j.ID, err)
	}
	return nil
}

// record returns one retained record, or sql.ErrNoRows.
func (s *Spool) record(ctx context.Context, j *job, stream string, seq int64) (record, error) {
	t := j.track(stream)
	for _, r := range t.unsaved {
		if r.seq == seq {
			return r, nil
		}
	}
	if seq < t.First {
		return record{}, sql.ErrNoRows
	}
	r := record{seq: seq}
	const query = `SELECT doc, data, lines, bytes FROM records WHERE job_id = ? AND stream = ? AND seq = ?`
	err := s.db.QueryRowContext(context.WithoutCancel(ctx), query, j.ID, stream, seq).Scan(&r.doc, &r.data, &r.lines, &r.bytes)
	return r, err
}
