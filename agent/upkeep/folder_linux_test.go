package upkeep

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const stranger = 54321 // a user of the test's own

// owned makes a repository of the stranger's, in a folder of somebody's.
func owned(t *testing.T, above int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("this test must run as root")
	}
	f, dir := folder(t)
	f.Close()
	for at := filepath.Dir(dir); at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	give(t, dir, stranger)
	if err := os.Chown(filepath.Dir(dir), above, above); err != nil {
		t.Fatal(err)
	}
	return dir
}

func give(t *testing.T, dir string, user int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, user, user))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := OpenFolder(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// TestOnlyOneWorksInAFolder has a command beside a job, as two repositories of one folder
// would be.
func TestOnlyOneWorksInAFolder(t *testing.T) {
	f, dir := folder(t)
	if second, err := OpenFolder(dir, nil); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "wait until") {
		t.Errorf("got %v, %v", second, err)
	}
	f.Close()
	opened(t, dir)
}

func TestAFolderThatIsNotThereIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, err := OpenFolder(dir, nil)
	if want := "open the folder of the repository " + dir + ": no such file or directory"; err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestAFoldersOwnerLeadsRootNowhere has one who may rename what he likes beside and in his
// repository, and who wants files of root's.
func TestAFoldersOwnerLeadsRootNowhere(t *testing.T) {
	dir := owned(t, stranger)
	roots := filepath.Join(filepath.Dir(dir), "roots")
	write(t, filepath.Join(roots, "secret"), "root's alone")
	if err := os.Chmod(roots, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "locks")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../roots", filepath.Join(dir, "locks")); err != nil {
		t.Fatal(err)
	}
	f := opened(t, dir)
	if at, err := f.Quarantine([]string{"locks/secret"}, now); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("root's file went to %s: %v", at, err)
	}
	if _, err := os.Stat(filepath.Join(roots, "secret")); err != nil {
		t.Error(err)
	}
	if _, err := f.Keep("prune", repository, nil, now); err != nil {
		t.Errorf("the copy has no need of locks: %v", err)
	}
}

// TestWhatIsMadeBesideARepositoryIsItsOwners also where the owner may make nothing there.
func TestWhatIsMadeBesideARepositoryIsItsOwners(t *testing.T) {
	for _, above := range []int{stranger, 0} {
		dir := owned(t, above)
		f := opened(t, dir)
		made, err := f.Keep("prune", repository, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "index", "junk"), "junk")
		give(t, filepath.Join(dir, "index", "junk"), stranger)
		if _, err := f.Quarantine([]string{"index/junk"}, now); err != nil {
			t.Fatal(err)
		}
		for _, beside := range []string{dir + undoSuffix, dir + quarantineSuffix, made.Path} {
			err := filepath.WalkDir(beside, func(path string, e fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				if info, err := e.Info(); err != nil || info.Sys().(*syscall.Stat_t).Uid != stranger {
					t.Errorf("%s belongs to another (%v)", path, err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := f.BringBack(made.Name); err != nil {
			t.Error(err)
		}
		if n, err := f.Expire(func(Copy) bool { return true }); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
}

// TestRootMakesNothingWhereAThirdMayRename also has a folder that all of a group may change.
func TestRootMakesNothingWhereAThirdMayRename(t *testing.T) {
	for _, above := range []struct {
		owner int
		mode  fs.FileMode
	}{{stranger + 1, 0o755}, {0, 0o775}} {
		dir := owned(t, above.owner)
		if err := os.Chmod(filepath.Dir(dir), above.mode); err != nil {
			t.Fatal(err)
		}
		_, err := opened(t, dir).Keep("prune", repository, nil, now)
		if err == nil || !strings.Contains(err.Error(), "as root, make web.rm-undo there") {
			t.Errorf("got %v", err)
		}
	}
}

// TestFilesOfAnotherAreNamed has a pack that root's own restic has written.
func TestFilesOfAnotherAreNamed(t *testing.T) {
	dir := owned(t, stranger)
	give(t, filepath.Join(dir, "snapshots", name(snapshot)), 0)
	_, err := opened(t, dir).Keep("prune", repository, nil, now)
	if err == nil || !strings.Contains(err.Error(), "chown") || errors.Is(err, ErrNoLinks) {
		t.Errorf("got %v", err)
	}
}

// TestWorkUnderAnothersRightsEndsWithIt looks at the process afterwards.
func TestWorkUnderAnothersRightsEndsWithIt(t *testing.T) {
	dir := owned(t, 0)
	f := opened(t, dir)
	if err := f.do(func() error { return f.root.Mkdir("other", 0o700) }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	for range 50 {
		if err := f.root.Mkdir("mine", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := f.root.Remove("mine"); err != nil {
			t.Fatal(err)
		}
		if err := f.do(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if f.as == nil || f.as.UID != stranger {
		t.Errorf("works as %+v", f.as)
	}
}

// TestAFileThatIsGoneIsMissedByACopy has nothing but this host remove what a copy has.
func TestAFileThatIsGoneIsMissedByACopy(t *testing.T) {
	f, dir := folder(t)
	if _, err := f.Keep("forget", repository, []string{name(snapshot), name("gone")}, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a snapshot that is not there: %v", err)
	}
	if err := f.recount(&Copy{Files: 2}, "web/data"); err == nil || !strings.Contains(err.Error(), "2 files were put into it, and it has 1") {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Keep("prune", repository, nil, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a repository without index: %v", err)
	}
	if left, err := os.ReadDir(dir + undoSuffix); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestKeysAndWhatDiffersStayAsTheyAre takes a key out, as a planted one is, and damages a
// pack, before the copy is brought back.
func TestKeysAndWhatDiffersStayAsTheyAre(t *testing.T) {
	f, dir := folder(t)
	other := `{"kdf":"scrypt","data":"another that is as long as all"}`
	write(t, filepath.Join(dir, "keys", name(other)), other)
	made, err := f.Keep("repair", repository, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	data := "data/" + name(pack)[:2] + "/" + name(pack)
	for _, at := range []string{"keys/" + name(other), data} {
		if err := os.Remove(filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, data), "half")
	back, err := f.BringBack(made.Name)
	if err != nil || back.Files != 0 || !slices.Equal(back.Keys, []string{"keys/" + name(other)}) || !slices.Equal(back.Differ, []string{data}) {
		t.Errorf("%+v, %v", back, err)
	}
	// What nothing opens any more gets its keys.
	if err := os.Remove(filepath.Join(dir, "keys", name(key))); err != nil {
		t.Fatal(err)
	}
	if back, err := f.BringBack(made.Name); err != nil || back.Files != 2 || back.Keys != nil {
		t.Errorf("%+v, %v", back, err)
	}
}
