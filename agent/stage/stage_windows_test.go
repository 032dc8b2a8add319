package stage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOnWindowsARestoreStaysInItsPrivateFolder(t *testing.T) {
	dir, err := os.MkdirTemp("", "stage-") // not t.TempDir: Go cannot remove folders under this Wine
	if err != nil {
		t.Fatal(err)
	}
	f, err := Make(filepath.Join(dir, "restore"), "job", time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(f.Restored(), "C", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.Restored(), "C", "data", "a.txt"), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	counts, err := f.Examine(t.Context(), []string{"/C/data"}, false, func(found Finding) { t.Errorf("%+v", found) })
	if err != nil || counts.Entries != 2 || counts.Bytes != 3 || !f.Has("/C/data/a.txt") || f.Has("/C/none") || f.Size("/C/data/a.txt") != 3 {
		t.Errorf("%+v %v", counts, err)
	}
	var unsafe *Unsafe
	if _, err := Resolve(`C:\data`); !errors.As(err, &unsafe) {
		t.Errorf("in place: %v", err)
	}
	if _, err := f.Put(t.Context(), []Target{{"/C/data", `C:\data`}}, Rules{}, func(Finding) {}); !errors.As(err, &unsafe) {
		t.Errorf("in place: %v", err)
	}
	if got := Left(filepath.Join(dir, "restore"), "job"); len(got) != 1 || got[0] != f.Path() {
		t.Errorf("left: %q", got)
	}
	if _, err := Make(filepath.Join(dir, "restore"), "job", time.Unix(0, 0)); err == nil {
		t.Error("a folder that was there was taken")
	}
	if err := f.Remove(); err != nil {
		t.Logf("remove: %v", err) // see above
	}
}
