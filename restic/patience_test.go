package restic

import (
	"testing"
	"time"
)

// TestARestoreMayVerifyInSilence has what restic says of a restore: nothing more once it has
// said how much it restored, although to verify that may take hours.
func TestARestoreMayVerifyInSilence(t *testing.T) {
	clock := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	c := newCollector(newRedactor(""), Handlers{}, func() time.Time { return clock })
	const stuckAfter = 30 * time.Minute
	says := func(line string) { c.line(Stdout, []byte(line), 0) }

	says(`{"message_type":"status","files_restored":1,"bytes_restored":9}`)
	clock = clock.Add(stuckAfter + time.Second)
	if left := c.patience(stuckAfter); left > 0 {
		t.Errorf("one that stands still while it restores may go on for %s", left)
	}
	c.line(Stderr, []byte("Warning: setxattr /a: permission denied"), 0)
	says(`{"message_type":"summary","files_restored":2,"bytes_restored":10}`)
	clock = clock.Add(10 * stuckAfter)
	if tried := c.hopelessFor(); tried > 0 {
		t.Errorf("one that verifies seems to try in vain for %s", tried)
	}
	if left := c.patience(stuckAfter); left <= 0 {
		t.Errorf("one that verifies is stopped %s too early", -left)
	}
	clock = clock.Add(silentTimes * stuckAfter)
	if left := c.patience(stuckAfter); left > 0 {
		t.Errorf("one that never ends may go on for %s", left)
	}
}
