package runner

import (
	"testing"

	"restic-manager/restic"
)

// restic's tag names in a new snapshot what the old one was first, its rewrite names the old
// one itself.
func TestASnapshotThatWasChangedBeforeIsFoundWhenItChangesAgain(t *testing.T) {
	first, tagged := restic.Snapshot{ID: "a"}, restic.Snapshot{ID: "b", Original: "a"}
	for _, test := range []struct {
		name   string
		before []restic.Snapshot
		after  []restic.Snapshot
		want   map[string]string
	}{
		{"rewritten", []restic.Snapshot{tagged}, []restic.Snapshot{tagged, {ID: "c", Original: "b"}}, map[string]string{"b": "c"}},
		{"tagged again", []restic.Snapshot{tagged}, []restic.Snapshot{{ID: "c", Original: "a"}}, map[string]string{"b": "c"}},
		{"rewritten beside the first", []restic.Snapshot{first, tagged},
			[]restic.Snapshot{first, tagged, {ID: "c", Original: "a"}, {ID: "d", Original: "b"}}, map[string]string{"a": "c", "b": "d"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows, found := compared(test.before, test.before, test.after)
			got := map[string]string{}
			for _, row := range rows {
				got[row.OldID] = row.NewID
			}
			if len(got) != len(test.want) || found.Changed != len(test.want) {
				t.Errorf("%v, %+v", got, found)
			}
			for id, now := range test.want {
				if got[id] != now {
					t.Errorf("%s became %q, want %s", id, got[id], now)
				}
			}
		})
	}
}
