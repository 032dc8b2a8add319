package runner

import (
	"testing"

	"restic-manager/restic"
)

func TestASampleSaysWhatResticIsAt(t *testing.T) {
	for want, p := range map[string]restic.Progress{
		"scanning":                 {},
		"backing up":               {TotalBytes: 2, PercentDone: 0.5},
		"uploading the rest":       {TotalBytes: 2, PercentDone: 1},
		"trying the storage again": {TotalBytes: 2, PercentDone: 1, Retrying: true},
	} {
		p.SecondsRemaining = 5
		if got := progressOf(p); got.Phase != want || (got.EtaS == 0) != p.Retrying {
			t.Errorf("%+v: %q with %d s left, want %q", p, got.Phase, got.EtaS, want)
		}
	}
}
