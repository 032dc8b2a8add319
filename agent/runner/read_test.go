package runner

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestFilesAreFoundInEverySnapshotTheNewestFirst(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		plant(t, p.source)
		first := p.backedUp()
		writeFile(t, filepath.Join(p.source, "c.TXT"), "three")
		second := p.again()

		t.Run("in all", func(t *testing.T) {
			rows, facts, _ := rowsOf[nodeRow, findFacts](p, "find", reading("patterns", []string{"*.txt"}, "ignore_case", true))
			var got []string
			for _, row := range rows {
				got = append(got, row.SnapshotID[:8]+" "+filepath.Base(row.Path))
				if row.Type != "file" || row.Size == nil || row.Mode != "-rw-------" || row.ModTime == nil {
					t.Errorf("%+v", row)
				}
			}
			want := []string{second[:8] + " a.txt", second[:8] + " b.txt", second[:8] + " c.TXT", first[:8] + " a.txt", first[:8] + " b.txt"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if facts != (findFacts{Snapshots: 2, Hits: 5}) {
				t.Errorf("%+v", facts)
			}
		})
		t.Run("in one, several patterns, also such that look like options", func(t *testing.T) {
			rows, _, _ := rowsOf[nodeRow, findFacts](p, "find", reading("patterns", []string{"*.txt", "-rf", "--"}, "snapshot_id", first))
			if len(rows) != 4 {
				t.Errorf("%d rows", len(rows))
			}
		})
		t.Run("nothing is a success that says so", func(t *testing.T) {
			rows, facts, outcome := rowsOf[nodeRow, findFacts](p, "find", reading("patterns", []string{"no such name"}))
			if len(rows) != 0 || facts.Hits != 0 || outcome.Message != "0 matches in 0 snapshots" {
				t.Errorf("%d rows, %+v, %q", len(rows), facts, outcome.Message)
			}
		})
		t.Run("in a snapshot that is not there it is a failure", func(t *testing.T) {
			p.do("find", reading("patterns", []string{"a"}, "snapshot_id", otherSnapshot)).want(spool.Failed, "snapshot_not_found")
		})
		t.Run("what is no pattern is refused", func(t *testing.T) {
			p.do("find", reading("patterns", []string{"[a"})).want(spool.Failed, "field_invalid")
			p.do("find", reading("patterns", []string{""})).want(spool.Rejected, "field_invalid")
			p.do("find", reading()).want(spool.Rejected, "field_required")
		})
	})
}

// resticSays is what the real program prints for people.
func (p *place) resticSays(binary string, args ...string) string {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), binary, args...)
	c.Env = []string{
		"RESTIC_REPOSITORY=" + p.config.Repositories[repositoryID].Location.Path(), "RESTIC_PASSWORD=" + password,
		"RESTIC_CACHE_DIR=" + p.t.TempDir(), "HOME=" + p.t.TempDir(),
	}
	out, err := c.Output()
	if err != nil {
		p.t.Fatalf("restic %v: %v", args, err)
	}
	return string(out)
}

// asRestic writes a size as restic prints it.
func asRestic(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.3f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.3f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func TestMeasuresAreThoseThatResticPrints(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		plant(t, p.source)
		first := p.backedUp()
		writeFile(t, filepath.Join(p.source, "large"), strings.Repeat("compressible ", 200_000))
		p.again()
		for _, mode := range []string{"", "restore-size", "raw-data", "files-by-contents", "blobs-per-file"} {
			for _, snapshot := range []string{"", first} {
				if snapshot != "" && mode != "raw-data" {
					continue // each is half a second
				}
				params, args := reading(), []string{"stats", "--no-lock"}
				if mode != "" {
					params["mode"], args = mode, append(args, "--mode="+mode)
				}
				if snapshot != "" {
					params["snapshot_id"], args = snapshot, append(args, snapshot)
				}
				_, facts, _ := rowsOf[struct{}, statsFacts](p, "stats", params)
				got := map[string]string{"Snapshots processed": fmt.Sprint(facts.Snapshots), "Total Size": asRestic(facts.Size)}
				if facts.Files > 0 {
					got["Total File Count"] = fmt.Sprint(facts.Files)
				}
				if facts.Blobs > 0 {
					got["Total Blob Count"] = fmt.Sprint(facts.Blobs)
				}
				if facts.UncompressedSize > 0 {
					got["Total Uncompressed Size"] = asRestic(facts.UncompressedSize)
					got["Compression Ratio"] = facts.Ratio
					got["Compression Progress"] = fmt.Sprintf("%.2f%%", *facts.Progress*100)
					got["Compression Space Saving"] = fmt.Sprintf("%.2f%%", *facts.Saving*100)
				}
				want := map[string]string{}
				for _, m := range regexp.MustCompile(`(?m)^ *([A-Z][A-Za-z ]+): +(.+?) *$`).FindAllStringSubmatch(p.resticSays(p.program, args...), -1) {
					want[m[1]] = m[2]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%v: restic says (-), the facts are (+)\n%s", args, diff)
				}
			}
		}
		p.do("stats", reading("snapshot_id", otherSnapshot)).want(spool.Failed, "snapshot_not_found")
		p.do("stats", reading("mode", "all")).want(spool.Rejected, "field_invalid")
	})
}

func TestTwoSnapshotsAreCompared(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		plant(t, p.source)
		first := p.backedUp()
		writeFile(t, filepath.Join(p.source, "a.txt"), "other contents")
		writeFile(t, filepath.Join(p.source, "new\nname"), "new")
		writeFile(t, filepath.Join(p.source, "more", "in it"), "more")
		if err := errors.Join(os.Remove(filepath.Join(p.source, "--")), os.Chtimes(filepath.Join(p.source, "b.txt"), time.Time{}, time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
		second := p.again()
		compare := func(metadata bool) (changes []string, facts diffFacts) {
			rows, facts, _ := rowsOf[diffRow, diffFacts](p, "diff", reading("from", first, "to", second, "metadata", metadata))
			for _, row := range rows {
				if rest, below := strings.CutPrefix(row.Path, p.source+"/"); below && rest != "" && row.Path != p.source+"/" {
					changes = append(changes, row.Modifier+" "+rest+" "+row.Change)
				}
			}
			slices.Sort(changes)
			return changes, facts
		}
		want := []string{"+ more/ added", "+ more/in it added", "+ new\nname added", "- -- removed", "M a.txt changed"}
		got, facts := compare(false)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if facts.ChangedFiles != 1 || facts.AddedFiles != 2 || facts.AddedDirs != 1 || facts.RemovedFiles != 1 || facts.AddedBytes == 0 {
			t.Errorf("%+v", facts)
		}
		want = append(want, "U b.txt metadata changed")
		if got, _ = compare(true); !cmp.Equal(want, got) {
			t.Error(cmp.Diff(want, got))
		}
		for _, pair := range [][2]string{{first, otherSnapshot}, {otherSnapshot, second}} {
			p.do("diff", reading("from", pair[0], "to", pair[1])).want(spool.Failed, "snapshot_not_found")
		}
		rows, facts, _ := rowsOf[diffRow, diffFacts](p, "diff", reading("from", first, "to", first))
		if len(rows) != 0 || facts != (diffFacts{}) {
			t.Errorf("a snapshot differs from itself: %+v %+v", rows, facts)
		}
	})
}

// stagedIn sets the folder for restores, with more of the policy's section about them.
func (p *place) stagedIn(folder, more string) {
	p.t.Helper()
	p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [" + p.config.Repositories[repositoryID].Location.Path() + "]\nrestore:\n  staging_dir: " + folder + "\n" + more)
}

func TestAFileOrFolderIsDumpedIntoAPrivateFolder(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		plant(t, p.source)
		writeFile(t, filepath.Join(p.source, "zeros"), strings.Repeat("\x00", 1<<20))
		staging := filepath.Join(t.TempDir(), "staging")
		p.stagedIn(staging, "")
		id := p.backedUp()
		dump := func(path string, members ...any) dumpFacts {
			_, facts, _ := rowsOf[struct{}, dumpFacts](p, "dump", reading(append(members, "snapshot_id", id, "path", path)...))
			info, err := os.Stat(facts.TargetPath)
			if err != nil || info.Size() != facts.Bytes || !strings.HasPrefix(facts.TargetPath, staging+"/restore-") {
				t.Fatalf("%+v: %v", facts, err)
			}
			if outer, err := os.Stat(filepath.Dir(filepath.Dir(facts.TargetPath))); err != nil || outer.Mode().Perm() != 0o700 {
				t.Errorf("the folder is open to others: %v %v", outer.Mode(), err)
			}
			return facts
		}
		t.Run("a file as it was", func(t *testing.T) {
			for _, name := range []string{"a.txt", "zeros", "-rf", "new\nline", "[x]", "*", strings.Repeat("n", 255)} {
				want, err := os.ReadFile(filepath.Join(p.source, name))
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(dump(p.source + "/" + name).TargetPath)
				if err != nil || string(got) != string(want) {
					t.Errorf("%q: %d bytes of %d, %v", name, len(got), len(want), err)
				}
			}
		})
		var names []string
		t.Run("a folder as a tar", func(t *testing.T) {
			facts := dump(p.source)
			file, err := os.Open(facts.TargetPath)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for archive := tar.NewReader(file); ; {
				head, err := archive.Next()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				names = append(names, head.Name)
			}
			if int64(len(names)) < facts.Entries-1 || !strings.HasSuffix(facts.TargetPath, "/source.tar") {
				t.Errorf("%d names, %+v", len(names), facts)
			}
		})
		t.Run("a folder as a zip", func(t *testing.T) {
			archive, err := zip.OpenReader(dump(p.source, "archive", "zip").TargetPath)
			if err != nil {
				t.Fatal(err)
			}
			defer archive.Close()
			if len(archive.File) != len(names) {
				t.Errorf("%d entries, the tar has %d", len(archive.File), len(names))
			}
		})
		t.Run("the whole snapshot", func(t *testing.T) { dump("/") })

		before := len(folders(t, staging))
		p.do("dump", reading("snapshot_id", id, "path", "/no/such")).want(spool.Failed, "path_not_found")
		p.do("dump", reading("snapshot_id", otherSnapshot, "path", p.source)).want(spool.Failed, "snapshot_not_found")
		p.do("dump", reading("snapshot_id", id, "path", p.source+"/link")).want(spool.Failed, CodeNotDumpable)
		p.do("dump", reading("snapshot_id", id, "path", "/../etc")).want(spool.Rejected, "field_invalid")
		p.stagedIn(staging, "  max_bytes: 1000\n")
		p.do("dump", reading("snapshot_id", id, "path", p.source+"/zeros")).want(spool.Failed, policy.CodeRestoreTooLarge)
		if after := len(folders(t, staging)); after != before {
			t.Errorf("%d folders are left of dumps that failed", after-before)
		}
	})
}

func folders(t *testing.T, parent string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestADumpThatIsNotWholeIsAFailure has a restic that ends well and has written too little.
func TestADumpThatIsNotWholeIsAFailure(t *testing.T) {
	target := filepath.Join(t.TempDir(), "file")
	for name, d := range map[string]toDump{
		"a file of another size": {kind: "file", bytes: 6},
		"an empty archive":       {kind: "dir", archive: "tar"},
	} {
		content := "five!"
		if d.archive != "" {
			content = ""
		}
		writeFile(t, target, content)
		if e := d.whole(target); e == nil || e.Code != CodeDumpIncomplete {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if e := (toDump{}).whole(target + ".none"); e == nil || e.Code != CodeDumpIncomplete {
		t.Errorf("no file: %+v", e)
	}
	writeFile(t, target, "")
	if e := (toDump{kind: "file", bytes: 0}).whole(target); e != nil {
		t.Errorf("an empty file: %+v", e)
	}
}

func TestADumpNeedsRoomAndThePolicysLeave(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	folder, err := stage.Make(t.TempDir(), "job", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	task := &Task{runner: p.runner, restore: restorePlan{rules: policy.Default(policy.Trusting)}}
	for _, d := range []toDump{{kind: "file", bytes: 1 << 60}, {kind: "dir", archive: "tar", entries: 1 << 50}} {
		if e := task.roomFor(folder, d); e == nil || e.Code != CodeNoSpace {
			t.Errorf("%+v: %+v", d, e)
		}
	}
	if e := task.roomFor(folder, toDump{kind: "file", bytes: 1001}); e != nil {
		t.Errorf("a kilobyte: %+v", e)
	}
	task.restore.rules.Restore.MaxBytes = 1000
	if e := task.roomFor(folder, toDump{kind: "file", bytes: 1001}); e == nil || e.Code != policy.CodeRestoreTooLarge {
		t.Errorf("more than the policy allows: %+v", e)
	}
}

func TestReadingsPinTheRepository(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.Find(t, restictest.Suites()[0]).Restic)
	p.stagedIn(t.TempDir(), "")
	id := p.backedUp()
	p.repository(func(r *Repository) { r.ResticID = otherResticID })
	for operation, members := range map[string][]any{
		"ls": {"snapshot_id", id}, "index": {"snapshot_id", id}, "find": {"patterns", []string{"a"}}, "stats": {},
		"diff": {"from", id, "to", id}, "dump": {"snapshot_id", id, "path", "/"},
	} {
		p.do(operation, reading(members...)).want(spool.Failed, CodeRepositoryChanged)
	}
}

func TestARepositoryTellsItsFacts(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.Find(t, restictest.Suites()[0]).Restic)
	identity := p.initialiseByJob()
	if _, facts, _ := rowsOf[keyRow, identifyFacts](p, "identify", reading()); !reflect.DeepEqual(facts, identifyFacts{identity.ResticId, 2, 1, []string{identity.KeyId}}) {
		t.Errorf("%+v, want those of %+v", facts, identity)
	}
	if _, facts, _ := rowsOf[struct{}, locksFacts](p, "locks", reading()); facts != (locksFacts{}) {
		t.Errorf("%+v of a repository without locks", facts)
	}
}

// TestWhatOperationsTellIsWhatTheyDeclare: a page knows the members of facts and rows from
// the operation alone.
func TestWhatOperationsTellIsWhatTheyDeclare(t *testing.T) {
	for name, told := range map[string]struct{ facts, row any }{
		"ls": {lsFacts{}, nodeRow{}}, "index": {indexFacts{}, nil}, "find": {findFacts{}, nodeRow{}}, "stats": {statsFacts{}, nil},
		"diff": {diffFacts{}, diffRow{}}, "dump": {dumpFacts{}, nil}, "identify": {identifyFacts{}, keyRow{}}, "locks": {locksFacts{}, nil},
		"restore": {restoreFacts{}, restoreRow{}},
	} {
		operation, ok := restic.OperationNamed(name)
		if !ok {
			t.Fatalf("no operation %s", name)
		}
		for what, pair := range map[string]struct {
			columns []restic.Column
			value   any
		}{"facts": {operation.Facts, told.facts}, "rows": {operation.Rows, told.row}} {
			var declared []string
			for _, c := range pair.columns {
				declared = append(declared, c.Name)
			}
			written := membersOf(pair.value)
			if name == "ls" { // rows of find name their snapshot, those of ls have one
				written = slices.DeleteFunc(written, func(n string) bool { return n == "snapshot_id" })
			}
			slices.Sort(declared)
			slices.Sort(written)
			if diff := cmp.Diff(declared, written); diff != "" {
				t.Errorf("%s of %s: declared (-), written (+)\n%s", what, name, diff)
			}
		}
	}
}

// membersOf are the names of a struct's members in JSON.
func membersOf(v any) (names []string) {
	if v == nil {
		return nil
	}
	kind := reflect.TypeOf(v)
	for i := range kind.NumField() {
		name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
