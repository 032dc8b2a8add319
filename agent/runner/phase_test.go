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
		if got := progressOf(p).Phase; got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
