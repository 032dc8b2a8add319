package store_test

import (
	"testing"

	"restic-manager/server/store"
)

func TestTheScoreCountsWhoIsKnownToBeProtected(t *testing.T) {
	for _, c := range []struct {
		name string
		of   store.Overview
		want int
	}{
		{"nobody has a schedule", store.Overview{Hosts: 3, Unscheduled: 3}, 0},
		{"all are protected", store.Overview{Protected: 3, Unscheduled: 1}, 100},
		{"one of four is absent and should be there", store.Overview{Protected: 3, AtRisk: 1}, 75},
		{"one of four is asleep", store.Overview{Protected: 3, Asleep: 1}, 75},
		{"all are asleep", store.Overview{Asleep: 3}, 0},
		{"one of three never made a backup", store.Overview{Protected: 2, NeverBacked: 1}, 66},
	} {
		if got := c.of.Score(); got != c.want {
			t.Errorf("%s: the score is %d, want %d", c.name, got, c.want)
		}
	}
}
