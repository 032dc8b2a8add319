package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// draft is a change that is being made: clones of the jobs it touches, which take
// their place when it is committed.
type draft struct {
	spool      *Spool
	write      string // name of the step
	jobs       map[string]*job
	statements []statement
	taken      map[taken]int64 // epochs of what the draft takes
	acked      int64
	counts     counts
	// required drafts hold on disk or not at all. Others hold in memory when the
	// disk fails, and are written when it works again.
	required bool
	// urgent drafts are worth a report at once.
	urgent bool
}

// taken is an id that must not be taken twice, and as what.
type taken struct{ id, what string }

// draft begins a change. The caller has the lock until it is committed or dropped.
func (s *Spool) draft(write string) *draft {
	return &draft{
		spool: s, write: write, jobs: map[string]*job{}, taken: map[taken]int64{}, acked: s.acked, counts: s.counts,
	}
}

// job returns the clone of the job with that id, nil if there is none.
func (d *draft) job(id string) *job {
	if j := d.jobs[id]; j != nil {
		return j
	}
	j := d.spool.jobs[id]
	if j == nil {
		return nil
	}
	d.jobs[id] = j.clone()
	return d.jobs[id]
}

func (d *draft) exec(sql string, args ...any) {
	d.statements = append(d.statements, statement{sql, args})
}

// commit writes the draft, and with it all that waits from drafts before. The
// error of a draft that is not required is kept for Health and not returned.
func (s *Spool) commit(ctx context.Context, d *draft) error {
	rows := maps.Clone(d.jobs)
	for id, j := range s.jobs {
		if rows[id] == nil && j.dirty {
			rows[id] = j
		}
	}
	err := s.persist(context.WithoutCancel(ctx), d, rows)
	var after *afterError
	held := err == nil || errors.As(err, &after)
	if !held && d.required {
		s.failure = err
		return err
	}
	s.adopt(d)
	if !held {
		s.failure = err
		s.statements = append(s.statements, d.statements...)
		maps.Copy(s.taken, d.taken)
		signal(s.waiting)
		return nil
	}
	s.failure = s.settle(ctx, rows)
	return err
}

// adopt makes the draft's clones the jobs.
func (s *Spool) adopt(d *draft) {
	for id, j := range d.jobs {
		if j.reported() {
			delete(s.jobs, id)
			s.forgotten[id] = true
			continue
		}
		s.jobs[id] = j
	}
	if len(d.jobs) > 0 {
		s.version++
	}
	s.acked, s.counts = d.acked, d.counts
	if d.urgent {
		signal(s.changed)
	}
}

// persist writes rows and the draft's statements in one transaction.
func (s *Spool) persist(ctx context.Context, d *draft, rows map[string]*job) error {
	if len(rows) == 0 && len(d.statements) == 0 && len(s.forgotten) == 0 && s.failure == nil {
		return nil
	}
	return s.stepped(d.write, func() error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin %s: %w", d.write, err)
		}
		if err := s.fill(ctx, tx, d, rows); err != nil {
			return fmt.Errorf("write %s: %w", d.write, errors.Join(err, tx.Rollback()))
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit %s: %w", d.write, err)
		}
		return nil
	})
}

func (s *Spool) fill(ctx context.Context, tx *sql.Tx, d *draft, rows map[string]*job) error {
	w := writer{ctx: ctx, tx: tx}
	if s.failure != nil { // so that a write is tried even if there is none to make
		w.exec(setFact, factProbe, []byte(s.now().UTC().Format(time.RFC3339)))
	}
	for id := range s.forgotten {
		w.forget(id)
	}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if j := rows[id]; j.reported() {
			w.forget(id)
		} else {
			w.job(j)
		}
	}
	for _, st := range slices.Concat(s.statements, d.statements) {
		w.exec(st.sql, st.args...)
	}
	if d.acked != s.acked {
		w.exec(setFact, factAcked, []byte(strconv.FormatInt(d.acked, 10)))
	}
	if d.counts != s.written {
		doc, err := json.Marshal(d.counts)
		w.fail(err)
		w.exec(setFact, factCounts, doc)
	}
	return w.err
}

// settle marks what was written as written.
func (s *Spool) settle(ctx context.Context, rows map[string]*job) error {
	clear(s.forgotten)
	clear(s.taken)
	s.statements, s.written = nil, s.counts
	for _, j := range rows {
		trimmed := j.trimmed || len(j.statements) > 0
		j.Events.unsaved, j.Chunks.unsaved, j.statements = nil, nil, nil
		j.tail = len(j.lines)
		j.onDisk, j.dirty, j.trimmed, j.unrecorded = true, false, false, false
		if !trimmed || s.jobs[j.ID] != j {
			continue
		}
		for _, stream := range []string{events, logs} {
			const size = `SELECT COALESCE(SUM(size), 0) FROM records WHERE job_id = ? AND stream = ?`
			if err := s.db.QueryRowContext(ctx, size, j.ID, stream).Scan(&j.track(stream).size); err != nil {
				return fmt.Errorf("measure %s of job %s: %w", stream, j.ID, err)
			}
		}
	}
	return nil
}

// writer executes statements until one fails.
type writer struct {
	ctx context.Context
	tx  *sql.Tx
	err error
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) exec(sql string, args ...any) {
	if w.err == nil {
		_, w.err = w.tx.ExecContext(w.ctx, sql, args...)
	}
}

// job writes the row of a job, its new records and its uncut lines, and deletes what was trimmed.
func (w *writer) job(j *job) {
	doc, err := json.Marshal(j)
	w.fail(err)
	w.exec(`INSERT INTO jobs (id, doc) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`, j.ID, doc)
	for _, st := range j.statements {
		w.exec(st.sql, st.args...)
	}
	for _, stream := range []string{events, logs} {
		t := j.track(stream)
		for _, r := range t.unsaved {
			w.exec(insertRecord, j.ID, stream, r.seq, r.size(), r.lines, r.bytes, r.doc, r.data)
		}
		if j.trimmed {
			w.exec(`DELETE FROM records WHERE job_id = ? AND stream = ? AND seq < ?`, j.ID, stream, t.First)
		}
	}
	switch {
	case len(j.lines) == j.tail:
	case len(j.lines) == 0:
		w.exec(`DELETE FROM tails WHERE job_id = ?`, j.ID)
	default:
		w.exec(`INSERT INTO tails (job_id, lines) VALUES (?, ?) ON CONFLICT (job_id) DO UPDATE SET lines = excluded.lines`,
			j.ID, j.lines)
	}
}

const insertRecord = `INSERT INTO records (job_id, stream, seq, size, lines, bytes, doc, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`

func (w *writer) forget(id string) {
	for _, table := range []string{"records", "tails"} {
		w.exec(`DELETE FROM `+table+` WHERE job_id = ?`, id)
	}
	w.exec(`DELETE FROM jobs WHERE id = ?`, id)
}
