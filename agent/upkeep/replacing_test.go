//go:build !windows

package upkeep

import (
	"maps"
	"testing"
	"time"
)

// TestOnlyWhatTookThePlaceOfASnapshotInheritsItsTime offers successors of all kinds.
func TestOnlyWhatTookThePlaceOfASnapshotInheritsItsTime(t *testing.T) {
	dir, _ := watched(t)
	l := ledger(t, dir) // knows one and two
	made := func(id string) Newcomer {
		return Newcomer{ID: name(id), First: name("one"), Time: now, Host: "web-1", Tree: "t"}
	}
	with := func(n Newcomer, change func(*Newcomer)) Newcomer { change(&n); return n }
	r := Replacing{Snapshots: []Doomed{{ID: name("one"), First: name("one"), Time: now, Host: "web-1", Tree: "t"}}}
	tests := []struct {
		name  string
		there []Newcomer
		want  map[string]string
	}{
		{"a successor", []Newcomer{made("a"), {ID: name("two")}}, map[string]string{name("a"): name("one")}},
		{"none", []Newcomer{{ID: name("two")}}, nil},
		{"the old one is still there", []Newcomer{made("a"), {ID: name("one")}}, nil},
		{"a second that looks like it", []Newcomer{made("a"), made("b")}, nil},
		{"one that was there before", []Newcomer{made("two"), made("a")}, map[string]string{name("a"): name("one")}},
		{"another tree", []Newcomer{with(made("a"), func(n *Newcomer) { n.Tree = "u" })}, nil},
		{"another host", []Newcomer{with(made("a"), func(n *Newcomer) { n.Host = "h" })}, nil},
		{"another time", []Newcomer{with(made("a"), func(n *Newcomer) { n.Time = now.Add(1) })}, nil},
		{"another origin", []Newcomer{with(made("a"), func(n *Newcomer) { n.First = name("two") })}, nil},
	}
	for _, test := range tests {
		if got := r.Heirs(l, test.there); !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestTwinsInheritTheLaterTime replaces two that nobody can tell apart.
func TestTwinsInheritTheLaterTime(t *testing.T) {
	l := ledger(t, t.TempDir())
	l.Snapshots = map[string]Seen{"old": {At: now}, "young": {At: now.Add(time.Hour)}}
	twin := func(id string) Doomed { return Doomed{ID: id, First: "first", Time: now} }
	r := Replacing{Snapshots: []Doomed{twin("young"), twin("old")}}
	got := r.Heirs(l, []Newcomer{{ID: "a", First: "first", Time: now}, {ID: "b", First: "first", Time: now}})
	if len(got) != 2 || got["a"] != "young" || got["b"] != "young" {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsBeingReplacedOutlastsTheAgent(t *testing.T) {
	dir := t.TempDir()
	if r, err := ReadReplacing(dir, repository); err != nil || len(r.Snapshots) != 0 {
		t.Errorf("%v, %v", r, err)
	}
	r := Replacing{JobID: "j", At: now, Snapshots: []Doomed{{ID: name("one"), First: name("one"), Time: now}}}
	if err := r.Write(dir, repository); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadReplacing(dir, repository); err != nil || got.JobID != "j" || len(got.Snapshots) != 1 || !got.Snapshots[0].Time.Equal(now) {
		t.Errorf("%v, %v", got, err)
	}
	for range 2 {
		if err := EndReplacing(dir, repository); err != nil {
			t.Error(err)
		}
	}
	if r, err := ReadReplacing(dir, repository); err != nil || len(r.Snapshots) != 0 {
		t.Errorf("%v, %v", r, err)
	}
}
