package listing

import (
	"encoding/binary"
	"io/fs"
	"time"
)

// run is a row of entries of one folder, in columns. Folders have one column more.
type run struct {
	count    int
	names    []byte // of each: bytes shared with the one before, further bytes, those
	metas    []byte // of each: 0 for the same as the one before, or mode, type and lossy
	times    []byte // of each: seconds after the one before
	sizes    []byte
	files    []byte // of folders
	lastName string
	lastMeta uint64
	lastTime int64
}

// meta is mode, type and lossy in one number that is never 0.
func meta(e *Entry) uint64 {
	m := uint64(e.Mode)<<4 | uint64(e.Type)<<2 | 1
	if e.Lossy {
		m |= 2
	}
	return m
}

func (r *run) add(e *Entry) {
	name, shared := e.Name, 0
	for shared < min(len(name), len(r.lastName)) && name[shared] == r.lastName[shared] {
		shared++
	}
	r.names = binary.AppendUvarint(r.names, uint64(shared))
	r.names = binary.AppendUvarint(r.names, uint64(len(name)-shared))
	r.names = append(r.names, name[shared:]...)
	if m := meta(e); m == r.lastMeta {
		r.metas = append(r.metas, 0)
	} else {
		r.metas = binary.AppendUvarint(r.metas, m)
		r.lastMeta = m
	}
	at := e.ModTime.Unix()
	r.times = binary.AppendVarint(r.times, at-r.lastTime)
	r.sizes = binary.AppendUvarint(r.sizes, uint64(max(0, e.Size)))
	if e.Type == Dir {
		r.files = binary.AppendUvarint(r.files, uint64(e.Files))
	}
	r.count, r.lastName, r.lastTime = r.count+1, name, at
}

// size is how many bytes the entries take.
func (r *run) size() int {
	return len(r.names) + len(r.metas) + len(r.times) + len(r.sizes) + len(r.files)
}

// reset empties the run and keeps its memory.
func (r *run) reset() {
	*r = run{names: r.names[:0], metas: r.metas[:0], times: r.times[:0], sizes: r.sizes[:0], files: r.files[:0]}
}

// appendSegment writes a segment: the folder by what its path shares with that of the
// segment before, then both its runs.
func appendSegment(block []byte, before, folder string, dirs, rest *run) []byte {
	shared := 0
	for shared < min(len(before), len(folder)) && before[shared] == folder[shared] {
		shared++
	}
	block = binary.AppendUvarint(block, uint64(shared))
	block = binary.AppendUvarint(block, uint64(len(folder)-shared))
	block = append(block, folder[shared:]...)
	for _, r := range []*run{dirs, rest} {
		block = binary.AppendUvarint(block, uint64(r.count))
		if r.count == 0 {
			continue
		}
		columns := [][]byte{r.names, r.metas, r.times, r.sizes, r.files}
		for _, column := range columns {
			block = binary.AppendUvarint(block, uint64(len(column)))
		}
		for _, column := range columns {
			block = append(block, column...)
		}
	}
	return block
}

// cursor reads numbers and bytes; after a mistake it gives nothing any more.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) fail() { c.rest, c.bad = nil, true }

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// amount is a number of bytes or entries, none of which is more than most.
func (c *cursor) amount(most int) int {
	v := c.uvarint()
	if v > uint64(most) {
		c.fail()
		return 0
	}
	return int(v)
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) bytes(n int) []byte {
	if n > len(c.rest) {
		c.fail()
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

// count is a number that fits an int64.
func (c *cursor) count() int64 {
	v := c.uvarint()
	if v > 1<<62 {
		c.fail()
		return 0
	}
	return int64(v)
}

// segment is a segment that is being read.
type segment struct {
	folder []byte // valid until the next segment
	runs   [2]columns
}

// columns are those of one run, not yet decoded.
type columns struct {
	count                             int
	names, metas, times, sizes, files []byte
}

// segments calls each for every segment of a block, until it returns false. It reports
// whether the block is a row of segments, as far as it came.
func segments(block []byte, each func(*segment) bool) bool {
	c := cursor{rest: block}
	var s segment
	for len(c.rest) > 0 {
		shared := c.amount(len(s.folder))
		suffix := c.bytes(c.amount(maxPath))
		s.folder = append(s.folder[:shared], suffix...)
		if len(s.folder) > maxPath || len(s.folder) == 0 || s.folder[0] != '/' {
			return false
		}
		for i := range s.runs {
			s.runs[i] = c.columns()
		}
		if c.bad {
			return false
		}
		if !each(&s) {
			return true
		}
	}
	return !c.bad
}

func (c *cursor) columns() columns {
	var k columns
	if k.count = c.amount(len(c.rest)); k.count == 0 {
		return k
	}
	var lengths [5]int
	for i := range lengths {
		lengths[i] = c.amount(maxPlain)
	}
	for i, column := range []*[]byte{&k.names, &k.metas, &k.times, &k.sizes, &k.files} {
		*column = c.bytes(lengths[i])
	}
	return k
}

// eachName decodes the names of a run, and calls each with those from the ordinal from on,
// until it returns false. The bytes are valid during the call.
func (k *columns) eachName(each func(i int, name []byte) bool) bool {
	c := cursor{rest: k.names}
	var name []byte
	all := 0
	for i := range k.count {
		shared := c.amount(len(name))
		suffix := c.bytes(c.amount(maxName))
		all += shared + len(suffix)
		if c.bad || shared+len(suffix) > maxName || all > maxNames { //guard:listing-names
			return false
		}
		name = append(name[:shared], suffix...)
		if !each(i, name) {
			return true
		}
	}
	return len(c.rest) == 0
}

// entries decodes the whole run.
func (k *columns) entries(folder string, isDirs bool) ([]Entry, bool) {
	list := make([]Entry, 0, min(k.count, len(k.names)))
	sound := k.eachName(func(_ int, name []byte) bool {
		n := string(name)
		if !goodName(n) { //guard:listing-name
			return false
		}
		list = append(list, Entry{Folder: folder, Name: n})
		return true
	})
	if !sound || len(list) != k.count {
		return nil, false
	}
	metas, times, sizes, files := cursor{rest: k.metas}, cursor{rest: k.times}, cursor{rest: k.sizes}, cursor{rest: k.files}
	var m uint64
	var at int64
	for i := range list {
		if v := metas.uvarint(); v != 0 {
			m = v
		}
		at += times.varint()
		e := &list[i]
		e.Mode, e.Type, e.Lossy = fs.FileMode(m>>4), Type(m>>2&3), m&2 != 0
		e.ModTime, e.Size = time.Unix(clampTime(at), 0).UTC(), sizes.count()
		if e.Type == Dir {
			e.Files = files.count()
		}
		if m == 0 || (e.Type == Dir) != isDirs {
			return nil, false
		}
	}
	if metas.bad || times.bad || sizes.bad || files.bad {
		return nil, false
	}
	return list, true
}

// clampTime keeps times within the years that RFC 3339 can write.
func clampTime(at int64) int64 {
	const first, last = -62135596800, 253402300799 // the years 1 and 9999
	return min(max(at, first), last)
}
