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
