package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// entry is an Entry in force.
type entry struct {
	Entry
	cursor cursor
	next   time.Time // slot after the cursor; zero for not looked up
}

// cursor is how far the slots of some times are decided.
type cursor struct {
	Times string    `json:"times"`
	From  time.Time `json:"from"` // when these times came in force here
	At    time.Time `json:"at"`
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

// Configure puts the schedules of a configuration in force, as it came in force at
// since. A schedule whose times are the same goes on where it is.
func (s *Scheduler) Configure(revision int64, since time.Time, entries []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, err := s.spool.Values(keyCursor)
	if err != nil {
		s.log.Error("how far the schedules are was not read", "err", err)
	}
	values := s.cursors(revision, since.Round(0), entries, kept)
	if len(values) > 0 {
		s.keep(values)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// cursors makes the entries of a configuration, and returns what is to be written of
// them.
func (s *Scheduler) cursors(revision int64, since time.Time, entries []Entry, kept map[string][]byte) map[string][]byte {
	inMemory := map[uuid.UUID]cursor{}
	for _, e := range s.entries {
		inMemory[e.ID] = e.cursor
	}
	values := map[string][]byte{}
	s.entries = nil
	for _, e := range entries {
		key := keyCursor + e.ID.String()
		c, ok := inMemory[e.ID]
		if text := kept[key]; !ok && text != nil {
			ok = json.Unmarshal(text, &c) == nil
		}
		if !ok || c.Times != e.Times {
			c = cursor{Times: e.Times, From: since.UTC(), At: since.UTC()}
		}
		if text := encoded(c); string(text) != string(kept[key]) {
			values[key] = text
		}
		delete(kept, key)
		s.entries = append(s.entries, &entry{Entry: e, cursor: c})
	}
	for key := range kept { // of schedules that fire no more
		values[key] = nil
	}
	slices.SortFunc(s.entries, func(a, b *entry) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	var before int64
	s.recall(keyRevision, &before)
	if before != revision {
		values[keyRevision] = encoded(revision)
	}
	return values
}

// Revision is the configuration that Configure was last called with, also by an earlier
// process; 0 if it never was.
func (s *Scheduler) Revision() int64 {
	var revision int64
	s.recall(keyRevision, &revision)
	return revision
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

// notice looks whether time was lost since the last look, and whether the policy locks.
// It reports whether there is another absence.
func (s *Scheduler) notice(now pulse) bool {
	before := s.last
	s.last = now
	changed := false
	if reason := missing(before, now); reason != "" {
		s.absent(control.Absence{From: before.wall.UTC(), To: now.wall.UTC(), Reason: reason})
		changed = true
	}
	switch locked := s.locked(); {
	case locked && s.lockedAt.IsZero():
		s.lockedAt = now.wall
	case !locked && !s.lockedAt.IsZero():
		if now.wall.Sub(s.lockedAt) >= shortestAbsence {
			s.absent(control.Absence{From: s.lockedAt.UTC(), To: now.wall.UTC(), Reason: reasonLocked})
			changed = true
		}
		s.lockedAt = time.Time{}
	}
	return changed
}

// absent adds an absence, or prolongs the one that it goes on with.
func (s *Scheduler) absent(a control.Absence) {
	for i := range s.absences {
		if s.absences[i].Reason == a.Reason && s.absences[i].From.Equal(a.From) {
			s.absences[i].To = a.To
			return
		}
	}
	s.log.Info("slots could not be fired", "from", a.From, "to", a.To, "reason", a.Reason)
	s.absences = recent(append(s.absences, a), a.To)
}

// advance decides the slots of one schedule that are due, and reports whether there is
// a job to start.
func (s *Scheduler) advance(e *entry, now time.Time, ran time.Duration, locked bool) bool {
	at := e.cursor.At
	if !e.next.IsZero() && now.Before(e.next) && !isBack(at, now) {
		return false
	}
	v := decide(e.Slots, at, now, ran, e.CatchUp, locked)
	if v.at.Equal(at) && v.slot.IsZero() {
		e.next, _ = e.Slots.Next(at)
		if !e.next.After(now) { // it is due, and waits for the policy
			e.next = time.Time{}
		}
		return false
	}
	if isBack(at, now) {
		s.log.Warn("the clock was put back", "schedule", e.ID, "from", at, "to", v.at)
	}
	if locked { // so that the server can say why they are missed
		s.absent(control.Absence{From: s.lockedAt.UTC(), To: now.UTC(), Reason: reasonLocked})
	}
	born, err := s.fire(e, v)
	if err != nil {
		s.log.Error("slot not fired, trying again", "schedule", e.ID, "slot", v.slot, "err", err)
		return born
	}
	e.cursor.At = v.at
	e.next, _ = e.Slots.Next(v.at)
	if !e.next.After(now) {
		e.next = time.Time{}
	}
	return born
}

// fire makes the job of a slot and moves the cursor, in one write.
func (s *Scheduler) fire(e *entry, v verdict) (born bool, err error) {
	moved := e.cursor
	moved.At = v.at.UTC()
	values := s.signs()
	values[keyCursor+e.ID.String()] = encoded(moved)
	if v.slot.IsZero() {
		s.keep(values)
		return false, nil
	}
	job := spool.NewJob{
		ID: slot.JobID(e.ID, v.slot).String(), Operation: "backup", Trigger: v.trigger, Params: e.params(),
		ScheduleID: e.ID.String(), ScheduleVersion: e.Version, RepositoryID: e.RepositoryID, Slot: v.slot.UTC(), Values: values,
	}
	if busy, ok := s.spool.UnderWay(job.ScheduleID); ok && busy.ID != job.ID { //guard:slot-skipped
		job.Ended = skipped(busy)
	}
	_, created, err := s.spool.OpenJob(context.Background(), job)
	if err != nil {
		return true, fmt.Errorf("open job %s: %w", job.ID, err)
	}
	if !created { // it had its job
		s.keep(values)
		return false, nil
	}
	s.log.Info("slot fired", "schedule", e.ID, "slot", job.Slot, "job", job.ID, "trigger", v.trigger, "skipped", job.Ended != nil)
	return job.Ended == nil, nil
}

// params are those of a backup, as a person's run has them.
func (e *Entry) params() json.RawMessage {
	return encoded(map[string]any{"schedule_id": e.ID.String(), "schedule_version": e.Version})
}

// skipped is the outcome of a slot whose schedule is still busy.
func skipped(busy spool.Job) *spool.Outcome {
	doing := "still runs"
	if busy.Phase == spool.Acked || busy.Phase == spool.Waiting {
		doing = "still waits"
	}
	return &spool.Outcome{
		Result: spool.Skipped, Code: CodeSkipped,
		Message:  "the run before it " + doing + ": job " + busy.ID,
		NextStep: "if this happens often, let the schedule run less often, or find out why its runs take so long",
	}
}

// Absences lists the times in which no slot could be fired, oldest first.
func (s *Scheduler) Absences() []control.Absence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.absences)
}

// Claims tells how far each schedule is decided, as far as the server knows of all its
// jobs until then.
func (s *Scheduler) Claims() []control.SlotClaim {
	s.mu.Lock()
	defer s.mu.Unlock()
	unheard := s.spool.Unheard()
	var claims []control.SlotClaim
	for _, e := range s.entries {
		until := e.cursor.At
		if first, ok := unheard[e.ID.String()]; ok && !first.After(until) { //guard:claim-unheard
			until = first.Add(-time.Second)
		}
		if until.Before(e.cursor.From) {
			continue
		}
		claims = append(claims, control.SlotClaim{
			ScheduleId: e.ID.String(), ScheduleVersion: e.Version, From: e.cursor.From.UTC(), Until: until.UTC(),
		})
	}
	return claims
}

// Met is told which database the server has. What was claimed to another one is not
// claimed to this one, which may lack the jobs of it: it was set back to an older state.
func (s *Scheduler) Met(epoch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before string
	s.recall(keyEpoch, &before)
	if epoch == "" || before == epoch {
		return
	}
	values := map[string][]byte{keyEpoch: encoded(epoch)}
	for _, e := range s.entries {
		if before == "" {
			break
		}
		e.cursor.From = e.cursor.At
		values[keyCursor+e.ID.String()] = encoded(e.cursor)
	}
	s.keep(values)
}
