package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// stored lists what the newest snapshot of the place has, below its source.
func (p *place) stored(bins restictest.Binaries, id string) []string {
	p.t.Helper()
	c := exec.Command(bins.Restic, "ls", id)
	c.Env = []string{"RESTIC_REPOSITORY=" + p.folder(), "RESTIC_PASSWORD=" + password, "RESTIC_CACHE_DIR=" + p.t.TempDir(), "HOME=" + p.t.TempDir()}
	text, err := c.Output()
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), p.source+"/"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestWhatIsChosenForABackupHolds(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		bins := restictest.Find(t, suite)
		p := newPlace(t, bins.Restic)
		p.initialise()
		lists := filepath.Join(filepath.Dir(p.source), "lists", "patterns")
		writeFile(t, lists, "# what nobody needs\n\n*.tmp\n  cost$$\n")
		for name, text := range map[string]string{
			"x.tmp": "1", "cost$": "1", "large": strings.Repeat("x", 5000), "cache/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55", "cache/file": "1",
			"skip/.nobackup": "", "skip/file": "1",
		} {
			writeFile(t, filepath.Join(p.source, name), text)
		}
		p.schedule(func(s *Schedule) {
			s.Options = restic.BackupOptions{
				ExcludeFiles: []string{lists}, ExcludeIfPresent: []string{".nobackup"}, ExcludeLargerThan: 4000, ExcludeCaches: true,
				OneFileSystem: true, Compression: "max", ReadConcurrency: 3,
			}
		})
		got := p.stored(bins, p.again())
		want := []string{"a.txt", "b.txt", "cache", "cache/CACHEDIR.TAG", "skip", "skip/.nobackup"}
		if !slices.Equal(got, want) {
			t.Errorf("stored %v, want %v", got, want)
		}
	})
}

func TestABackupOfWhatHasNotChangedIsTheSnapshotBeforeIt(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		// What restic compares has the folders above the source in it: none of these changes.
		p.schedule(func(s *Schedule) { s.Options.SkipIfUnchanged, s.Paths = true, []string{"/usr/bin/env"} })
		first := p.again()
		done := p.do("backup", backupParams())
		got := done.want(spool.Succeeded, CodeUnchanged)
		if got.SnapshotId != first || !got.Confirmed || done.finished[0].Snapshot != nil {
			t.Errorf("it stands for %s, want %s; it told of %+v", got.SnapshotId, first, done.finished[0].Snapshot)
		}
		if n := len(p.snapshots()); n != 1 {
			t.Errorf("there are %d snapshots", n)
		}

		// A snapshot of somebody else does not stand for it, however alike.
		const other = "0193a5c0-0000-7000-8000-0000000000ff"
		p.mu.Lock()
		s := p.config.Schedules[scheduleID]
		s.ID = other
		p.config.Schedules = map[string]Schedule{scheduleID: p.config.Schedules[scheduleID], other: s}
		p.mu.Unlock()
		if parent := p.parentOf(other); parent != "" {
			t.Errorf("the parent is %q", parent)
		}
		if parent := p.parentOf(scheduleID); parent != first {
			t.Errorf("the parent is %q, want %q", parent, first)
		}
		p.schedule(func(s *Schedule) { s.Paths = append(s.Paths, p.source) })
		if third := p.again(); third == first {
			t.Error("a change made no snapshot")
		}
	})
}

// parentOf is the snapshot that a backup of a schedule would be compared with.
func (p *place) parentOf(schedule string) string {
	p.t.Helper()
	task, refused := p.runner.admit(p.command("backup", map[string]any{"schedule_id": schedule, "schedule_version": 3}))
	if refused != nil {
		p.t.Fatal(refused)
	}
	if e := task.open(p.t.Context()); e != nil {
		p.t.Fatal(e)
	}
	if e := task.findParent(p.t.Context()); e != nil {
		p.t.Fatal(e)
	}
	return task.parent
}

func TestOnlyASnapshotOfTheSamePathsIsTheParent(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	entry := func(id, when, path string) string {
		return `{"time":"` + when + `","tree":"t","paths":["` + path + `"],"hostname":"web-1","tags":["rm:schedule:x"],"id":"` + strings.Repeat(id, 64) + `"}`
	}
	fake := restictest.NewFake(t, fakeScript())
	p := newPlace(t, fake.Path())
	fake.SetScript(fakeScript(says("snapshots", "["+strings.Join([]string{
		entry("a", at(-3*time.Hour), p.source), entry("b", at(-2*time.Hour), p.source), entry("c", at(-time.Hour), "/elsewhere"), entry("d", at(time.Hour), p.source),
	}, ",")+"]", 0)))
	if parent := p.parentOf(scheduleID); parent != strings.Repeat("b", 64) {
		t.Errorf("the parent is %.8s", parent)
	}
}

func TestAPreviewStoresNothing(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		p := maintained(t, suite)
		p.schedule(func(s *Schedule) { s.Options.SkipIfUnchanged = true })
		p.again()
		writeFile(t, filepath.Join(p.source, "new.txt"), incompressible(10_000))
		done := p.do("preview", backupParams())
		got := done.want(spool.Succeeded, "")
		done.wantFacts("preview", map[string]any{"planned_files": 3.0, "new_files": 1.0, "errors": 0.0})
		if got.SnapshotId != "" || got.Confirmed || done.finished[0].Snapshot != nil || len(p.snapshots()) != 1 {
			t.Errorf("a preview told of a snapshot: %+v", got)
		}
	})
}

func TestExcludeFilesAreReadWithinThePolicy(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, fakeScript(catConfig(), says("backup", summary(), 0), listed("x"))).Path())
	folder := filepath.Dir(p.source)
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		writeFile(t, path, text)
		return path
	}
	choose := func(o restic.BackupOptions) { p.schedule(func(s *Schedule) { s.Options = o }) }
	refused := func(code string) {
		t.Helper()
		p.do("backup", backupParams()).want(spool.Rejected, code)
	}
	rules := "version: 1\nprofile: guarded\nrepos:\n  allow: [" + p.folder() + "]\nbackup:\n  allow_roots: [" + p.source + ", " + filepath.Join(folder, "lists") + ", /dev]\n"
	p.writePolicy(rules)

	choose(restic.BackupOptions{ExcludeFiles: []string{write("elsewhere", "*.tmp\n")}})
	refused(policy.CodePathNotAllowed)
	choose(restic.BackupOptions{ExcludeFiles: []string{filepath.Join(folder, "lists", "missing")}})
	refused(CodeExcludeFile)
	choose(restic.BackupOptions{ExcludeFiles: []string{p.source}})
	refused(CodeExcludeFile)
	choose(restic.BackupOptions{ExcludeFiles: []string{"/dev/null"}})
	refused(CodeExcludeFile)
	choose(restic.BackupOptions{ExcludeFiles: []string{write("lists/bad", "[\n")}})
	refused(CodeExcludeFile)
	choose(restic.BackupOptions{ExcludeFiles: []string{write("lists/many", strings.Repeat("*.x\n", 300))}})
	refused(policy.CodeTooManyExcludes)

	// What no backup may leave out stays in, whichever way it would go.
	p.writePolicy(rules + "  must_include: [" + filepath.Join(p.source, "keep") + "]\n")
	writeFile(t, filepath.Join(p.source, "keep", "file"), "1")
	choose(restic.BackupOptions{ExcludeFiles: []string{write("lists/all", "keep\n")}})
	refused(policy.CodePathRequired)
	choose(restic.BackupOptions{ExcludeIfPresent: []string{"a.txt"}})
	refused(policy.CodePathRequired)
	choose(restic.BackupOptions{ExcludeLargerThan: 1})
	refused(policy.CodePathRequired)
	choose(restic.BackupOptions{ExcludeIfPresent: []string{"none-such"}, ExcludeLargerThan: 1 << 30, ExcludeCaches: true, OneFileSystem: true})
	p.do("backup", backupParams()).want(spool.Succeeded, "")
	writeFile(t, filepath.Join(p.source, "CACHEDIR.TAG"), "")
	refused(policy.CodePathRequired)
	if err := os.Remove(filepath.Join(p.source, "CACHEDIR.TAG")); err != nil {
		t.Fatal(err)
	}

	p.writePolicy(rules)
	choose(restic.BackupOptions{UseFSSnapshot: true})
	refused("field_invalid")
}
