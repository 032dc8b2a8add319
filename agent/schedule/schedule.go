package schedule

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
)

// Entry is a schedule that fires by itself: enabled, and with times.
type Entry struct {
	ID           uuid.UUID
	Version      int64
	RepositoryID string
	Slots        slot.Schedule
	Times        string // cron and zone: entries with the same text have the same slots
	CatchUp      bool   // run the latest slot that was missed
}

// CodeSkipped is the code of a job that did not run since the one before it still did.
const CodeSkipped = "previous_under_way"

// Options are what a Scheduler works with. All but Now and Suspended are required.
type Options struct {
	Spool  *spool.Spool
	Start  func()      // starts the jobs that wait in the spool
	Locked func() bool // whether the policy file locks the agent
	BootID string
	Log    *slog.Logger

	Now       func() time.Time             // the clock on the wall; nil for time.Now
	Suspended func() (time.Duration, bool) // how long the machine has slept so far; nil for the system's
}

// Scheduler fires slots. Its methods may be called at the same time.
type Scheduler struct {
	spool     *spool.Spool
	start     func()
	locked    func() bool
	boot      string
	log       *slog.Logger
	now       func() time.Time
	suspended func() (time.Duration, bool)
	began     time.Time     // to measure by the monotonic clock
	changed   chan struct{} // signalled when other schedules are in force

	mu       sync.Mutex // held during writes
	entries  []*entry   // by id
	absences []control.Absence
	last     pulse
	marked   time.Time // when it was last written that the agent is alive
	lockedAt time.Time // since when the policy locks; zero when it does not
}

// Keys of what is kept in the spool.
const (
	keyCursor   = "slots:" // before a schedule's id
	keyAbsences = "schedule:absences"
	keyAlive    = "schedule:alive"
	keyRevision = "schedule:revision" // whose times the cursors belong to
	keyEpoch    = "schedule:epoch"    // of the server's database that claims were told to
)

const (
	// lookEvery is how often the clocks are looked at.
	lookEvery = 20 * time.Second
	// markEvery is how often it is written that the agent is alive.
	markEvery = 5 * time.Minute
)

// New returns a Scheduler that has nothing to fire, and notes how long the agent was
// away. It reads the spool.
func New(o Options) *Scheduler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Suspended == nil {
		o.Suspended = suspended
	}
	s := &Scheduler{
		spool: o.Spool, start: o.Start, locked: o.Locked, boot: o.BootID, log: o.Log, now: o.Now, suspended: o.Suspended,
		began: time.Now(), changed: make(chan struct{}, 1),
	}
	s.last = s.pulse()
	s.recall(keyAbsences, &s.absences)
	s.absences, _ = undone(s.absences, s.last.wall)
	var before alive
	s.recall(keyAlive, &before)
	if gap, ok := before.until(s.boot, s.last.wall); ok {
		s.absences = append(s.absences, gap)
		s.log.Info("was away", "from", gap.From, "to", gap.To, "reason", gap.Reason)
	}
	s.absences = recent(s.absences, s.last.wall)
	s.keep(s.signs())
	return s
}

// pulse looks at the clocks.
func (s *Scheduler) pulse() pulse {
	slept, knows := s.suspended()
	return pulse{wall: s.now().Round(0), ran: time.Since(s.began), slept: slept, knows: knows}
}

// recall reads what was kept; what cannot be read is as if it had not been.
func (s *Scheduler) recall(key string, into any) {
	if text, ok := s.spool.Value(key); ok {
		if err := json.Unmarshal(text, into); err != nil {
			s.log.Error("kept value not read", "key", key, "err", err)
		}
	}
}

// keep writes values. A disk that takes none does not stop the schedules: they are
// tried again with what comes next.
func (s *Scheduler) keep(values map[string][]byte) {
	if err := s.spool.SetValues(context.Background(), values); err != nil {
		s.log.Warn("how far the schedules are was not written", "err", err)
	}
}

// signs are the values that say what the agent noticed, and that it is alive.
func (s *Scheduler) signs() map[string][]byte {
	s.marked = s.last.wall
	return map[string][]byte{
		keyAlive:    encoded(alive{Boot: s.boot, At: s.last.wall.UTC()}),
		keyAbsences: encoded(s.absences),
	}
}

// encoded is a value of ours as it is kept; such values always encode.
func encoded(value any) []byte {
	text, _ := json.Marshal(value)
	return text
}

// Run fires until ctx ends.
func (s *Scheduler) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.last = s.pulse()
			s.keep(s.signs())
			s.mu.Unlock()
			return
		case <-timer.C:
		case <-s.changed:
		}
		timer.Reset(s.look())
	}
}

// look fires what is due, and returns when to look again.
func (s *Scheduler) look() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.pulse()
	ran := now.ran - s.last.ran
	noticed := s.notice(now)
	locked := !s.lockedAt.IsZero()
	fired, again := false, lookEvery
	for _, e := range s.entries {
		if s.advance(e, now.wall, ran, locked) {
			fired = true
		}
		if !e.next.IsZero() {
			again = min(again, max(e.next.Sub(now.wall), time.Millisecond))
		}
	}
	if fired {
		s.start()
	}
	if age := now.wall.Sub(s.marked); noticed || age >= markEvery || age < 0 {
		s.keep(s.signs())
	}
	return again
}
