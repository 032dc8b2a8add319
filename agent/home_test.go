package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"restic-manager/agent/spool"
)

// TestAnAgentInMemoryGoesBackToTheDisk has an agent begin while the disk refuses its state,
// which holds the slots of the life before.
func TestAnAgentInMemoryGoesBackToTheDisk(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"with its server": false, "while the server is away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, 40)
			m.work = m.quick
			m.inBubble(func(t *testing.T) { goesHome(t, m, away) })
		})
	}
}

func goesHome(t *testing.T, m *machine, away bool) {
	state := filepath.Join(m.dir, "host", "state.db")
	did := func(job string) func() bool { return func() bool { return len(m.server.finished(job)) == 1 } }
	m.times("0 * * * *")
	l := m.begin(t.Context())
	eventually(t, "the first slot", 2*time.Hour, did(jobAt(t, "01-01 01:00")))
	l.end(t)

	must(t, os.Rename(state, state+".kept"))
	must(t, os.Mkdir(state, 0o700))
	m.server.change(func() { m.server.homeless = true })
	l = m.begin(t.Context())
	eventually(t, "the second slot", 2*time.Hour, did(jobAt(t, "01-01 02:00")))
	job := m.server.order("run", "backup", "", backupOf(2))
	if away {
		m.away(true)
		time.Sleep(time.Hour) // a slot runs that only memory knows of
	}
	must(t, os.Remove(state))
	must(t, os.Rename(state+".kept", state))
	if away {
		time.Sleep(time.Hour)
		if m.ran(jobAt(t, "01-01 04:00")) != 1 {
			t.Error("schedules do not go on while the server is away")
		}
		select {
		case err := <-l.done:
			t.Fatalf("it ended with what the server does not know: %v", err)
		default:
		}
		m.away(false)
	}
	if err := <-l.done; !errors.Is(err, errDiskBack) {
		t.Fatalf("it ended with %v", err)
	}
	must(t, l.spool.Close())

	l = m.begin(t.Context())
	if l.spool.Homeless() {
		t.Fatal("it is in memory still")
	}
	eventually(t, "the order", time.Minute, did(job))
	next := map[bool]string{false: "01-01 03:00", true: "01-01 05:00"}[away]
	eventually(t, "the next slot", 2*time.Hour, did(jobAt(t, next)))
	m.set(func() {
		for job, n := range m.runs {
			if n != 1 {
				t.Errorf("job %s ran %d times", job, n)
			}
		}
	})
	if got := m.server.results(); len(got) != 1 || got[spool.Succeeded] != len(m.runs) {
		t.Errorf("results: %v of %d runs", got, len(m.runs))
	}
	l.end(t)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
