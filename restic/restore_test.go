//go:build linux

package restic_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// depot is a repository in a folder, with one snapshot of a folder.
type depot struct {
	t        *testing.T
	runner   *restic.Runner
	access   restic.Access
	source   string
	snapshot string
}

func newDepot(t *testing.T, suite, source string) *depot {
	t.Helper()
	dir := t.TempDir()
	location, err := restic.ParseLocation(filepath.Join(dir, "repository"))
	if err != nil {
		t.Fatal(err)
	}
	d := &depot{
		t: t, source: source,
		runner: restic.New(restic.Config{
			Binary: restictest.Find(t, suite).Restic, CacheDir: filepath.Join(dir, "cache"), TempDir: filepath.Join(dir, "tmp"),
		}),
		access: restic.Access{Location: location, Password: restic.NewSecret("swordfish")},
	}
	restictest.CheapRepository(t, restictest.Find(t, suite).Restic, location.Path(), "swordfish")
	saved, err := restic.Run(t.Context(), d.runner, restic.Backup{Sources: []string{source}, Host: "web-1"}, d.access, restic.Handlers{})
	if err != nil || saved.Outcome != restic.Succeeded {
		t.Fatalf("backup: %+v, %v", saved.Failure, err)
	}
	d.snapshot = saved.Value.SnapshotID
	return d
}

// restore restores into a fresh folder, and returns what is there of the source.
func (d *depot) restore(r restic.Restore) (restic.Result[restic.RestoreSummary], string) {
	d.t.Helper()
	folder := d.t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, restic.RestoredFolder), 0o700); err != nil {
		d.t.Fatal(err)
	}
	open, err := os.Open(folder)
	if err != nil {
		d.t.Fatal(err)
	}
	defer open.Close()
	r.SnapshotID, r.Folder = d.snapshot, open
	result, err := restic.Run(d.t.Context(), d.runner, r, d.access, restic.Handlers{})
	if err != nil {
		d.t.Fatal(err)
	}
	return result, filepath.Join(folder, restic.RestoredFolder, d.source)
}

func TestARestoreBringsBackEveryNameByteByByte(t *testing.T) {
	t.Parallel()
	if n := len(restictest.NastyNames()); n < 300 {
		t.Fatalf("there are %d names", n)
	}
	source := filepath.Join(t.TempDir(), "source")
	restictest.NastyTree(t, source)
	want := restictest.Tree(t, source)
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			d := newDepot(t, suite, source)
			result, restored := d.restore(restic.Restore{Verify: true, Fence: restic.CanFence()})
			if result.Outcome != restic.Succeeded {
				t.Fatalf("%s: %+v %+v", result.Outcome, result.Failure, result.Items)
			}
			if diff := cmp.Diff(want, restictest.Tree(t, restored)); diff != "" {
				t.Errorf("differs:\n%s", diff)
			}
		})
	}
}

func TestAChosenPathIsThatPathAndNothingElse(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	restictest.NastyTree(t, source)
	var paths []string
	for i, name := range restictest.NastyNames() {
		// One of each pair, so that what a pattern takes too many shows.
		if utf8.ValidString(name) && i%2 == 0 {
			paths = append(paths, source+"/files/"+name)
		} else if utf8.ValidString(name) {
			paths = append(paths, source+"/folders/"+name)
		}
	}
	whole := restictest.Tree(t, source)
	want := map[string]string{}
	for path := range whole {
		for _, chosen := range paths {
			if full := source + "/" + path; full == chosen || strings.HasPrefix(full, chosen+"/") {
				want[path] = whole[path]
			}
		}
	}
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			d := newDepot(t, suite, source)
			result, restored := d.restore(restic.Restore{Paths: paths})
			if result.Outcome != restic.Succeeded {
				t.Fatalf("%s: %+v %+v", result.Outcome, result.Failure, result.Items)
			}
			got := restictest.Tree(t, restored)
			maps.DeleteFunc(got, func(path, _ string) bool { return path == "" || path == "files" || path == "folders" })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs:\n%s", diff)
			}
		})
	}
}

func TestARestoreOfNothingIsAFailure(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "a"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			d := newDepot(t, suite, source)
			for _, path := range []string{source + "/b", source + "/?", source + "/*", "/x"} {
				result, _ := d.restore(restic.Restore{Paths: []string{path}, DryRun: path == "/x"})
				if result.Outcome != restic.Failed || result.Failure.Code != restic.CodeNothingRestored {
					t.Errorf("%s: %s %+v", path, result.Outcome, result.Failure)
				}
			}
			planned, restored := d.restore(restic.Restore{DryRun: true})
			if planned.Outcome != restic.Succeeded || planned.Value.TotalBytes != 1 {
				t.Errorf("dry run: %s %+v", planned.Outcome, planned.Value)
			}
			if _, err := os.Lstat(restored); err == nil {
				t.Error("a dry run wrote something")
			}
			d.snapshot = strings.Repeat("0", 64)
			if result, _ := d.restore(restic.Restore{}); result.Outcome != restic.Failed || result.Failure.Code != restic.CodeSnapshotNotFound {
				t.Errorf("an unknown snapshot: %s %+v", result.Outcome, result.Failure)
			}
		})
	}
}

// A pack that is gone from the repository is what no restic can restore.
func TestARestoreThatLacksSomethingIsAWarningThatNamesIt(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x", filepath.Join(source, "small")); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 200<<10)
	for i := range content {
		content[i] = byte(i ^ i>>8 ^ i>>16)
	}
	if err := os.WriteFile(filepath.Join(source, "large"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			d := newDepot(t, suite, source)
			var largest string
			var size int64
			err := filepath.Walk(filepath.Join(d.access.Location.Path(), "data"), func(path string, info os.FileInfo, err error) error {
				if err == nil && info.Mode().IsRegular() && info.Size() > size {
					largest, size = path, info.Size()
				}
				return err
			})
			if err != nil || os.Remove(largest) != nil {
				t.Fatal(err)
			}
			result, restored := d.restore(restic.Restore{})
			if result.Outcome != restic.Warning || result.Failure.Code != restic.CodeRestoreIncomplete {
				t.Fatalf("%s: %+v", result.Outcome, result.Failure)
			}
			if result.Items.Count != 1 || result.Items.First[0].Path != source+"/large" {
				t.Errorf("items: %+v", result.Items)
			}
			if _, err := os.Lstat(restored + "/small"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheFenceHoldsWhatRunsInIt(t *testing.T) {
	if !restic.CanFence() {
		restictest.Lacks(t, "this kernel cannot fence")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(inside, "way")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "old"), []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	touch := func(paths ...string) error {
		args := append([]string{"start-fenced", inside, "--", "/usr/bin/touch", "--"}, paths...)
		return exec.Command(self, args...).Run()
	}
	if err := touch(filepath.Join(inside, "new")); err != nil {
		t.Errorf("inside: %v", err)
	}
	for _, path := range []string{filepath.Join(outside, "new"), filepath.Join(inside, "way", "new")} {
		if err := touch(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	if err := exec.Command(self, "start-fenced", inside, "--", "/usr/bin/truncate", "-s0", filepath.Join(outside, "old")).Run(); err == nil {
		t.Error("a file outside was emptied")
	}
	for _, args := range [][]string{{}, {inside}, {"--", "/usr/bin/touch"}, {inside, "--"}, {inside, "--", "touch"}, {inside + "/none", "--", "/usr/bin/touch"}} {
		if err := exec.Command(self, append([]string{"start-fenced"}, args...)...).Run(); err == nil {
			t.Errorf("%q was started", args)
		}
	}
}

func TestWhatIsNoPathInASnapshotIsRefused(t *testing.T) {
	folder, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	op := restic.Restore{SnapshotID: strings.Repeat("a", 64), Folder: folder}
	for _, path := range []string{
		"", "a", "a/b", "./a", "../a", "/..", "/a/..", "/../a", "/a/../b", "/.", "/a/./b", "//", "//a", "/a//b", "/a/", "/a\x00b", "\x00", "--target=/", "-x", "!/a",
		`\\server\share`, `C:\a`, "C:/a", "/a\x00/../b", "$HOME", "~", "/" + strings.Repeat("a", 40_000),
	} {
		op.Paths = []string{"/fine", path}
		if code := restic.CodeOf(op.Validate()); code != restic.CodeFieldInvalid {
			t.Errorf("%q: %s", path, code)
		}
		if restic.CheckSnapshotPath(path) == nil {
			t.Errorf("%q passes", path)
		}
	}
	for _, path := range []string{"/", "/a", "/a/b", "/...", "/..a", "/.a", "/a..", "/C/Users", "/\n", "/ ", "/-x/--target=x", `/a\b`, "/*/[a]/**", "/" + strings.Repeat("x", 255)} {
		op.Paths = []string{path}
		if err := op.Validate(); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	op.Paths = nil
	op.SnapshotID = "latest"
	if op.Validate() == nil {
		t.Error("latest passes")
	}
	if (restic.Restore{SnapshotID: strings.Repeat("a", 64)}).Validate() == nil {
		t.Error("a restore without a folder passes")
	}
}
