//go:build linux

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

// TestAnAgentStartedOnAFullDiskGoesBackToIt has the disk with the agent's state full when
// the agent begins, and then not any more.
func TestAnAgentStartedOnAFullDiskGoesBackToIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	disk := t.TempDir()
	restictest.Disk(t, disk, "8m")
	h := w.addHost("web-1", w.addRepository("nas", repositorySpec{}), []string{files(t, 10)}, withAgentEnv("RM_AGENT_STATE_DIR="+filepath.Join(disk, "state")))
	before := h.backUp("succeeded")
	h.agent.stop()
	filler := filepath.Join(disk, "filler")
	for size := 8 << 20; size > 0; size /= 2 { // to the last block
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(bytes.Repeat([]byte("x"), size))
		}
		f.Close()
	}
	h.agent.again()
	h.waitOnline()
	var seen struct{ Conditions []struct{ Code string } }
	troubled := func() bool {
		w.api.must("GET", "/api/v1/hosts/"+h.id, nil, &seen)
		for _, c := range seen.Conditions {
			if c.Code == "journal_failed" {
				return true
			}
		}
		return false
	}
	eventually(t, "the host says that its disk is full", time.Minute, troubled)
	waits := h.runNow()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	j := w.finished(waits.ID, 3*time.Minute)
	if j.Outcome.Result != "succeeded" {
		t.Errorf("what was ordered meanwhile ended as %s: %s", j.Outcome.Result, j.Outcome.Message)
	}
	eventually(t, "the host is well again", time.Minute, func() bool { return !troubled() })
	if len(seen.Conditions) > 0 {
		t.Errorf("conditions: %+v", seen.Conditions)
	}
	if !strings.Contains(h.agent.log.String(), "beginning anew from there") {
		t.Error("the agent did not live in memory")
	}
	w.wantOneSnapshotEach(h.repository, []string{before.ID, j.ID})
}
