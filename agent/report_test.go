package agent

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
)

// TestAVerdictThatTheDiskDoesNotTakeIsNotAskedForWithoutEnd has the server ask for
// another writer, which has to be written down, while the disk is full.
func TestAVerdictThatTheDiskDoesNotTakeIsNotAskedForWithoutEnd(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 20)
	m.work = func(_ context.Context, task *runner.Task) *runner.Ending {
		for i := range 9 {
			task.Note(fmt.Sprintf("note %d", i))
		}
		return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	m.inBubble(func(t *testing.T) {
		reports := 0
		m.server.limits.ReportRecords = 2
		m.server.refuse = func(control.ReportItem) *control.ReportVerdict {
			if reports++; reports > 1000 {
				return nil // enough is enough
			}
			return &control.ReportVerdict{Outcome: "diverged"}
		}
		m.step = func(name string) error {
			if name == "applied:before" {
				return syscall.ENOSPC
			}
			return nil
		}
		l := m.begin(t.Context())
		m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "a report", time.Minute, func() (some bool) {
			m.server.look(func() { some = reports > 0 })
			return some
		})
		time.Sleep(5 * time.Minute) // of virtual time
		m.server.look(func() {
			if reports > 100 {
				t.Errorf("%d reports in five minutes", reports)
			}
		})
		l.kill()
		l.end(t)
	})
}

// TestAReportIsMadeOnceAsLongAsNothingChanges is about an agent that is alone for days and
// tries each minute.
func TestAReportIsMadeOnceAsLongAsNothingChanges(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 21)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the start", time.Minute, func() bool { return m.ran(job) == 1 })
		m.away(true)
		eventually(t, "the result", 10*time.Minute, func() bool { return len(l.spool.Running()) == 0 })
		var last unanswered
		bounds := limitsOf(control.Limits{})
		made := func() *control.Prepared {
			t.Helper()
			if err := l.agent.next(t.Context(), "session", bounds, &last); err != nil || last.report == nil {
				t.Fatalf("no report is made: %v", err)
			}
			return last.report
		}
		first := made()
		time.Sleep(time.Hour)
		if made() != first {
			t.Error("nothing has changed, and the report was made again")
		}
		for what, change := range map[string]func(){
			"an event": func() {
				if err := l.spool.Note(t.Context(), job, "a note", nil); err != nil {
					t.Error(err)
				}
			},
			"a wish":          func() { l.agent.directives.take(control.JobDirective{JobId: job, Detail: detailNone}) },
			"a size":          func() { bounds = bounds.halved() },
			"another session": func() { l.agent.directives.reset() },
		} {
			before := made()
			if change(); made() == before {
				t.Errorf("%s changes the report, and the old one would be sent", what)
			}
		}
		m.away(false)
		l.end(t)
	})
}
