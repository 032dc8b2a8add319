package spool

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// counts are totals of the journal's life, and of what went wrong until a day passed
// without more of it.
type counts struct {
	DroppedLines int64    `json:"dropped_lines"`
	Rejected     mistakes `json:"rejected_records,omitzero"`
	Malformed    mistakes `json:"malformed_commands,omitzero"`
}

// mistakes counts what somebody did wrong, and forgets it a day after the last.
type mistakes struct {
	Count int64 `json:"count"`
	Last  int64 `json:"last"` // in microseconds since 1970
}

const mistakesFor = 24 * time.Hour

// since returns how many there were, given that it is now.
func (m mistakes) since(now time.Time) int64 {
	if now.UnixMicro()-m.Last >= mistakesFor.Microseconds() {
		return 0
	}
	return m.Count
}

func (m *mistakes) add(now time.Time) {
	m.Count, m.Last = m.since(now)+1, now.UnixMicro()
}

// Names of facts.
const (
	factJournal   = "journal_id"
	factAcked     = "acked_seq"
	factCounts    = "counts"
	factForgotten = "seen_until" // what was taken until then may be forgotten, in microseconds
	factProbe     = "probe"      // when a write was last tried after one that failed
	factValue     = "value:"     // prefix of the agent's own
)

// load opens the database and fills memory from it.
func (s *Spool) load(ctx context.Context, path string) error {
	db, err := openDatabase(ctx, path)
	if err != nil {
		return err
	}
	s.db, s.acked, s.counts = db, 0, counts{}
	s.jobs, s.forgotten, s.taken = map[string]*job{}, map[string]bool{}, map[taken]int64{}
	if err := s.read(ctx); err != nil {
		return fmt.Errorf("load %s: %w", path, errors.Join(classify(err), db.Close()))
	}
	return nil
}

func (s *Spool) read(ctx context.Context) error {
	if err := s.readFacts(ctx); err != nil {
		return err
	}
	if err := s.readJobs(ctx); err != nil {
		return err
	}
	if err := s.readTracks(ctx); err != nil {
		return err
	}
	return s.readTails(ctx)
}

// readFacts reads the journal's facts, and makes them where the file is new.
func (s *Spool) readFacts(ctx context.Context) error {
	id, err := s.fact(ctx, factJournal)
	if errors.Is(err, sql.ErrNoRows) {
		s.journalID = uuid.NewString()
		_, err = s.db.ExecContext(ctx, setFact, factJournal, []byte(s.journalID))
		return err
	}
	if err != nil {
		return err
	}
	s.journalID = string(id)
	acked, err := s.fact(ctx, factAcked)
	if err == nil {
		s.acked, err = strconv.ParseInt(string(acked), 10, 64)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	doc, err := s.fact(ctx, factCounts)
	if err == nil {
		err = json.Unmarshal(doc, &s.counts)
		s.written = s.counts
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

const setFact = `INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`

func (s *Spool) fact(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := s.db.QueryRowContext(ctx, `SELECT value FROM facts WHERE name = ?`, name).Scan(&value)
	return value, err
}

func (s *Spool) readJobs(ctx context.Context) error {
	return s.each(ctx, `SELECT id, doc FROM jobs`, nil, func(row *sql.Rows) error {
		var id string
		var doc []byte
		if err := row.Scan(&id, &doc); err != nil {
			return err
		}
		j := &job{onDisk: true}
		if err := json.Unmarshal(doc, j); err != nil {
			return fmt.Errorf("%w: row of job %s: %w", errDamaged, id, err)
		}
		if j.ID != id {
			return fmt.Errorf("%w: the row of job %s holds another", errDamaged, id)
		}
		j.Events.First, j.Chunks.First = j.Events.Next, j.Chunks.Next
		j.reopened = j.Phase == Running || j.Phase == Stopping
		s.jobs[id] = j
		return nil
	})
}

func (s *Spool) readTracks(ctx context.Context) error {
	const tracks = `SELECT job_id, stream, MIN(seq), SUM(size) FROM records GROUP BY job_id, stream`
	return s.each(ctx, tracks, nil, func(row *sql.Rows) error {
		var id, stream string
		var first, size int64
		if err := row.Scan(&id, &stream, &first, &size); err != nil {
			return err
		}
		if j := s.jobs[id]; j != nil {
			t := j.track(stream)
			t.First, t.size = first, size
		}
		return nil
	})
}

func (s *Spool) readTails(ctx context.Context) error {
	return s.each(ctx, `SELECT job_id, lines FROM tails`, nil, func(row *sql.Rows) error {
		var id string
		var lines []byte
		if err := row.Scan(&id, &lines); err != nil {
			return err
		}
		j := s.jobs[id]
		if j == nil {
			return nil
		}
		j.lines, j.lineCount, j.tail = lines, bytes.Count(lines, []byte("\n")), len(lines)
		return j.spanLines()
	})
}

// spanLines finds when the first and last of the uncut lines were written.
func (j *job) spanLines() error {
	all := bytes.Split(bytes.TrimSuffix(j.lines, []byte("\n")), []byte("\n"))
	for i, at := range map[int]*time.Time{0: &j.from, len(all) - 1: &j.to} {
		var line wireLine
		if err := json.Unmarshal(all[i], &line); err != nil {
			return fmt.Errorf("%w: lines of job %s: %w", errDamaged, j.ID, err)
		}
		*at = time.UnixMicro(line.Micros)
	}
	return nil
}

// each calls row for every row of the query.
func (s *Spool) each(ctx context.Context, query string, args []any, row func(*sql.Rows) error) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
