//go:build !windows

package upkeep

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestWhatWasNotReadIsMissing(t *testing.T) {
	dir := t.TempDir()
	a, b, c := File{10, 1, 1}, File{20, 2, 2}, File{30, 3, 3}
	if missing := ReadVerified(dir, repository).Missing(Stock{"data/a": a}, now); len(missing) != 1 {
		t.Errorf("nothing was read, and missing is %v", missing)
	}
	if err := (Verified{At: now, Stock: Stock{"data/a": a, "data/b": b, "index/c": c}}).Write(dir, repository); err != nil {
		t.Fatal(err)
	}
	known := ReadVerified(dir, repository)
	if missing := known.Missing(Stock{"data/a": a, "index/c": c}, now.Add(time.Hour)); len(missing) != 0 {
		t.Errorf("missing %v, though all was read", missing)
	}
	for name, other := range map[string]File{"size": {21, 2, 2}, "time": {20, 9, 2}, "inode": {20, 2, 9}} {
		if missing := known.Missing(Stock{"data/a": a, "data/b": other}, now); !slices.Equal(missing, []string{"data/b"}) {
			t.Errorf("a pack of another %s: missing %v", name, missing)
		}
	}
	if missing := known.Missing(Stock{"data/a": a, "data/d": b, "index/e": c}, now); !slices.Equal(missing, []string{"data/d", "index/e"}) {
		t.Errorf("missing %v", missing)
	}
}

// TestWhatWasReadLongAgoIsMissingAgain since disks lose bits; and so is what was read at a
// time that is yet to come.
func TestWhatWasReadLongAgoIsMissingAgain(t *testing.T) {
	stock := Stock{"data/a": {10, 1, 1}}
	v := Verified{At: now, Stock: stock}
	for days, want := range map[int]int{0: 0, 30: 0, 31: 1, -1: 1} {
		if missing := v.Missing(stock, now.AddDate(0, 0, days)); len(missing) != want {
			t.Errorf("after %d days: %v", days, missing)
		}
	}
}

// TestTheStockIsPacksAndIndex replaces a pack by another of the same name and size.
func TestTheStockIsPacksAndIndex(t *testing.T) {
	f, dir := folder(t)
	before, err := f.Stock()
	if err != nil || before.Packs() != 1 || len(before) != 2 {
		t.Fatalf("%v, %v", before, err)
	}
	at := filepath.Join(dir, "data", name(pack)[:2], name(pack))
	if err := os.WriteFile(at+".other", []byte(pack), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at+".other", at); err != nil {
		t.Fatal(err)
	}
	after, err := f.Stock()
	if err != nil || len(after.Since(before)) != 1 {
		t.Errorf("%v, %v", after.Since(before), err)
	}
}
