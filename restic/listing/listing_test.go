package listing

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// index is an index in memory, which counts what is read of it.
type index struct {
	blocks    map[[2]int][]byte
	reads     int
	container []byte
	summary   Summary
}

func (x *index) Block(_ context.Context, kind, number int) ([]byte, error) {
	x.reads++
	data, ok := x.blocks[[2]int{kind, number}]
	if !ok {
		return nil, fmt.Errorf("block %d of kind %d is not kept", number, kind)
	}
	return data, nil
}

// mustIndex writes entries and splits what came of them.
func mustIndex(t testing.TB, entries []Entry) *index {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	written, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	x := &index{blocks: map[[2]int][]byte{}, container: out.Bytes()}
	x.summary, err = Split(&out, func(b Block) error {
		x.blocks[[2]int{b.Kind, b.Number}] = b.Data
		return nil
	})
	if err != nil || x.summary != written {
		t.Fatalf("split: %v; %+v and %+v", err, x.summary, written)
	}
	return x
}

func mustOpen(t testing.TB, x *index) *Reader {
	t.Helper()
	r, err := Open(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// all reads every page.
func all(t testing.TB, page func(after string) ([]Entry, string, error)) (list []Entry) {
	t.Helper()
	for after := ""; ; {
		some, next, err := page(after)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, some...)
		if next == "" {
			return list
		}
		if next == after {
			t.Fatalf("the page at %q leads to itself", after)
		}
		after = next
	}
}

// tree makes a folder with all below it, in restic's order, and what an index must say.
type tree struct {
	entries []Entry
	folders map[string][]Entry // each folder's folders, then the rest
	random  *rand.Rand
}

func newTree(seed uint64) *tree {
	return &tree{folders: map[string][]Entry{"/": {}}, random: rand.New(rand.NewPCG(seed, 1))}
}

// fill puts names into a folder; a name that ends with / is a folder of the same names,
// depth deep.
func (b *tree) fill(folder string, names []string, depth int) (files, size int64) {
	slices.Sort(names)
	var dirs, rest []Entry
	for _, name := range names {
		e := Entry{
			Folder: folder, Name: strings.TrimSuffix(name, "/"), Mode: 0o640,
			ModTime: time.Unix(1_700_000_000+b.random.Int64N(1e6), 0).UTC(),
		}
		e.Lossy = strings.ContainsRune(join(folder, e.Name), '\uFFFD')
		at := len(b.entries)
		b.entries = append(b.entries, e)
		switch {
		case strings.HasSuffix(name, "/"):
			e.Type, e.Mode = Dir, fs.ModeDir|0o750
			b.folders[e.Path()] = []Entry{}
			b.entries[at] = e
			if depth > 0 {
				e.Files, e.Size = b.fill(e.Path(), slices.Clone(names), depth-1)
			}
			files, size = files+e.Files, size+e.Size
			dirs = append(dirs, e)
		case strings.HasPrefix(name, "link"):
			e.Type, e.Mode = Symlink, fs.ModeSymlink|0o777
			b.entries[at] = e
			rest = append(rest, e)
		case strings.HasPrefix(name, "pipe"):
			e.Type, e.Mode = Other, fs.ModeNamedPipe|0o600
			b.entries[at] = e
			rest = append(rest, e)
		default:
			e.Size = b.random.Int64N(1 << 40)
			b.entries[at] = e
			files, size = files+1, size+e.Size
			rest = append(rest, e)
		}
	}
	b.folders[folder] = append(dirs, rest...)
	return files, size
}

// nasty are names that somebody has given to a file.
var nasty = []string{
	"-rf", "--", " ", "new\nline", "tab\t", "\u2028", "\u202egnp.exe", "\ufffd\ufffd.bin", "<script>", "a\\b", "Ünï", "ünï", "*", "?",
	"[x]", "..a", "a..", "'\"`$(x)", "\x01\x1b[2J", "名前", strings.Repeat("n", 255), strings.Repeat("\ufffd", 255),
	"link", "pipe", "sub/", "\ufffddir/", "-dir/", strings.Repeat("d", 255) + "/",
}

func TestEveryFolderIsListedAsItWas(t *testing.T) {
	b := newTree(1)
	files, size := b.fill("/", slices.Clone(nasty), 2)
	x := mustIndex(t, b.entries)
	want := Summary{Entries: int64(len(b.entries)), Folders: int64(len(b.folders)), Files: files, Bytes: size}
	if x.summary != want {
		t.Errorf("summary %+v, want %+v", x.summary, want)
	}
	r := mustOpen(t, x)
	for folder, want := range b.folders {
		for _, limit := range []int{1, 7, 1000} {
			got := all(t, func(after string) ([]Entry, string, error) { return r.List(t.Context(), folder, after, limit) })
			compare(t, folder, got, want)
		}
	}
}

func compare(t *testing.T, what string, got, want []Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%q: %d entries, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%q: entry %d is\n%+v, want\n%+v", what, i, got[i], want[i])
		}
	}
}

func TestALargeFolderIsReadInPagesThatTouchFewBlocks(t *testing.T) {
	b := newTree(2)
	var names []string
	for i := range 20_000 {
		names = append(names, fmt.Sprintf("file-%07d-of-many.dat", i))
		if i%10 == 0 {
			names = append(names, fmt.Sprintf("folder-%07d/", i))
		}
	}
	b.fill("/", []string{"large/", "before/", "then.txt"}, 0)
	b.entries = nil
	b.entries = append(b.entries, Entry{Name: "large", Folder: "/", Type: Dir})
	b.fill("/large", names, 0)
	x := mustIndex(t, b.entries)
	r := mustOpen(t, x)
	want := b.folders["/large"]
	got := all(t, func(after string) ([]Entry, string, error) {
		x.reads = 0
		page, next, err := r.List(t.Context(), "/large/", after, 200)
		if x.reads > 4 {
			t.Errorf("a page of 200 entries reads %d blocks", x.reads)
		}
		return page, next, err
	})
	compare(t, "/large", got, want)
}

func TestSearchFindsNamesAndPathsInAnyCase(t *testing.T) {
	b := newTree(3)
	b.fill("/", []string{"Report.TXT", "report.txt.bak", "sub/", "Ünïcode", "other"}, 2)
	x := mustIndex(t, b.entries)
	r := mustOpen(t, x)
	for _, c := range []struct {
		query Query
		want  func(Entry) bool
	}{
		{Query{Text: "REPORT"}, func(e Entry) bool { return strings.HasPrefix(strings.ToLower(e.Name), "report") }},
		{Query{Text: "*.txt"}, func(e Entry) bool { return e.Name == "Report.TXT" }},
		{Query{Text: "report.t?t*"}, func(e Entry) bool { return strings.HasPrefix(strings.ToLower(e.Name), "report") }},
		{Query{Text: "üNï"}, func(e Entry) bool { return e.Name == "Ünïcode" }},
		{Query{Text: "?nï*"}, func(e Entry) bool { return e.Name == "Ünïcode" }},
		{Query{Text: "sub/oth"}, func(e Entry) bool { return strings.HasSuffix(e.Path(), "sub/other") }},
		{Query{Text: "/sub/*/other"}, func(e Entry) bool { return e.Path() == "/sub/sub/other" || e.Path() == "/sub/sub/sub/other" }},
		{Query{Text: "other", Under: "/sub/sub"}, func(e Entry) bool { return strings.HasPrefix(e.Path(), "/sub/sub/") && e.Name == "other" }},
		{Query{Text: "nothing of the kind"}, func(Entry) bool { return false }},
	} {
		var want []string
		for _, e := range b.entries {
			if c.want(e) {
				want = append(want, e.Path())
			}
		}
		for _, limit := range []int{1, 2, 100} {
			var got []string
			for _, e := range all(t, func(after string) ([]Entry, string, error) { return r.Search(t.Context(), c.query, after, limit) }) {
				got = append(got, e.Path())
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%+v finds\n%q, want\n%q", c.query, got, want)
			}
		}
	}
}

func TestFoldersWhoseNamesBecameTheSameAreOne(t *testing.T) {
	twin := Entry{Folder: "/", Name: "\ufffd", Type: Dir}
	x := mustIndex(t, []Entry{twin, {Folder: "/\ufffd", Name: "a"}, twin, {Folder: "/\ufffd", Name: "b"}})
	list, _, err := mustOpen(t, x).List(t.Context(), "/\ufffd", "", 10)
	if err != nil || len(list) != 2 || !list[0].Lossy || list[0].Name+list[1].Name != "ab" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestACrowdOfFoldersOfOnePathIsBounded: names that became the same text must not make a
// block that is too large to be written.
func TestACrowdOfFoldersOfOnePathIsBounded(t *testing.T) {
	if size := unsafe.Sizeof(record{}); size != 16 {
		t.Errorf("a folder takes %d bytes until the index is written", size)
	}
	var records []record
	for hash, n := range []int{2, 3 * maxSame, 1, maxSame + 1, maxSame} {
		records = append(records, slices.Repeat([]record{{hash: uint64(hash)}}, n)...)
	}
	var got [5]int
	for _, r := range withoutCrowds(records) {
		got[r.hash]++
	}
	if want := [5]int{2, maxSame, 1, maxSame, maxSame}; got != want {
		t.Errorf("of each path %v are kept, want %v", got, want)
	}
}

func TestWhatIsNoFolderIsSaidToBeNone(t *testing.T) {
	x := mustIndex(t, []Entry{{Folder: "/", Name: "file"}, {Folder: "/", Name: "empty", Type: Dir}})
	r := mustOpen(t, x)
	for _, folder := range []string{"/file", "/missing", "/empty/deeper"} {
		if _, _, err := r.List(t.Context(), folder, "", 10); !errors.Is(err, ErrNoFolder) {
			t.Errorf("%s: %v", folder, err)
		}
	}
	for _, folder := range []string{"/empty", "/", ""} {
		if _, _, err := r.List(t.Context(), folder, "", 10); err != nil {
			t.Errorf("%s: %v", folder, err)
		}
	}
	for _, after := range []string{"x", "1", "2.0.0", "0.99.0", "-1.0.0", "0.0.0.0", "99999999999999999999.0.0"} {
		if _, _, err := r.List(t.Context(), "/", after, 10); !errors.Is(err, ErrPosition) {
			t.Errorf("position %q: %v", after, err)
		}
	}
}

func TestAnEmptySnapshotHasAnIndex(t *testing.T) {
	r := mustOpen(t, mustIndex(t, nil))
	list, next, err := r.List(t.Context(), "/", "", 10)
	if err != nil || len(list) != 0 || next != "" {
		t.Errorf("%v %q %v", list, next, err)
	}
	if list, _, err := r.Search(t.Context(), Query{Text: "x"}, "", 10); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

func TestEntriesOutOfOrderAreRefused(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"a folder that was not listed":      {{Folder: "/a", Name: "x"}},
		"a folder that was closed":          {{Folder: "/", Name: "a", Type: Dir}, {Folder: "/", Name: "b"}, {Folder: "/a", Name: "x"}},
		"a name that leads out":             {{Folder: "/", Name: ".."}},
		"a name with a slash":               {{Folder: "/", Name: "a/b"}},
		"no name":                           {{Folder: "/"}},
		"a name that is not UTF-8":          {{Folder: "/", Name: "\xff"}},
		"a folder that is named by a slash": {{Folder: "/", Name: "a", Type: Dir}, {Folder: "/a/", Name: "b"}},
	} {
		w := NewWriter(&bytes.Buffer{})
		var err error
		for _, e := range entries {
			err = cmp.Or(err, w.Add(e))
		}
		if _, closed := w.Close(); err == nil || closed == nil {
			t.Errorf("%s: %v, %v", name, err, closed)
		}
	}
}

func TestPathsThatAreTooLongAreCountedAndLeftOut(t *testing.T) {
	x := mustIndex(t, []Entry{{Folder: "/", Name: strings.Repeat("x", maxName+1)}, {Folder: "/", Name: "y"}})
	if x.summary.Skipped != 1 || x.summary.Entries != 1 {
		t.Errorf("%+v", x.summary)
	}
	long := "/a/" + strings.Repeat("x", maxName+1) // what is in it has paths that are short enough
	x = mustIndex(t, []Entry{
		{Folder: "/", Name: "a", Type: Dir}, {Folder: "/a", Name: long[3:], Type: Dir}, {Folder: long, Name: long[3:], Type: Dir}, {Folder: long, Name: "b", Type: Dir},
		{Folder: long + "/b", Name: "c"}, {Folder: "/a", Name: "y"}, {Folder: "/", Name: "z"},
	})
	if x.summary.Skipped != 4 || x.summary.Entries != 3 {
		t.Errorf("below a folder that is left out: %+v", x.summary)
	}
	if list, _, err := mustOpen(t, x).List(t.Context(), "/a", "", 10); err != nil || len(list) != 1 || list[0].Name != "y" {
		t.Errorf("beside it: %+v, %v", list, err)
	}
}

func TestTimesAndSizesAtTheirEndsSurvive(t *testing.T) {
	entries := []Entry{
		{Folder: "/", Name: "early", ModTime: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), Size: 1 << 62},
		{Folder: "/", Name: "late", ModTime: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), Mode: 0o7777 | fs.ModeSetuid},
		{Folder: "/", Name: "later", ModTime: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	list, _, err := mustOpen(t, mustIndex(t, entries)).List(t.Context(), "/", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	entries[2].ModTime = entries[1].ModTime
	compare(t, "/", list, entries)
}
