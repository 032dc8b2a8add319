package agent

import (
	"testing"
	"time"

	"restic-manager/agent/control"
)

func TestAHoldLastsFromItsReceiptAndNeverLong(t *testing.T) {
	received := time.Now()
	for seconds, want := range map[int]time.Duration{60: time.Minute, 300: longestHold, 1 << 30: longestHold, -5: -5 * time.Second} {
		got := holdsOf([]control.AgentHold{{RepositoryId: "r", JobId: "j", ForS: seconds, Reason: "prune at nas"}}, received)
		if len(got) != 1 || got[0].Until.Sub(received) != want || got[0].RepositoryID != "r" || got[0].JobID != "j" || got[0].Reason != "prune at nas" {
			t.Errorf("%d s: %+v", seconds, got)
		}
	}
}
