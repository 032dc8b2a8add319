package runner

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic/listing"
	"restic-manager/restic/restictest"
)

// nasty are names that somebody has given to a file; a / at the end makes a folder.
var nasty = []string{
	"-rf", "--", " ", "new\nline", "tab\t", "\u2028", "<a>&", "a\\b", "Ünï", "*", "[x]", "'\"`$(x)", "\x01\x1b[2J", "名前",
	"\xff\xfe.bin", strings.Repeat("n", 255), "-dir/", "dir with a\nline/", "\xffdir/", strings.Repeat("d", 255) + "/",
}

// plant makes files of nasty names in a folder, and in each of its folders.
func plant(t *testing.T, folder string) {
	t.Helper()
	for _, name := range nasty {
		if sub, is := strings.CutSuffix(name, "/"); is {
			writeFile(t, filepath.Join(folder, sub, "in it"), "inner")
			continue
		}
		writeFile(t, filepath.Join(folder, name), "x"+name)
	}
	if err := os.Symlink("a.txt", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
}

// backedUp makes a repository with one snapshot of the place's source.
func (p *place) backedUp() (snapshot string) {
	p.t.Helper()
	p.initialise()
	return p.again()
}

// again makes another snapshot.
func (p *place) again() string {
	p.t.Helper()
	return p.do("backup", backupParams()).want(spool.Succeeded, "").SnapshotId
}

// reading is the params of an operation on a repository.
func reading(members ...any) map[string]any {
	params := repositoryParams()
	for i := 0; i < len(members); i += 2 {
		params[members[i].(string)] = members[i+1]
	}
	return params
}

// result runs an operation, and returns what it handed over.
func (p *place) result(operation string, params map[string]any) (recorded, []byte) {
	p.t.Helper()
	job := p.command(operation, params)
	p.runner.Run(p.t.Context(), job)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recorded(job.ID), p.listings[job.ID]
}

// rows runs an operation that must succeed, and returns its rows and facts.
func rowsOf[Row, Facts any](p *place, operation string, params map[string]any) (rows []Row, facts Facts, outcome control.Outcome) {
	p.t.Helper()
	done, artifact := p.result(operation, params)
	outcome = done.want(spool.Succeeded, "")
	if err := json.Unmarshal(outcome.Facts, &facts); err != nil {
		p.t.Fatalf("facts %s: %v", outcome.Facts, err)
	}
	if len(artifact) > 0 {
		zip, err := gzip.NewReader(bytes.NewReader(artifact))
		if err != nil {
			p.t.Fatal(err)
		}
		for lines := json.NewDecoder(zip); ; {
			var row Row
			if err := lines.Decode(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				p.t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	if outcome.Rows != int64(len(rows)) {
		p.t.Errorf("%d rows came, and the outcome says %d", len(rows), outcome.Rows)
	}
	return rows, facts, outcome
}

// onBoth runs a test with the restic of each suite.
func onBoth(t *testing.T, test func(*testing.T, *place)) {
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) { t.Parallel(); test(t, newPlace(t, restictest.Find(t, suite).Restic)) })
	}
}

const otherSnapshot = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestASnapshotIsListedWithEveryName(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		plant(t, p.source)
		id := p.backedUp()
		whole, facts, _ := rowsOf[nodeRow, lsFacts](p, "ls", reading("snapshot_id", id))
		want := map[string]string{}
		var bytes int64
		err := filepath.WalkDir(p.source, func(path string, d os.DirEntry, err error) error {
			info, infoErr := os.Lstat(path)
			if err = errors.Join(err, infoErr); err != nil {
				return err
			}
			if info.Mode().IsRegular() {
				bytes += info.Size()
			}
			// Each byte that is not UTF-8 becomes a sign of its own.
			var lossy strings.Builder
			for _, r := range path {
				lossy.WriteRune(r)
			}
			want[lossy.String()] = info.Mode().String()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		below := 0
		for _, row := range whole {
			if !strings.HasPrefix(row.Path, p.source) {
				continue // a folder on the way
			}
			below++
			if mode, ok := want[row.Path]; !ok || mode != row.Mode || row.ModTime == nil {
				t.Errorf("%q is listed as %+v, want mode %s", row.Path, row, mode)
			}
		}
		if below != len(want) || facts.Entries != int64(len(whole)) || facts.Bytes != bytes {
			t.Errorf("%d of %d entries, %+v, want %d bytes", below, len(want), facts, bytes)
		}
		t.Run("of a folder, what is right in it", func(t *testing.T) {
			rows, _, _ := rowsOf[nodeRow, lsFacts](p, "ls", reading("snapshot_id", id, "path", p.source+"/-dir"))
			if len(rows) != 2 || rows[1].Path != p.source+"/-dir/in it" {
				t.Errorf("%+v", rows)
			}
		})
		t.Run("of a folder with what is below", func(t *testing.T) {
			rows, _, _ := rowsOf[nodeRow, lsFacts](p, "ls", reading("snapshot_id", id, "path", p.source, "recursive", true))
			if len(rows) != len(want) {
				t.Errorf("%d rows, want %d", len(rows), len(want))
			}
		})
		t.Run("of the root", func(t *testing.T) {
			rows, _, _ := rowsOf[nodeRow, lsFacts](p, "ls", reading("snapshot_id", id, "path", "/"))
			all, _, _ := rowsOf[nodeRow, lsFacts](p, "ls", reading("snapshot_id", id, "path", "/", "recursive", true))
			if len(rows) != 1 || len(all) != len(whole) {
				t.Errorf("%d and %d rows", len(rows), len(all))
			}
		})
		t.Run("a path that is not there is a failure", func(t *testing.T) {
			p.do("ls", reading("snapshot_id", id, "path", "/no/such")).want(spool.Failed, "path_not_found")
		})
		t.Run("a snapshot that is not there is a failure", func(t *testing.T) {
			for _, operation := range []string{"ls", "index"} {
				p.do(operation, reading("snapshot_id", otherSnapshot)).want(spool.Failed, "snapshot_not_found")
			}
		})
		t.Run("a path that is none is refused", func(t *testing.T) {
			for _, path := range []string{"../etc", "a", "/a/../b", "/a/", "//"} {
				p.do("ls", reading("snapshot_id", id, "path", path)).want(spool.Rejected, "field_invalid")
			}
		})
	})
}

// blocks is an index as the server keeps it.
type blocks map[[2]int][]byte

func (b blocks) Block(_ context.Context, kind, number int) ([]byte, error) {
	data, ok := b[[2]int{kind, number}]
	if !ok {
		return nil, fmt.Errorf("no block %d of kind %d", number, kind)
	}
	return data, nil
}

// indexed runs the index operation and opens what came of it.
func (p *place) indexed(snapshot string) (*listing.Reader, indexFacts) {
	p.t.Helper()
	done, artifact := p.result("index", reading("snapshot_id", snapshot))
	var facts indexFacts
	if err := json.Unmarshal(done.want(spool.Succeeded, "").Facts, &facts); err != nil {
		p.t.Fatal(err)
	}
	kept := blocks{}
	summary, err := listing.Split(bytes.NewReader(artifact), func(b listing.Block) error {
		kept[[2]int{b.Kind, b.Number}] = b.Data
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	want := indexFacts{
		Entries: summary.Entries, Folders: summary.Folders, TotalBytes: summary.Bytes, Skipped: summary.Skipped, Bytes: int64(len(artifact)),
	}
	if facts != want {
		p.t.Errorf("facts %+v, want %+v", facts, want)
	}
	reader, err := listing.Open(p.t.Context(), kept)
	if err != nil {
		p.t.Fatal(err)
	}
	return reader, facts
}

// TestAnIndexSaysWhatTheListingSays compares both, of a snapshot with 20 000 entries and
// every kind of name.
func TestAnIndexSaysWhatTheListingSays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		plant(t, p.source)
		for i := range 20_000 {
			folder := filepath.Join(p.source, "many", fmt.Sprint(i%100))
			if i < 100 {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file %d.txt", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		id := p.backedUp()
		reader, facts := p.indexed(id)
		whole, listed, _ := rowsOf[nodeRow, lsFacts](p, "ls", reading("snapshot_id", id))
		if facts.Entries != listed.Entries || facts.TotalBytes != listed.Bytes || facts.Bytes > 20*facts.Entries {
			t.Errorf("facts %+v and %+v", facts, listed)
		}
		want := map[string]string{}
		for _, row := range whole {
			want[row.Path] = row.Type + row.Mode + row.ModTime.Format("2006-01-02T15:04:05")
		}
		got := map[string]string{}
		folders := []string{"/"}
		for len(folders) > 0 {
			folder := folders[0]
			folders = folders[1:]
			for after := ""; ; {
				page, next, err := reader.List(t.Context(), folder, after, 100)
				if err != nil {
					t.Fatalf("%q: %v", folder, err)
				}
				for _, e := range page {
					got[e.Path()] = e.Type.String() + e.Mode.String() + e.ModTime.Format("2006-01-02T15:04:05")
					if e.Type == listing.Dir {
						folders = append(folders, e.Path())
					}
					if lossy := strings.ContainsRune(e.Path(), '\uFFFD'); lossy != e.Lossy {
						t.Errorf("%q is lossy: %v", e.Path(), e.Lossy)
					}
				}
				if after = next; next == "" {
					break
				}
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d entries, want %d", len(got), len(want))
		}
		for path, w := range want {
			if got[path] != w {
				t.Errorf("%q: %s, want %s", path, got[path], w)
			}
		}
		found, _, err := reader.Search(t.Context(), listing.Query{Text: "FILE 123?.txt", Under: p.source + "/many"}, "", 100)
		names := []string{}
		for _, e := range found {
			names = append(names, e.Name)
		}
		slices.Sort(names)
		if err != nil || len(names) != 10 || names[0] != "file 1230.txt" {
			t.Errorf("%q %v", names, err)
		}
	})
}

func TestAnIndexThatNobodyTakesIsAFailure(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.Find(t, restictest.Suites()[0]).Restic)
	id := p.backedUp()
	p.options.Listings = &takes{err: errors.New("no such job")}
	p.runner = New(p.options)
	p.do("index", reading("snapshot_id", id)).want(spool.Failed, CodeListingNotDelivered)
	p.do("ls", reading("snapshot_id", id)).want(spool.Failed, CodeListingNotDelivered)
}
