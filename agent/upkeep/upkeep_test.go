//go:build !windows

package upkeep

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	now        = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	repository = strings.Repeat("ab", 32)
)

func name(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func ledger(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := OpenLedger(dir, repository)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// watched makes a ledger with two snapshots, and returns its file.
func watched(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	l := ledger(t, dir)
	for i, id := range []string{"one", "two"} {
		at := now.Add(time.Duration(i) * time.Hour)
		if err := l.See(at, []Sighting{{ID: name(id), Claimed: at.Add(-time.Minute), File: at}}); err != nil {
			t.Fatal(err)
		}
	}
	return dir, filepath.Join(dir, repository+".ledger")
}

func TestALedgerIsReadAsItWasWritten(t *testing.T) {
	dir, _ := watched(t)
	l := ledger(t, dir)
	if !l.Born.Equal(now) || len(l.Snapshots) != 2 || !l.Snapshots[name("two")].At.Equal(now.Add(time.Hour)) {
		t.Errorf("got %+v", l)
	}
	// What was seen once keeps its time, whatever is said later.
	if err := l.See(now.AddDate(1, 0, 0), []Sighting{{ID: name("one"), Claimed: now, File: now.AddDate(1, 0, 0)}}); err != nil {
		t.Fatal(err)
	}
	if again := ledger(t, dir); !again.Snapshots[name("one")].At.Equal(now) || again.seq != l.seq {
		t.Errorf("got %+v", again.Snapshots)
	}
}

func TestALedgerThatWasChangedIsDamaged(t *testing.T) {
	_, file := watched(t)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	for what, text := range map[string][]byte{
		"a time":            bytes.Replace(good, []byte("T12:00"), []byte("T11:00"), 1),
		"a line left out":   slices.Concat(lines[0], lines[2]),
		"two lines swapped": slices.Concat(lines[0], lines[2], lines[1]),
		"a line twice":      slices.Concat(good, lines[2]),
		"something between": slices.Concat(lines[0], []byte("x\n"), lines[1]),
		"another's":         bytes.Replace(good, lines[0], []byte(`{"seq":1,"at":"2026-11-22T12:00:00Z","kind":"born","id":"","hash":"`+name("x")+"\"}\n"), 1),
		"a blank":           bytes.Replace(good, []byte(`"seq":2,`), []byte(`"seq":2, `), 1),
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, repository+".ledger"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenLedger(dir, repository)
			var damaged *Damaged
			if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "damaged at line") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestALineThatWasBeingWrittenIsForgotten cuts the file at every byte of its last line.
func TestALineThatWasBeingWrittenIsForgotten(t *testing.T) {
	_, file := watched(t)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndexByte(good[:len(good)-1], '\n') + 1
	for cut := last; cut < len(good); cut++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, repository+".ledger"), good[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := ledger(t, dir)
		if err := l.See(now.Add(2*time.Hour), []Sighting{{ID: name("three"), Claimed: now, File: now.Add(2 * time.Hour)}}); err != nil {
			t.Fatal(err)
		}
		if again := ledger(t, dir); len(again.Snapshots) != 2 || again.Snapshots[name("three")].At.IsZero() {
			t.Fatalf("cut at %d: %+v", cut, again.Snapshots)
		}
	}
}

// TestWhatWasCopiedWithTheRepositoryIsAdopted has files whose times are those of the copy;
// later uploads that claim the past are not adopted.
func TestWhatWasCopiedWithTheRepositoryIsAdopted(t *testing.T) {
	moved := now.AddDate(0, -1, 0)
	l := ledger(t, t.TempDir())
	err := l.See(now, []Sighting{
		{ID: name("old"), Claimed: now.AddDate(-1, 0, 0), File: moved},
		{ID: name("usual"), Claimed: now.AddDate(0, 0, -3), File: now.AddDate(0, 0, -3).Add(time.Minute)},
		{ID: name("shadow"), Claimed: now.AddDate(0, -6, 0), File: now.Add(-time.Minute)},
		{ID: name("unread"), File: moved},
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, adopted := range map[string]bool{"old": true, "usual": false, "shadow": false, "unread": false} {
		if got := l.Snapshots[name(id)]; got.Adopted != adopted {
			t.Errorf("%s: %+v", id, got)
		}
	}
	if !l.Snapshots[name("old")].At.Equal(now.AddDate(-1, 0, 0)) {
		t.Errorf("got %+v", l.Snapshots[name("old")])
	}
	// Once watched, nothing is adopted any more.
	if err := l.See(now.Add(time.Hour), []Sighting{{ID: name("late"), Claimed: now.AddDate(-1, 0, 0), File: moved}, {ID: name("listed"), Claimed: now.AddDate(-1, 0, 0)}}); err != nil {
		t.Fatal(err)
	}
	if l.Snapshots[name("late")].Adopted || !l.Snapshots[name("listed")].At.Equal(now.Add(time.Hour)) {
		t.Errorf("got %+v %+v", l.Snapshots[name("late")], l.Snapshots[name("listed")])
	}
}

func TestAKeyThatWasNotThereAtFirstIsForeign(t *testing.T) {
	dir := t.TempDir()
	for i, want := range [][]string{nil, {name("b")}, {name("b")}} {
		keys := []string{name("a"), name("b")}[:min(i+1, 2)]
		foreign, err := ledger(t, dir).SeeKeys(now, keys, false)
		if err != nil || !slices.Equal(foreign, want) {
			t.Errorf("look %d: %v, %v", i, foreign, err)
		}
	}
	if foreign, err := ledger(t, dir).SeeKeys(now, []string{name("b")}, true); err != nil || foreign != nil {
		t.Errorf("accepted: %v, %v", foreign, err)
	}
}

func TestASnapshotThatTakesTheplaceOfAnotherInheritsItsTime(t *testing.T) {
	dir, _ := watched(t)
	l := ledger(t, dir)
	if err := l.Inherit(now.AddDate(0, 0, 9), map[string]string{name("tagged"): name("one"), name("other"): name("nowhere")}); err != nil {
		t.Fatal(err)
	}
	if got := ledger(t, dir).Snapshots; !got[name("tagged")].At.Equal(now) || len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestWhatWentWithinADayCounts(t *testing.T) {
	dir, _ := watched(t)
	l := ledger(t, dir)
	gone := func(string) bool { return false }
	for i, id := range []string{"one", "two"} {
		if err := l.SetOut(now.Add(time.Duration(i)*20*time.Hour), []string{name(id)}); err != nil {
			t.Fatal(err)
		}
	}
	l = ledger(t, dir)
	for after, want := range map[time.Duration]int{0: 2, 20 * time.Hour: 2, 25 * time.Hour: 1, 45 * time.Hour: 0} {
		if n := l.WentLately(now.Add(after), gone); n != want {
			t.Errorf("after %s %d went lately, want %d", after, n, want)
		}
	}
	if n := l.WentLately(now, func(id string) bool { return id == name("one") }); n != 1 {
		t.Errorf("one that is still there counts: %d went", n)
	}
}

// folder makes a repository's folder with a file in each part.
func folder(t *testing.T) (*Folder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "web")
	for path, text := range map[string]string{
		"config": "c", "data/" + name(pack)[:2] + "/" + name(pack): pack, "index/" + name(index): index, "snapshots/" + name(snapshot): snapshot,
		"keys/" + name(key): key, "locks/" + name("a lock of some length, as all have"): "a lock of some length, as all have",
	} {
		write(t, filepath.Join(dir, path), text)
	}
	f, err := OpenFolder(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, dir
}

const (
	pack     = "a pack of some length, as all of them have"
	index    = "an index of some length, as all of them have"
	snapshot = "a snapshot of some length, as all of them have"
	key      = `{"kdf":"scrypt","data":"as long as all of them are"}`
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsRemovedComesBackFromTheCopy(t *testing.T) {
	f, dir := folder(t)
	made, err := f.Keep("prune", repository, nil, now)
	if err != nil || made.Files != 5 || !made.Whole {
		t.Fatalf("%+v, %v", made, err)
	}
	for _, gone := range []string{"data/" + name(pack)[:2] + "/" + name(pack), "snapshots/" + name(snapshot), "index"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "index", name("new")), "new")
	if back, err := f.BringBack(made.Name); err != nil || back.Files != 3 || back.Keys != nil || back.Differ != nil {
		t.Fatalf("%+v, %v", back, err)
	}
	for _, back := range []string{"data/" + name(pack)[:2] + "/" + name(pack), "snapshots/" + name(snapshot), "index/" + name(index), "index/" + name("new")} {
		if _, err := os.Stat(filepath.Join(dir, back)); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.BringBack("../web"); err == nil {
		t.Error("a copy that is none is brought back")
	}
}

// TestACopyIsWholeOrGone leaves what each step of a machine that stops would leave.
func TestACopyIsWholeOrGone(t *testing.T) {
	f, dir := folder(t)
	for _, left := range []string{"20261122T120000.000000Z.partial/repository/data/x", "20261122T120000.000001Z.partial/about.json"} {
		write(t, filepath.Join(dir+undoSuffix, left), "{}")
	}
	if copies, err := f.Copies(); err != nil || len(copies) != 0 {
		t.Errorf("%v, %v", copies, err)
	}
	if entries, err := os.ReadDir(dir + undoSuffix); err != nil || len(entries) != 2 {
		t.Errorf("looking at the copies leaves %v, %v", entries, err)
	}
	before := func(at time.Time) func(Copy) bool { return func(c Copy) bool { return c.At.Before(at) } }
	if n, err := f.Expire(before(now)); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if entries, err := os.ReadDir(dir + undoSuffix); err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
	old, err := f.Keep("forget", repository, []string{name(snapshot)}, now)
	if err != nil || old.Files != 1 {
		t.Fatal(old, err)
	}
	if _, err := f.Keep("prune", repository, nil, now.AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Expire(before(now.AddDate(0, 0, 1))); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if copies, err := f.Copies(); err != nil || len(copies) != 1 || copies[0].Before != "prune" {
		t.Errorf("%v, %v", copies, err)
	}
}

func TestForeignFilesAreFoundByTheirNamesSizesAndContents(t *testing.T) {
	f, dir := folder(t)
	if census, err := f.Count(); err != nil || len(census.Foreign) != 0 || census.Files != 6 {
		t.Fatalf("%+v, %v", census, err)
	}
	long := strings.Repeat("x", 99)
	for path, text := range map[string]string{
		"index/junk": long, "keys/" + name("tiny"): "tiny", "snapshots/" + name("not this"): long, "keys/" + name(long): long,
		"data/zz/" + name(long): long, "data/" + name(long): long, "other/file": long, "config.old": long,
		"data/ju/junk": long, "data/" + name("tiny")[:2] + "/" + name("tiny"): "tiny",
	} {
		write(t, filepath.Join(dir, path), text)
	}
	census, err := f.Count()
	if err != nil || len(census.Foreign) != 10 {
		t.Errorf("%d: %+v, %v", len(census.Foreign), census.Foreign, err)
	}
}

func TestDataIsNeverPutAside(t *testing.T) {
	f, dir := folder(t)
	data := "data/" + name(pack)[:2] + "/" + name(pack)
	write(t, filepath.Join(dir, "index", "junk"), "junk")
	for _, wrong := range []string{data, "config", "index/..", "../web/config", "index/../config", "index", "nowhere/x", "/etc/passwd"} {
		if _, err := f.Quarantine([]string{"index/junk", wrong}, now); err == nil {
			t.Errorf("%s is put aside", wrong)
		}
	}
	at, err := f.Quarantine([]string{"index/junk"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(at, "index", "junk")); err != nil {
		t.Error(err)
	}
}
