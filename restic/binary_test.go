//go:build !windows

package restic

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program makes dir/bin/restic and returns its path.
func program(t *testing.T) (path, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "restic")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

func TestAProgramThatOnlyWeCanChangeIsAccepted(t *testing.T) {
	path, dir := program(t)
	if _, err := checkBinary(path); err != nil {
		t.Error(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("../bin/./restic", link); err != nil {
		t.Fatal(err)
	}
	if _, err := checkBinary(link); err != nil {
		t.Errorf("through a link: %v", err)
	}
}

func TestAProgramThatOthersCouldChangeIsRefused(t *testing.T) {
	chmod := func(mode os.FileMode, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change func(*testing.T, string)
		mend   string
	}{
		{"by everybody", chmod(0o757, "restic"), "chmod o-w"},
		{"by its group", func(t *testing.T, dir string) {
			chown(t, filepath.Join(dir, "restic"), 0, 12345)
			chmod(0o775, "restic")(t, dir)
		}, "chmod g-w"},
		{"by the group of root", func(t *testing.T, dir string) {
			chown(t, filepath.Join(dir, "restic"), 0, 0)
			chmod(0o775, "restic")(t, dir)
		}, "chmod g-w"},
		{"by its owner", func(t *testing.T, dir string) { chown(t, filepath.Join(dir, "restic"), 12345, 0) }, "chown root"},
		{"by who can write to its folder", chmod(0o777, "."), "chmod o-w"},
		{"by who owns its folder", func(t *testing.T, dir string) { chown(t, dir, 12345, 0) }, "chown root"},
		{"through a folder further up", chmod(0o777, ".."), "chmod o-w"},
		{"through a link that belongs to another", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, "restic"), filepath.Join(dir, "real")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("real", filepath.Join(dir, "restic")); err != nil {
				t.Fatal(err)
			}
			chown(t, filepath.Join(dir, "restic"), 12345, 0)
		}, "chown root"},
		{"through a link into a folder of others", func(t *testing.T, dir string) {
			open := filepath.Join(filepath.Dir(dir), "open")
			if err := os.Mkdir(open, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(open, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "restic"), filepath.Join(open, "restic")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../open/restic", filepath.Join(dir, "restic")); err != nil {
				t.Fatal(err)
			}
		}, "chmod o-w"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path, dir := program(t)
			test.change(t, dir)
			_, err := checkBinary(path)
			if CodeOf(err) != CodeResticBinaryInsecure {
				t.Fatalf("got %v", err)
			}
			if e := asError(err); !strings.Contains(e.Next, test.mend) {
				t.Errorf("the way out is %q, want %q", e.Next, test.mend)
			}
		})
	}
}

func chown(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	if err := os.Lchown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	path, dir := program(t)
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path string
		want Code
	}{
		"no path":         {"", CodeResticMissing},
		"no file":         {path + "x", CodeResticMissing},
		"a relative path": {"restic", CodeResticBinaryInsecure},
		"a folder":        {dir, CodeResticBinaryInsecure},
		"a device":        {"/dev/null", CodeResticBinaryInsecure},
		"a loop of links": {loop, CodeResticMissing},
	} {
		if _, err := checkBinary(test.path); CodeOf(err) != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}
