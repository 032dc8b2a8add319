package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
)

// host is a machine in virtual time, with a real spool on the disk.
type host struct {
	t   *testing.T
	dir string

	mu     sync.Mutex
	moved  time.Duration // how far the clock on the wall was moved
	slept  time.Duration
	locked bool
	boot   string
	takes  time.Duration // a run
	steps  int           // writes of the spool

	spool *spool.Spool
	s     *Scheduler
	stop  func()
}

// inVirtualTime gives a test a machine; midnight of 1 January 2000, a Saturday.
func inVirtualTime(t *testing.T, test func(t *testing.T, h *host)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		h := &host{t: t, dir: dir, boot: "first", takes: time.Minute}
		h.begin()
		test(t, h)
		h.end()
	})
}

func (h *host) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.moved).Round(0)
}

// set changes something about the machine.
func (h *host) set(change func(*host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// begin starts the agent's part of the machine.
func (h *host) begin(entries ...Entry) {
	h.t.Helper()
	var err error
	h.spool, err = spool.Open(h.t.Context(), spool.Options{Dir: h.dir, Now: h.now, Step: func(string) error {
		h.set(func(h *host) { h.steps++ })
		return nil
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	s := h.spool
	h.s = New(Options{
		Spool: s, Start: func() { h.runAll(s) }, Locked: func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.locked },
		BootID: h.boot, Log: slog.New(slog.DiscardHandler), Now: h.now,
		Suspended: func() (time.Duration, bool) { h.mu.Lock(); defer h.mu.Unlock(); return h.slept, true },
	})
	if len(entries) > 0 {
		h.s.Configure(1, h.now(), entries)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { h.s.Run(ctx); close(done) }()
	h.stop = func() { cancel(); <-done }
	synctest.Wait()
}

// runAll carries out what waits, as jobs of the given length.
func (h *host) runAll(s *spool.Spool) {
	for _, job := range s.Pending() {
		if job.Phase != spool.Acked {
			continue
		}
		if _, err := s.Start(context.Background(), job.ID); err != nil {
			h.t.Error(err)
		}
		go func() {
			s.Log(job.ID, spool.Line{At: h.now(), Stream: spool.Agent, Text: "done"})
			time.Sleep(h.takes)
			if err := s.Finish(context.Background(), job.ID, spool.Outcome{Result: spool.Succeeded}, nil); err != nil && !errors.Is(err, spool.ErrUnknownJob) {
				h.t.Error(err)
			}
		}()
	}
}

// end stops the agent in order.
func (h *host) end() {
	h.stop()
	time.Sleep(h.takes)
	_ = h.spool.Close()
}

// off lets the machine be off for a while.
func (h *host) off(d time.Duration, entries ...Entry) {
	h.end()
	time.Sleep(d)
	h.set(func(h *host) { h.boot = uuid.NewString() })
	h.begin(entries...)
}

// jobs tells the jobs that the server has not got: "01-01 02:00 schedule succeeded".
func (h *host) jobs() []string {
	h.t.Helper()
	items, err := h.spool.Batch(h.t.Context(), spool.BatchLimits{Items: 1e6, Records: 1e6, Bytes: 1 << 40, Plain: 1 << 40}, func(string) bool { return true })
	if err != nil {
		h.t.Fatal(err)
	}
	var list []string
	for _, item := range items {
		text := fmt.Sprintf("%s %s", item.Opened.Slot.Format("01-02 15:04"), item.Opened.Trigger)
		for _, e := range item.Events {
			if e.Outcome != nil {
				text += " " + string(e.Outcome.Result)
			}
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

// deliver lets the server have all that waits.
func (h *host) deliver() {
	h.t.Helper()
	items, err := h.spool.Batch(h.t.Context(), spool.DefaultBatchLimits(), func(string) bool { return true })
	if err != nil {
		h.t.Fatal(err)
	}
	var verdicts []control.ReportVerdict
	for _, item := range items {
		v := control.ReportVerdict{JobId: item.JobId, Outcome: "ok"}
		if n := len(item.Events); n > 0 {
			v.NextEventSeq = item.Events[n-1].Seq + 1
		}
		if n := len(item.Log); n > 0 {
			v.NextLogSeq = item.Log[n-1].Seq + 1
		}
		verdicts = append(verdicts, v)
	}
	if err := h.spool.Applied(h.t.Context(), verdicts); err != nil {
		h.t.Fatal(err)
	}
}

// claims tells how far each schedule is: "01-01 00:00 to 01-01 02:00".
func (h *host) claims() []string {
	var list []string
	for _, c := range h.s.Claims() {
		list = append(list, c.From.Format("01-02 15:04:05")+" to "+c.Until.Format("01-02 15:04:05"))
	}
	return list
}

// absences tells them: "off 01-01 00:00 to 01-03 00:00".
func (h *host) absences() []string {
	var list []string
	for _, a := range h.s.Absences() {
		list = append(list, a.Reason+" "+a.From.Round(10*time.Second).Format("01-02 15:04")+" to "+a.To.Round(10*time.Second).Format("01-02 15:04"))
	}
	return list
}

func (h *host) configure(revision int64, entries ...Entry) {
	h.s.Configure(revision, h.now(), entries)
	synctest.Wait()
}

var scheduleA = uuid.MustParse("0198f1c2-7e9a-7c3e-9b1f-2f6d0a4b8c11")

// every is a schedule that catches up.
func every(t *testing.T, cron string) Entry {
	t.Helper()
	slots, err := slot.Parse(cron, "UTC")
	if err != nil {
		t.Fatal(err)
	}
	return Entry{
		ID: scheduleA, Version: 1, RepositoryID: "0198f1c2-7e9a-7c3e-9b1f-2f6d0a4b8c22", Slots: slots, Times: cron + " UTC", CatchUp: true,
	}
}
