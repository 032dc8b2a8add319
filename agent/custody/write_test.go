package custody

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestReplaceLeavesOneCompletePrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"first", "second, and longer", ""} {
		if err := Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path, Private, 100)
		if err != nil || string(got) != content {
			t.Errorf("got %q, %v, want %q", got, err, content)
		}
	}
	wantAlone(t, path)
}

func TestRewriteKeepsWhoMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Rewrite(path, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: got %v, want that there is none", err)
	}
	if err := os.WriteFile(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Rewrite(path, []byte("second")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode() != 0o644 {
		t.Errorf("got mode %v, %v, want 0644", info.Mode(), err)
	}
	if got, err := Read(path, Unchangeable, 100); err != nil || string(got) != "second" {
		t.Errorf("got %q, %v", got, err)
	}
	wantAlone(t, path)
}

func TestCreateNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Create(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want that the file exists", err)
	}
	if got, err := Read(path, Private, 100); err != nil || string(got) != "first" {
		t.Errorf("got %q, %v", got, err)
	}
	wantAlone(t, path)
}

func TestReplaceOfAFolderFailsAndLeavesNothingBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	wantAlone(t, path)
}

func TestReadRefusesMoreThanItsLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Replace(path, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, Private, 11); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	var p *Problem
	if _, err := Read(path, Private, 10); !errors.As(err, &p) {
		t.Errorf("above the limit: got %v, want a Problem", err)
	}
}

func TestWhatIsMissingIsSaidToBeMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such")
	if _, err := Open(missing, Private); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := CheckFolder(missing, Private); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// wantAlone wants no other file, staged or not, beside path.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("got %v, want %s alone", entries, filepath.Base(path))
	}
}
