package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// stranger is a user that this machine does not know.
const stranger = 54321

// needsRoot ends a test that must make other users' files. In CI tests run as root.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		restictest.Lacks(t, "this test must run as root")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes files, and the folders above them.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := dir + "/" + name
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// home is a folder of a stranger, beside one of root's that no restore may touch.
type home struct {
	t       *testing.T
	top     string
	user    string // the stranger's
	victim  string // root's
	before  map[string]string
	folders int
}

func newHome(t *testing.T) *home {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	h := &home{t: t, top: top, user: top + "/home/u", victim: top + "/etc"}
	write(t, h.victim, map[string]string{"f": "root's own", "sub/f": "root's too"})
	must(t, os.MkdirAll(h.user, 0o755))
	must(t, os.Lchown(h.user, stranger, stranger))
	h.before = restictest.Tree(t, h.victim)
	return h
}

// plant makes a link of the stranger's.
func (h *home) plant(target, name string) {
	h.t.Helper()
	path := filepath.Join(h.user, name)
	must(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(h.t, os.Symlink(target, path))
	must(h.t, os.Lchown(path, stranger, stranger))
}

// restored makes a private folder with files as a restore leaves them.
func (h *home) restored(files map[string]string) *Folder {
	h.t.Helper()
	h.folders++
	f, err := Make(filepath.Join(h.top, "staging"), "job", time.Unix(int64(h.folders), 0))
	must(h.t, err)
	write(h.t, f.Restored()+h.user, files)
	return f
}

// put puts a path of the stranger's home in place, as the agent does.
func (h *home) put(f *Folder, name string, rules Rules) (Counts, []Finding, error) {
	h.t.Helper()
	path := filepath.Join(h.user, name)
	real, err := Resolve(path)
	if err != nil {
		return Counts{}, nil, err
	}
	var found []Finding
	counts, err := f.Put(h.t.Context(), []Target{{Path: path, Real: real}}, rules, func(one Finding) { found = append(found, one) })
	return counts, found, err
}

func (h *home) unharmed() {
	h.t.Helper()
	if diff := cmp.Diff(h.before, restictest.Tree(h.t, h.victim)); diff != "" {
		h.t.Errorf("root's own folder was changed:\n%s", diff)
	}
}

func TestALinkThatAUserPlantedLeadsNoRestoreAnywhere(t *testing.T) {
	needsRoot(t)
	evil := map[string]string{"docs/sub/f": "evil", "docs/f": "evil"}
	for name, c := range map[string]struct {
		plant func(*home)
		path  string
	}{
		"A: the folder above is a link":            {func(h *home) { h.plant(h.victim, "docs") }, "docs/f"},
		"B: a folder further above is a link":      {func(h *home) { h.plant(h.victim, "docs") }, "docs/sub/f"},
		"C: what was chosen is a link":             {func(h *home) { h.plant(h.victim, "docs") }, "docs"},
		"D: a folder in what was chosen is a link": {func(h *home) { h.plant(h.victim+"/sub", "docs/sub") }, "docs"},
		"E: a link that leads up":                  {func(h *home) { h.plant("../../etc", "docs") }, "docs/sub/f"},
		"F: a link to a link":                      {func(h *home) { h.plant("docs", "way"); h.plant(h.victim, "docs") }, "docs/f"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			c.plant(h)
			f := h.restored(evil)
			defer f.Close()
			counts, found, err := h.put(f, c.path, Rules{})
			h.unharmed()
			var unsafe *Unsafe
			switch {
			case errors.As(err, &unsafe):
				if !strings.Contains(unsafe.Error(), "is a symlink owned by uid 54321") || unsafe.Next == "" {
					t.Errorf("%v", unsafe)
				}
			case err != nil:
				t.Error(err)
			case counts.Failed != 1 || len(found) != 1 || !strings.Contains(found[0].Detail, "a symlink owned by uid 54321 is in the way"):
				t.Errorf("%+v %+v", counts, found)
			}
		})
	}
	t.Run("a file that is a link is replaced and not followed", func(t *testing.T) {
		h := newHome(t)
		h.plant(h.victim+"/f", "docs/f")
		f := h.restored(evil)
		defer f.Close()
		if _, found, err := h.put(f, "docs/f", Rules{}); err != nil || len(found) > 0 {
			t.Errorf("%+v %v", found, err)
		}
		h.unharmed()
		if content, err := os.ReadFile(h.user + "/docs/f"); err != nil || string(content) != "evil" {
			t.Errorf("%q %v", content, err)
		}
	})
	t.Run("a hard link to root's file is replaced and not written to", func(t *testing.T) {
		h := newHome(t)
		must(t, os.Mkdir(h.user+"/docs", 0o755))
		must(t, os.Link(h.victim+"/f", h.user+"/docs/f"))
		f := h.restored(evil)
		defer f.Close()
		if _, _, err := h.put(f, "docs", Rules{}); err != nil {
			t.Error(err)
		}
		must(t, os.Remove(h.user+"/docs/f"))
		h.unharmed()
	})
	t.Run("root's own links are followed", func(t *testing.T) {
		h := newHome(t)
		must(t, os.Mkdir(h.user+"/real", 0o755))
		must(t, os.Symlink("real", h.user+"/docs"))
		f := h.restored(evil)
		defer f.Close()
		if counts, found, err := h.put(f, "docs/sub/f", Rules{}); err != nil || counts.Entries != 1 || len(found) > 0 {
			t.Errorf("%+v %+v %v", counts, found, err)
		}
		if content, err := os.ReadFile(h.user + "/real/sub/f"); err != nil || string(content) != "evil" {
			t.Errorf("%q %v", content, err)
		}
	})
}

// TestALinkThatComesAndGoesLeadsNoRestoreAnywhere swaps a folder for a link while
// thousands of restores go on. Both what is put into the folder and what is refused must
// happen, or nothing was tried.
func TestALinkThatComesAndGoesLeadsNoRestoreAnywhere(t *testing.T) {
	needsRoot(t)
	for name, path := range map[string]string{"above what was chosen": "docs/sub/f", "what was chosen": "docs"} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.plant(h.victim, "link")
			must(t, os.MkdirAll(h.user+"/docs/sub", 0o755))
			must(t, os.Chown(h.user+"/docs", stranger, stranger))
			var stop atomic.Bool
			var swapper sync.WaitGroup
			swapper.Go(func() {
				for !stop.Load() {
					_ = unix.Renameat2(unix.AT_FDCWD, h.user+"/docs", unix.AT_FDCWD, h.user+"/link", unix.RENAME_EXCHANGE)
				}
			})
			f := h.restored(nil)
			put, refused := 0, 0
			for i := range 20_000 {
				if i >= 5_000 && put > 0 && refused > 0 {
					break
				}
				write(t, f.Restored()+h.user, map[string]string{"docs/sub/f": "evil"})
				// The path is taken for safe even where it is not: somebody may swap after the look.
				target := []Target{{Path: filepath.Join(h.user, path), Real: filepath.Join(h.user, path)}}
				p := &putting{ctx: t.Context(), report: func(Finding) {}}
				err := f.putOne(p, target[0], map[string]bool{})
				if err != nil || p.counts.Failed > 0 {
					refused++
				} else if p.counts.Entries > 0 {
					put++
				}
			}
			stop.Store(true)
			swapper.Wait()
			must(t, f.Remove())
			h.unharmed()
			if put == 0 || refused == 0 {
				t.Errorf("%d restores went through and %d were refused", put, refused)
			}
		})
	}
}

func TestNothingPrivilegedIsLeftInAPrivateFolder(t *testing.T) {
	needsRoot(t)
	h := newHome(t)
	f := h.restored(nil)
	defer f.Close()
	restictest.NastyTree(t, f.Restored()+"/tree")
	before := restictest.Tree(t, f.Restored()+"/tree")
	stripped := map[string]string{}
	counts, err := f.Examine(t.Context(), nil, true, func(found Finding) { t.Errorf("%+v", found) })
	if err != nil || int(counts.Entries) != len(before) {
		t.Errorf("%+v of %d, %v", counts, len(before), err)
	}
	if diff := cmp.Diff(before, restictest.Tree(t, f.Restored()+"/tree")); diff != "" {
		t.Errorf("a look changed something:\n%s", diff)
	}
	counts, err = f.Examine(t.Context(), []string{"/tree/special"}, false, func(found Finding) { stripped[found.Path] = found.Detail })
	if err != nil || counts.Failed > 0 {
		t.Errorf("%+v, %v", counts, err)
	}
	want := map[string]string{
		"/tree/special/setuid": "set-uid bit", "/tree/special/setgid": "set-gid bit", "/tree/special/both": "set-uid bit, set-gid bit",
		"/tree/special/null": "device node 1:3, removed", "/tree/special/disk": "device node 7:99, removed", "/tree/special/capable": "file capabilities",
	}
	if diff := cmp.Diff(want, stripped); diff != "" {
		t.Errorf("stripped:\n%s", diff)
	}
	after := restictest.Tree(t, f.Restored()+"/tree")
	for _, name := range []string{"special/setuid", "special/setgid", "special/both", "special/null", "special/disk", "special/capable"} {
		delete(before, name)
		if strings.Contains(after[name], "security.capability") || strings.HasPrefix(after[name], "1046") || strings.HasPrefix(after[name], "1026") || strings.HasPrefix(after[name], "1066") {
			t.Errorf("%s: %s", name, after[name])
		}
		delete(after, name)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("something else was changed:\n%s", diff)
	}
}

func TestWhatIsThereIsReplacedByTheRule(t *testing.T) {
	old, now := time.Unix(1_000_000_000, 0), time.Unix(1_700_000_000, 0)
	for rule, want := range map[string]string{
		restic.OverwriteAlways: "new same new older new newer", "": "new same new older new newer",
		restic.OverwriteNever:     "old same old older old newer",
		restic.OverwriteIfChanged: "old same new older new newer",
		restic.OverwriteIfNewer:   "old same old older new newer",
	} {
		h := newHome(t)
		write(t, h.user, map[string]string{"d/same": "old same", "d/older": "old older", "d/newer": "old newer"})
		f := h.restored(map[string]string{"d/same": "new same", "d/older": "new older", "d/newer": "new newer", "d/fresh/f": "fresh", "d/fresh/g": "fresh"})
		for name, at := range map[string]time.Time{"same": now, "older": old, "newer": now} {
			must(t, os.Chtimes(f.Restored()+h.user+"/d/"+name, at, at))
		}
		for name, at := range map[string]time.Time{"same": now, "older": now, "newer": old} {
			must(t, os.Chtimes(h.user+"/d/"+name, at, at))
		}
		must(t, os.Chtimes(f.Restored()+h.user+"/d", old, old))
		counts, found, err := h.put(f, "d", Rules{Overwrite: rule})
		must(t, err)
		var got []string
		for _, name := range []string{"same", "older", "newer"} {
			content, err := os.ReadFile(h.user + "/d/" + name)
			must(t, err)
			got = append(got, string(content))
		}
		if text := strings.Join(got, " "); text != want || len(found) > 0 {
			t.Errorf("%q: %s, want %s; %+v", rule, text, want, found)
		}
		if _, err := os.Lstat(h.user + "/d/fresh/g"); err != nil || counts.Entries+counts.Skipped != 7 {
			t.Errorf("%q: %+v %v", rule, counts, err)
		}
		info, err := os.Lstat(h.user + "/d")
		must(t, err)
		if kept := rule == restic.OverwriteNever || rule == restic.OverwriteIfNewer; info.ModTime().Equal(old) == kept {
			t.Errorf("%q: the folder's time is %s", rule, info.ModTime())
		}
		must(t, f.Remove())
		if left, _ := os.ReadDir(h.top + "/staging"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestAFolderAndAFileDoNotTakeEachOthersPlace(t *testing.T) {
	h := newHome(t)
	write(t, h.user, map[string]string{"d/a/keep": "x", "d/b": "x"})
	f := h.restored(map[string]string{"d/a": "file", "d/b/f": "in a folder", "d/c": "goes on"})
	defer f.Close()
	counts, found, err := h.put(f, "d", Rules{})
	must(t, err)
	var said []string
	for _, one := range found {
		said = append(said, strings.TrimPrefix(one.Path, h.user)+": "+one.Detail)
	}
	if want := []string{"/d/a: a folder is in the way of a file", "/d/b: a file is in the way of a folder"}; !slices.Equal(said, want) || counts.Failed != 2 {
		t.Errorf("%q %+v", said, counts)
	}
	if _, err := os.Lstat(h.user + "/d/c"); err != nil {
		t.Error(err)
	}
}

func TestFoldersOfTheAgentAreLeftAsTheyAre(t *testing.T) {
	h := newHome(t)
	write(t, h.user, map[string]string{"d/agent/policy.yaml": "guarded", "d/f": "old"})
	f := h.restored(map[string]string{"d/agent/policy.yaml": "trusting", "d/agent/new": "x", "d/f": "new"})
	defer f.Close()
	_, found, err := h.put(f, "d", Rules{Keep: []string{h.user + "/d/agent"}})
	must(t, err)
	content, err := os.ReadFile(h.user + "/d/agent/policy.yaml")
	if err != nil || string(content) != "guarded" || len(found) != 1 || found[0].Kind != Kept {
		t.Errorf("%q %v %+v", content, err, found)
	}
	if entries, _ := os.ReadDir(h.user + "/d/agent"); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
	if content, _ := os.ReadFile(h.user + "/d/f"); string(content) != "new" {
		t.Errorf("%q", content)
	}
}

// Somebody who owns a folder can put another's folder into it by any name.
func TestAnothersFolderIsNotGivenAway(t *testing.T) {
	needsRoot(t)
	h := newHome(t)
	must(t, os.Mkdir(h.user+"/docs", 0o700)) // root's, in the stranger's home
	f := h.restored(map[string]string{"docs/f": "x"})
	defer f.Close()
	must(t, os.Lchown(f.Restored()+h.user+"/docs", stranger, stranger))
	_, found, err := h.put(f, "docs", Rules{})
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Lstat(h.user+"/docs", &st))
	if st.Uid != 0 || st.Mode&0o777 != 0o700 || len(found) != 1 || found[0].Kind != Kept {
		t.Errorf("uid %d mode %o %+v", st.Uid, st.Mode, found)
	}
}

func TestAPrivateFolderIsPrivate(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	f, err := Make(filepath.Join(dir, "a/b"), "job", time.Unix(0, 0))
	must(t, err)
	defer f.Close()
	for _, path := range []string{filepath.Join(dir, "a/b"), f.Path(), f.Restored()} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if _, err := Make(filepath.Join(dir, "a/b"), "job", time.Unix(0, 0)); err == nil {
		t.Error("a folder that was there was taken")
	}
	if got := Left(filepath.Join(dir, "a/b"), "job"); !slices.Equal(got, []string{f.Path()}) {
		t.Errorf("left: %q", got)
	}
	for name, make := range map[string]func(string) error{
		"another's":     func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Lchown(p, stranger, stranger)) },
		"open":          func(p string) error { return os.Mkdir(p, 0o755) },
		"not empty":     func(p string) error { return os.MkdirAll(p+"/x", 0o700) },
		"a link to one": func(p string) error { return os.Symlink(f.Restored(), p) },
	} {
		path := filepath.Join(dir, name)
		must(t, make(path))
		if opened, err := openOwn(path); err == nil {
			t.Errorf("%s: taken", name)
			opened.Close()
		}
	}
}

func TestThePrivateFolderIsOnTheFileSystemOfTheTargets(t *testing.T) {
	needsRoot(t)
	top := t.TempDir()
	for _, name := range []string{"disk", "other"} {
		must(t, os.Mkdir(top+"/"+name, 0o755))
		restictest.Disk(t, top+"/"+name, "1m")
	}
	must(t, os.MkdirAll(top+"/disk/a/b", 0o755))
	staging := top + "/staging/restore"
	target := func(paths ...string) (list []Target) {
		for _, p := range paths {
			list = append(list, Target{p, p})
		}
		return list
	}
	for _, c := range []struct {
		targets []Target
		want    string
	}{
		{target(top + "/x/y"), staging},
		{target(top+"/disk/a/b/f", top+"/disk/none/f"), top + "/disk"},
		{target(top + "/disk/f"), top + "/disk"},
	} {
		if got, err := Beside(c.targets, staging); err != nil || got != c.want {
			t.Errorf("%v: %s %v, want %s", c.targets, got, err, c.want)
		}
	}
	var unsafe *Unsafe
	if _, err := Beside(target(top+"/disk/f", top+"/other/f"), staging); !errors.As(err, &unsafe) {
		t.Errorf("two file systems: %v", err)
	}
}

func TestAPutEndsWhenItIsCancelled(t *testing.T) {
	h := newHome(t)
	f := h.restored(map[string]string{"d/a": "x", "d/b": "x"})
	defer f.Close()
	write(t, h.user, map[string]string{"d/a": "old"})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("called off"))
	_, err := f.Put(ctx, []Target{{h.user + "/d", h.user + "/d"}}, Rules{}, func(Finding) {})
	if err == nil || err.Error() != "called off" {
		t.Errorf("%v", err)
	}
	if content, _ := os.ReadFile(h.user + "/d/a"); string(content) != "old" {
		t.Errorf("%q", content)
	}
}

func TestOnlyTheOutermostPathsCount(t *testing.T) {
	got := Outermost([]string{"/a/b", "/a", "/ab", "/a", "/c/d", "/c/d/e"})
	if want := []string{"/a", "/ab", "/c/d"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := Outermost([]string{"/a", "/", "/b"}); !slices.Equal(got, []string{"/"}) {
		t.Errorf("%q", got)
	}
}

func TestWhatCannotBeRestoredIsKnown(t *testing.T) {
	needsRoot(t)
	if rights := effective(); rights&(1<<unix.CAP_CHOWN) == 0 {
		t.Errorf("root has the rights %x", rights)
	}
	if lost := Lost(); slices.Contains(lost, "owners") {
		t.Errorf("root loses %q", lost)
	}
}
