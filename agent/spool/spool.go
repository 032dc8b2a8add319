package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Errors to test for with errors.Is.
var (
	// ErrUnknownJob says that no such job is kept: it never was, or was forgotten.
	ErrUnknownJob = errors.New("job is not in the spool")
	// ErrFinished says that the job has its result.
	ErrFinished = errors.New("job is finished")
	// ErrInUse says that another process has the state directory.
	ErrInUse = errors.New("state directory is in use by another process")
	// ErrNewer says that a newer agent wrote the state database.
	ErrNewer = errors.New("state database was written by a newer agent")
)

// Options tell Open where and how to keep things.
type Options struct {
	Dir    string           // state directory, made private when missing
	Now    func() time.Time // nil for time.Now
	Budget Budget           // zero for DefaultBudget
	// FreeSpace tells the free and total bytes of dir's file system; nil asks it.
	FreeSpace func(dir string) (free, total uint64, err error)
	// Step is called before and after every point where the disk is made to
	// remember, by the names of Steps. An error from a before-step fails the write
	// like a disk would; from an after-step it is returned although the write
	// holds. Nil in production.
	Step func(name string) error
}

// Spool is an open state directory. Its methods may be called at the same time.
//
// A write is not given up when its context ends: what it says has happened.
type Spool struct {
	dir       string
	now       func() time.Time
	budget    Budget
	freeSpace func(dir string) (free, total uint64, err error)
	step      func(name string) error
	encoder   *zstd.Encoder
	changed   chan struct{} // something should be reported at once
	waiting   chan struct{} // something waits for Run to write it
	damaged   []string      // databases that were moved aside
	homeless  error         // why the database is in memory, nil when it is on disk

	mu        sync.Mutex // held during writes too
	db        *sql.DB
	journalID string
	acked     int64
	counts    counts
	jobs      map[string]*job
	version   int64 // raised by all that a batch may show
	space     space
	failure   error // of the last write, nil when it held; every commit then tries one

	// What the database lacks after writes that failed, besides the jobs' own.
	written    counts // as the database has them
	statements []statement
	taken      map[taken]int64
	forgotten  map[string]bool // jobs that are gone from memory alone
}

// Open opens or makes the state directory's database. A damaged one is moved
// aside; where the disk refuses, the spool lives in memory, takes no commands and
// lets schedules run; see Health for both. The error is ErrInUse or ErrNewer, or
// says that there is no such directory and none can be made.
func Open(ctx context.Context, o Options) (*Spool, error) {
	s, err := newSpool(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	err = s.loadOrRenew(ctx, filepath.Join(o.Dir, databaseName))
	if err != nil && !errors.Is(err, ErrInUse) && !errors.Is(err, ErrNewer) {
		s.homeless = err
		err = s.load(ctx, inMemory)
	}
	if err != nil {
		return nil, err
	}
	s.damaged = movedAside(o.Dir)
	return s, nil
}

// loadOrRenew loads the database at path, or a new one in the place of a damaged one.
func (s *Spool) loadOrRenew(ctx context.Context, path string) error {
	err := s.load(ctx, path)
	if !errors.Is(err, errDamaged) {
		return err
	}
	if err := moveAside(path, s.now()); err != nil {
		return err
	}
	return s.load(ctx, path)
}

func newSpool(o Options) (*Spool, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	s := &Spool{
		dir: o.Dir, now: o.Now, budget: o.Budget, freeSpace: o.FreeSpace, step: o.Step, encoder: encoder,
		changed: make(chan struct{}, 1), waiting: make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.budget == (Budget{}) {
		s.budget = DefaultBudget()
	}
	if s.freeSpace == nil {
		s.freeSpace = freeSpace
	}
	return s, nil
}

// Close writes what waits and closes the file. The Spool is not used after it.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.commit(context.Background(), s.draft(stepLog))
	return errors.Join(err, s.failure, s.db.Close())
}

// The pauses of Run before it writes what waits.
const (
	commitPause = time.Second
	retryPause  = 10 * time.Second // when the write before failed
)

// Run writes what waits, mostly log lines, at most once a second, until ctx ends,
// whose error it returns. Failed writes are repeated.
func (s *Spool) Run(ctx context.Context) error {
	pause := commitPause
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.waiting:
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		pause = commitPause
		if s.Flush(ctx) != nil {
			pause = retryPause
		}
	}
}

// Flush writes what waits now and returns why it could not.
func (s *Spool) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.commit(ctx, s.draft(stepLog)); err != nil {
		return err
	}
	return errors.Join(s.failure, s.keepBudget(ctx))
}

// JournalID names the life of this journal.
func (s *Spool) JournalID() string { return s.journalID }

// AckedSeq is the number up to which every command is on disk.
func (s *Spool) AckedSeq() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// Version is a number that changes with all that a batch may show: as long as it stays,
// Batch returns the same for the same limits and wishes.
func (s *Spool) Version() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Changed is signalled when there is something that should be reported at once.
func (s *Spool) Changed() <-chan struct{} { return s.changed }

// signal fills a channel of one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
