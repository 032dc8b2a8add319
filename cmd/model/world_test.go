package model_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/server/fleet"
)

// world is one history: a server, machines, the lines between them, and people.
type world struct {
	t        *testing.T
	seed     uint64
	template *template
	cover    *coverage
	dice     *dice
	ledger   *ledger
	depot    *depot
	plane    *plane
	machines []*machine
	person   *person

	began   time.Time
	trouble context.Context    // while it lasts there are faults, kills and absences
	peace   context.CancelFunc // ends all trouble
	skew    atomic.Int64
	accept  map[string]bool  // jobs that the API has confirmed
	decided []fleet.Schedule // on the clock to the end, with how far their slots were decided about
	acts    sync.WaitGroup
	log     *record
}

// play runs the history of a seed in virtual time and judges it.
func play(t *testing.T, seed uint64, m *template, cover *coverage, dir string) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(m.until.Add(time.Hour)))
		w, err := newWorld(t, seed, m, cover, dir)
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		var running sync.WaitGroup
		w.start(ctx, &running)
		w.unfold(ctx)
		w.settle(ctx)
		if !t.Failed() {
			w.judge(ctx)
		}
		end()
		w.acts.Wait()
		for _, m := range w.machines {
			m.endAll()
		}
		w.depot.working.Wait()
		running.Wait()
		for _, m := range w.machines {
			m.line.serving.Wait()
		}
		if t.Failed() {
			t.Logf("history of seed %d:\n%s", seed, w.log)
		}
	})
}

func newWorld(t *testing.T, seed uint64, m *template, cover *coverage, dir string) (*world, error) {
	if err := copyTree(dir, m.dir); err != nil {
		return nil, err
	}
	w := &world{
		t: t, seed: seed, template: m, cover: cover, dice: newDice(seed, "scenario"), ledger: newLedger(),
		began: time.Now(), accept: map[string]bool{}, log: &record{},
	}
	w.trouble, w.peace = context.WithCancel(t.Context())
	logger := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: w.log.level()}))
	w.depot = newDepot(w.ledger, m.ready)
	w.plane = &plane{
		dir: filepath.Join(dir, "server"), hasher: m.hasher, log: logger.With("at", "server"), dice: newDice(seed, "server"),
		cover: cover, trouble: w.trouble, skew: func() time.Duration { return time.Duration(w.skew.Load()) }, asked: make(chan planeOrder),
	}
	w.person = &person{plane: w.plane, cookie: m.cookie}
	for i, h := range m.hosts[:1+w.dice.below(fleetSize)] {
		w.machines = append(w.machines, w.machine(fmt.Sprintf("web-%d", i+1), h, dir, logger))
	}
	return w, nil
}

func (w *world) machine(name string, h enrolled, dir string, log *slog.Logger) *machine {
	d := newDice(w.seed, name)
	m := &machine{
		name: name, identity: h.identity, dir: filepath.Join(dir, name), depot: w.depot, ledger: w.ledger,
		log: log.With("at", name), dice: d, cover: w.cover, trouble: w.trouble,
		deaths: fates(d), processes: map[string]*process{}, asked: make(chan machineOrder),
		line: &line{
			plane: w.plane, dice: newDice(w.seed, "line of "+name), cover: w.cover, log: log.With("at", "line of "+name), trouble: w.trouble,
			requests: map[string]int{}, share: pick(d, []float64{0, 0.05, 0.2, 0.2, 0.4}),
		},
	}
	if d.chance(0.1) {
		m.line.cutAfter = d.between(6*time.Second, 30*time.Second)
	}
	if d.chance(0.15) {
		m.budget = spool.Budget{Total: 24 << 10, PerJob: 16 << 10}
	}
	if d.chance(0.1) {
		m.poison = 0.5
	}
	return m
}

// start brings server and machines up.
func (w *world) start(ctx context.Context, running *sync.WaitGroup) {
	watch := func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				w.t.Error(err)
			}
		})
	}
	watch(w.plane.run)
	for _, m := range w.machines {
		m.line.ended = ctx
		watch(m.run)
	}
}

// patience is how long a history may take to settle: a job may wait for 15 minutes
// and work for as long, and its agent may look for its snapshot for as long again.
const patience = 4 * time.Hour

// settle ends all trouble and waits until nothing is left to do.
func (w *world) settle(ctx context.Context) {
	w.peace()
	w.windDown(ctx)
	deadline := time.Now().Add(patience)
	for !w.settled() {
		if time.Now().After(deadline) {
			w.t.Errorf("not settled after %s: %s", patience, w.waits())
			return
		}
		time.Sleep(5 * time.Second)
	}
	w.cover.high("minutes to settle", time.Until(deadline.Add(-patience)).Abs().Minutes())
}

// windDown sets all clocks right, waits until the server knows of each slot until then
// what became of it, and takes the schedules off the clock.
func (w *world) windDown(ctx context.Context) {
	w.acts.Wait()
	for _, m := range w.machines {
		m.mu.Lock()
		m.moved = 0
		m.mu.Unlock()
	}
	since := fleet.At(time.Now())
	deadline := time.Now().Add(patience)
	for {
		late, err := w.lateSchedule(ctx, since)
		if err == nil && late == "" {
			break
		}
		if time.Now().After(deadline) {
			w.t.Errorf("not all slots are decided about after %s: %s %v", patience, late, err)
			return
		}
		time.Sleep(10 * time.Second)
	}
	w.gatherClaims(ctx)
	for _, h := range w.template.hosts {
		w.makeManual(ctx, h)
	}
	w.acts.Wait()
}

// onClock lists the schedules that fire by themselves on machines that there are.
func (w *world) onClock(ctx context.Context) ([]fleet.Schedule, error) {
	l := w.plane.current()
	if l == nil || l.killed() {
		return nil, errAway
	}
	var list []fleet.Schedule
	for _, h := range w.template.hosts[:len(w.machines)] {
		schedules, err := l.store.Schedules(ctx, hostID(h))
		if err != nil {
			return nil, err
		}
		for _, s := range schedules {
			if s.Timed() {
				list = append(list, s)
			}
		}
	}
	return list, nil
}

// lateSchedule names a schedule of which a slot before a time may not be decided about.
func (w *world) lateSchedule(ctx context.Context, since fleet.Time) (string, error) {
	schedules, err := w.onClock(ctx)
	for _, s := range schedules {
		if s.CheckedUntil < since {
			return fmt.Sprintf("schedule %s of %s is checked until %s, claimed %s to %s", s.ID, s.HostID, s.CheckedUntil.Time(), s.ClaimFrom.Time(), s.ClaimUntil.Time()), err
		}
	}
	return "", err
}

// gatherClaims keeps how far the agents and the server said that they have looked.
func (w *world) gatherClaims(ctx context.Context) {
	schedules, err := w.onClock(ctx)
	if err != nil {
		w.t.Errorf("read the schedules: %v", err)
	}
	w.decided = schedules
}

func (w *world) settled() bool {
	l := w.plane.current()
	if l == nil || l.killed() {
		return false
	}
	for _, h := range w.template.hosts {
		active, err := l.store.ActiveJobs(context.Background(), hostID(h))
		if err != nil || len(active) > 0 {
			return false
		}
	}
	return !slices.ContainsFunc(w.machines, func(m *machine) bool { return !m.settled() })
}

// waits says what a history that does not settle waits for.
func (w *world) waits() string {
	var b bytes.Buffer
	if l := w.plane.current(); l != nil {
		for _, h := range w.template.hosts {
			active, err := l.store.ActiveJobs(context.Background(), hostID(h))
			for _, j := range active {
				fmt.Fprintf(&b, "\n  server: job %s of %s is %s since %s", j.ID, j.HostID, j.State, j.LastReport.Time())
			}
			if err != nil {
				fmt.Fprintf(&b, "\n  server: %v", err)
			}
		}
	}
	for _, m := range w.machines {
		fmt.Fprintf(&b, "\n  %s", m.waits())
	}
	return b.String()
}

// record keeps the end of what server and agents log.
type record struct {
	mu   sync.Mutex
	text []byte
}

const recordSize = 1 << 20

func (r *record) level() slog.Level {
	if os.Getenv(envSeed) != "" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.text) > recordSize {
		r.text = append(r.text[:0], r.text[len(r.text)-recordSize/2:]...)
	}
	r.text = append(r.text, p...)
	return len(p), nil
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// copyTree copies a folder for its owner alone.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		part, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, part), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, part), data, 0o600)
	})
}
