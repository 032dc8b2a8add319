package listing

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

var packer = sync.OnceValues(func() (*zstd.Encoder, error) { return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) })

// packed is a block as a hostile agent could make it.
func packed(t testing.TB, plain []byte) []byte {
	t.Helper()
	zip, err := packer()
	if err != nil {
		t.Fatal(err)
	}
	return zip.EncodeAll(plain, nil)
}

// container puts blocks behind the magic.
func container(blocks ...Block) []byte {
	out := []byte(magic)
	for _, b := range blocks {
		out = append(out, frame(b)...)
	}
	return out
}

func TestContainersThatNoWriterHasWrittenAreRefused(t *testing.T) {
	x := mustIndex(t, []Entry{{Folder: "/", Name: "a"}})
	root := Block{Kind: KindRoot, Data: x.blocks[[2]int{KindRoot, 0}]}
	folders := Block{Kind: KindFolders, Data: x.blocks[[2]int{KindFolders, 0}]}
	entries := Block{Kind: KindEntries, Data: x.blocks[[2]int{KindEntries, 0}]}
	second := entries
	second.Number = 1
	huge := container(entries)
	binary.BigEndian.PutUint32(huge[len(magic)+5:], MaxBlock+1)
	for name, text := range map[string][]byte{
		"nothing":                 nil,
		"another format":          []byte("PK\x03\x04 and so on"),
		"no root":                 container(entries, folders),
		"a block that is missing": container(folders, root),
		"a block too many":        container(entries, second, folders, root),
		"a block twice":           container(entries, entries, folders, root),
		"a block out of turn":     container(second, folders, root),
		"another kind":            container(Block{Kind: 3, Data: []byte("x")}),
		"a huge block":            huge,
		"an empty block":          container(Block{Kind: KindEntries}),
		"a root that is none":     container(entries, folders, Block{Data: packed(t, []byte("no"))}),
		"something behind it":     append(container(entries, folders, root), 0),
		"half of it":              x.container[:len(x.container)/2],
	} {
		if _, err := Split(bytes.NewReader(text), func(Block) error { return nil }); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("and what the taker says ends it", func(t *testing.T) {
		full := errors.New("full")
		if _, err := Split(bytes.NewReader(x.container), func(Block) error { return full }); !errors.Is(err, full) {
			t.Error(err)
		}
	})
	t.Run("and what the reading says", func(t *testing.T) {
		gone := errors.New("gone")
		broken := io.MultiReader(bytes.NewReader(x.container[:20]), brokenReader{gone})
		if _, err := Split(broken, func(Block) error { return nil }); !errors.Is(err, gone) {
			t.Error(err)
		}
	})
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// one is an index with one block of each kind.
func one(t testing.TB, entries []byte, folder string, blocks int) *index {
	t.Helper()
	hash := hashOf(folder)
	table := append(binary.AppendUvarint(binary.AppendUvarint(nil, 0), formOne), 0)
	return &index{blocks: map[[2]int][]byte{
		{KindRoot, 0}:    packed(t, encodeRoot(root{entryBlocks: blocks, firsts: []uint64{hash}})),
		{KindFolders, 0}: packed(t, table),
		{KindEntries, 0}: packed(t, entries),
	}}
}

// TestBlocksThatWouldGrowAreRefused: a few hundred bytes of an index must not become
// gigabytes in the server.
func TestBlocksThatWouldGrowAreRefused(t *testing.T) {
	sharing := func(folder string, name int) []byte {
		r := &run{}
		r.add(&Entry{Name: strings.Repeat("n", name), ModTime: time.Unix(0, 0)})
		for range 20_000 {
			r.names = append(binary.AppendUvarint(r.names, uint64(name)), 0)
			r.metas, r.times, r.sizes = append(r.metas, 0), append(r.times, 0), append(r.sizes, 0)
			r.count++
		}
		return appendSegment(nil, "", folder, &run{}, r)
	}
	for name, plain := range map[string][]byte{
		"a block of zeros that expands":      make([]byte, maxPlain+1),
		"names that share all of a long one": sharing("/", maxName),
		"a name that is too long":            sharing("/", maxName+1),
	} {
		for what, read := range readers(t, one(t, plain, "/", 1), "/") {
			if err := read(); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	t.Run("a long folder before many names", func(t *testing.T) {
		folder := "/" + strings.Repeat("f", maxPath-1)
		r := mustOpen(t, one(t, sharing(folder, 5), folder, 1))
		if _, _, err := r.Search(t.Context(), Query{Text: "a/b"}, "", 10); !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}

func readers(t testing.TB, x *index, folder string) map[string]func() error {
	return map[string]func() error{
		"list": func() error {
			r, err := Open(t.Context(), x)
			if err == nil {
				_, _, err = r.List(t.Context(), folder, "", 1000)
			}
			return err
		},
		"search": func() error {
			r, err := Open(t.Context(), x)
			if err == nil {
				_, _, err = r.Search(t.Context(), Query{Text: "n"}, "", 1000)
			}
			return err
		},
	}
}

func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	for _, name := range []string{"..", ".", "a/b", "a\x00", "\xff", ""} {
		r := &run{}
		r.add(&Entry{Name: name, ModTime: time.Unix(0, 0)})
		x := one(t, appendSegment(nil, "", "/", &run{}, r), "/", 1)
		if _, _, err := mustOpen(t, x).List(t.Context(), "/", "", 10); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestAnIndexOfManyBlocksIsReadInMeasure: an index may claim a million blocks.
func TestAnIndexOfManyBlocksIsReadInMeasure(t *testing.T) {
	empty := appendSegment(nil, "", "/", &run{}, &run{})
	x := &same{index: *one(t, empty, "/", MaxBlocks)}
	r, err := Open(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	x.reads = 0
	if _, next, err := r.Search(t.Context(), Query{Text: "x"}, "", 10); err != nil || next == "" || x.reads > searchBlocks {
		t.Errorf("a search reads %d blocks: %q %v", x.reads, next, err)
	}
	table := binary.AppendUvarint(nil, 0)
	table = binary.AppendUvarint(table, 300<<1|formSeveral)
	table = binary.AppendUvarint(table, 0)
	table = append(table, 0)
	table = binary.AppendUvarint(table, 300)
	table = append(append(table, 0), bytes.Repeat([]byte{1}, 299)...)
	x.blocks[[2]int{KindFolders, 0}] = packed(t, table)
	x.reads = 0
	if _, next, err := r.List(t.Context(), "/", "", 10); err != nil || next == "" || x.reads > listBlocks+2 {
		t.Errorf("a list reads %d blocks: %q %v", x.reads, next, err)
	}
}

// same gives the same block under each number.
type same struct{ index }

func (s *same) Block(ctx context.Context, kind, _ int) ([]byte, error) {
	return s.index.Block(ctx, kind, 0)
}

// FuzzReader gives a Reader whatever an agent may have written: it must end, with entries
// or with an error.
func FuzzReader(f *testing.F) {
	b := newTree(4)
	b.fill("/", append([]string(nil), nasty...), 1)
	x := mustIndex(f, b.entries)
	plain := func(kind int) []byte {
		p, err := expand(x.blocks[[2]int{kind, 0}])
		if err != nil {
			f.Fatal(err)
		}
		return p
	}
	f.Add(plain(KindRoot), plain(KindFolders), plain(KindEntries), "/sub", "n", "0.0.0")
	f.Add([]byte{1, 0, 0, 0, 0, 0, 1, 1, 0}, []byte{0, 1, 0, 1, 0, 1, 0}, []byte{0, 1, '/', 0, 0}, "/", "/*a?", "")
	f.Fuzz(func(t *testing.T, root, folders, entries []byte, folder, text, after string) {
		x := &same{index{blocks: map[[2]int][]byte{
			{KindRoot, 0}: packed(t, root), {KindFolders, 0}: packed(t, folders), {KindEntries, 0}: packed(t, entries),
		}}}
		r, err := Open(t.Context(), x)
		if err != nil {
			return
		}
		check := func(list []Entry, _ string, err error) {
			for _, e := range list {
				if !goodName(e.Name) || e.ModTime.Year() > 9999 || e.Size < 0 || e.Files < 0 {
					t.Errorf("%+v", e)
				}
			}
			if len(list) > 50 {
				t.Errorf("a page of %d", len(list))
			}
		}
		check(r.List(t.Context(), folder, after, 50))
		check(r.Search(t.Context(), Query{Text: text, Under: folder}, after, 50))
	})
}

// FuzzSplit gives the server's side any bytes.
func FuzzSplit(f *testing.F) {
	x := mustIndex(f, []Entry{{Folder: "/", Name: "a", Type: Dir}, {Folder: "/a", Name: "b"}})
	f.Add(x.container)
	f.Fuzz(func(t *testing.T, text []byte) {
		taken := 0
		summary, err := Split(bytes.NewReader(text), func(b Block) error {
			if taken++; len(b.Data) > MaxBlock {
				return fmt.Errorf("%d bytes", len(b.Data))
			}
			return nil
		})
		if err == nil && (taken < 1 || summary.Entries < 0) {
			t.Errorf("%d blocks, %+v", taken, summary)
		}
	})
}
