package listing

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Source gives the blocks of one index.
type Source interface {
	// Block returns a block's data as Split gave it.
	Block(ctx context.Context, kind, number int) ([]byte, error)
}

// How many blocks one call reads: what is left is on the next page.
const (
	listBlocks   = 64
	searchBlocks = 512
)

// Reader reads an index. It is safe for concurrent use if its Source is.
//
// Its errors are the Source's, ErrDamaged, ErrNoFolder and ErrPosition.
type Reader struct {
	source Source
	root   root
}

// Open reads the root of an index.
func Open(ctx context.Context, source Source) (*Reader, error) {
	data, err := source.Block(ctx, KindRoot, 0)
	if err != nil {
		return nil, err
	}
	root, err := decodeRoot(data)
	if err != nil {
		return nil, err
	}
	return &Reader{source: source, root: root}, nil
}

// Summary is what the index is about.
func (r *Reader) Summary() Summary { return r.root.Summary }

// expander decompresses; it keeps no state between blocks.
var expander = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPlain), zstd.WithDecoderLowmem(true))
})

// expand decompresses a block, to at most maxPlain bytes.
func expand(data []byte) ([]byte, error) {
	zip, err := expander()
	if err != nil {
		return nil, err
	}
	plain, err := zip.DecodeAll(data, nil)
	if err != nil { //guard:listing-expand
		return nil, fmt.Errorf("%w: a block cannot be decompressed: %w", ErrDamaged, err)
	}
	return plain, nil
}

// plain reads a block.
func (r *Reader) plain(ctx context.Context, kind, number int) ([]byte, error) {
	data, err := r.source.Block(ctx, kind, number)
	if err != nil {
		return nil, err
	}
	return expand(data)
}

// clean is a folder's path as the index has it.
func clean(folder string) string {
	return "/" + strings.Trim(folder, "/")
}

// span are the blocks of a folder and of everything below it, with the folder's own.
type span struct {
	first, last uint32
	dirs, rest  []uint32
}

// find looks up a folder, without proof that it is there: another path may have the same
// hash. Folders of the same path are taken for one.
func (r *Reader) find(ctx context.Context, folder string) (span, error) {
	hash := hashOf(folder)
	number := sort.Search(len(r.root.firsts), func(i int) bool { return r.root.firsts[i] > hash }) - 1
	if number < 0 {
		return span{}, ErrNoFolder
	}
	plain, err := r.plain(ctx, KindFolders, number)
	if err != nil {
		return span{}, err
	}
	c := cursor{rest: plain}
	var found []span
	for at := r.root.firsts[number]; len(c.rest) > 0; {
		at += c.uvarint()
		s := c.span(r.root.entryBlocks)
		if at == hash && !c.bad {
			found = append(found, s)
		}
	}
	switch {
	case c.bad:
		return span{}, fmt.Errorf("%w: a block of folders cannot be read", ErrDamaged)
	case len(found) == 0:
		return span{}, ErrNoFolder
	}
	all := found[0]
	for _, s := range found[1:] {
		all.first, all.last = min(all.first, s.first), max(all.last, s.last)
		all.dirs, all.rest = append(all.dirs, s.dirs...), append(all.rest, s.rest...)
	}
	for _, list := range []*[]uint32{&all.dirs, &all.rest} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return all, nil
}

// span reads where a folder's entries are.
func (c *cursor) span(blocks int) span {
	head := c.uvarint()
	back := head >> 1
	if head&1 == formOne {
		n := uint32(c.amount(max(0, blocks-1)))
		if back > uint64(n) {
			c.fail()
			return span{}
		}
		return span{first: n - uint32(back), last: n, dirs: []uint32{n}, rest: []uint32{n}}
	}
	s := span{first: uint32(c.amount(max(0, blocks-1)))}
	if uint64(s.first)+back >= uint64(max(1, blocks)) {
		c.fail()
		return span{}
	}
	s.last = s.first + uint32(back)
	for _, list := range []*[]uint32{&s.dirs, &s.rest} {
		at := s.first
		for range c.amount(len(c.rest)) {
			at += uint32(c.amount(blocks))
			if c.bad || at > s.last {
				c.fail()
				return span{}
			}
			*list = append(*list, at)
		}
	}
	return s
}

// List returns a page of a folder: its folders, then everything else, each in the order of
// their names. after is where the page before ended, "" for the first; next is "" behind
// the last entry. A page may have fewer entries than limit.
func (r *Reader) List(ctx context.Context, folder, after string, limit int) (page []Entry, next string, err error) {
	at, err := parsePosition(after, 3)
	if err != nil {
		return nil, "", err
	}
	folder = clean(folder)
	where, err := r.find(ctx, folder)
	if err != nil {
		return nil, "", err
	}
	pass, index, skip := at[0], at[1], at[2]
	lists := [2][]uint32{where.dirs, where.rest}
	if pass > 1 || index > len(lists[pass]) {
		return nil, "", ErrPosition
	}
	var seen bool
	var held held
	for reads := 0; pass < 2; pass, index = pass+1, 0 {
		for ; index < len(lists[pass]); index, skip = index+1, 0 {
			if reads++; reads > listBlocks { //guard:listing-reads
				return page, position(pass, index, skip), nil
			}
			plain, err := held.plain(ctx, r, lists[pass][index])
			if err != nil {
				return nil, "", err
			}
			entries, there, err := entriesOf(plain, folder, pass)
			if err != nil {
				return nil, "", err
			}
			seen = seen || there
			entries = entries[min(skip, len(entries)):]
			if room := limit - len(page); len(entries) > room {
				return append(page, entries[:room]...), position(pass, index, skip+room), nil
			}
			page = append(page, entries...)
		}
	}
	if !seen && after == "" {
		return nil, "", ErrNoFolder
	}
	return page, "", nil
}

// held is the block that was read last.
type held struct {
	number uint32
	block  []byte
}

func (h *held) plain(ctx context.Context, r *Reader, number uint32) ([]byte, error) {
	if h.block != nil && h.number == number {
		return h.block, nil
	}
	plain, err := r.plain(ctx, KindEntries, int(number))
	h.number, h.block = number, plain
	return plain, err
}

// entriesOf returns a folder's entries in a block, of folders or of the rest, and whether
// the block has the folder at all.
func entriesOf(plain []byte, folder string, pass int) (list []Entry, there bool, err error) {
	sound := true
	ended := segments(plain, func(s *segment) bool {
		if string(s.folder) != folder {
			return true
		}
		there = true
		var some []Entry
		some, sound = s.runs[pass].entries(folder, pass == 0)
		list = append(list, some...)
		return sound
	})
	if !ended || !sound {
		return nil, false, fmt.Errorf("%w: a block of entries cannot be read", ErrDamaged)
	}
	return list, there, nil
}

// position is a place in a list, as text.
func position(numbers ...int) string {
	var b strings.Builder
	for i, n := range numbers {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// parsePosition reads what position wrote; "" is the beginning.
func parsePosition(text string, count int) ([]int, error) {
	numbers := make([]int, count)
	if text == "" {
		return numbers, nil
	}
	parts := strings.Split(text, ".")
	if len(parts) != count {
		return nil, ErrPosition
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > MaxBlocks {
			return nil, ErrPosition
		}
		numbers[i] = n
	}
	return numbers, nil
}

// within reports whether a folder is another, or below it.
func within(folder []byte, under string) bool {
	if under == "/" {
		return true
	}
	return bytes.HasPrefix(folder, []byte(under)) && (len(folder) == len(under) || folder[len(under)] == '/')
}
