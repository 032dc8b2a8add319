package listing

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Writer makes an index from a snapshot's entries and writes its container. It is not safe
// for concurrent use.
type Writer struct {
	out     io.Writer
	zip     *zstd.Encoder
	open    []*folder // from the root to the folder under hand
	spare   []*folder // closed ones, for their memory
	shared  []byte    // the block of small folders that is being filled
	last    string    // the folder of its last segment
	blocks  int       // of entries, so far
	records []record
	several []places // of folders that have more than one block
	skipped string   // the path of the folder that was left out last, with all in it; "" before the first
	summary Summary
	err     error
}

// folder is one that is not whole yet.
type folder struct {
	entry      Entry
	path       string
	dirs, rest run
	at         places
	firstBlock int // the first that may have something below it
	files      int64
	bytes      int64
}

// places are the blocks of a folder's entries.
type places struct {
	first      uint32 // the first block that may have something below the folder
	dirs, rest []uint32
}

// record says where a folder's entries are, in as few bytes as can be: there are as many
// as folders.
type record struct {
	hash  uint64
	block uint32 // of the only block, or the index in several
	back  uint32 // how many blocks before it the first of those below the folder is; inSeveral too
}

// inSeveral marks a record of a folder that has more than one block.
const inSeveral = 1 << 31

// hashBits are enough: what has the same hash is told apart by the path in the block.
const hashBits = 40

func hashOf(path string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, path) // never fails
	sum := h.Sum64()
	return (sum ^ sum>>hashBits) & (1<<hashBits - 1)
}

// NewWriter returns a Writer of an index into out, which gets whole blocks.
func NewWriter(out io.Writer) *Writer {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(64<<10), zstd.WithEncoderCRC(true))
	w := &Writer{out: out, zip: zip, err: err}
	if err == nil {
		_, w.err = io.WriteString(out, magic)
	}
	w.enter(Entry{Type: Dir}, "/")
	return w
}

// Add adds the next entry, in the order in which restic lists: a folder before what is in
// it, and all of that before the next of its own folder. Size and Files of a folder are
// found out. Where a name or path is too long, the entry is only counted.
func (w *Writer) Add(e Entry) error {
	if w.err == nil {
		w.err = w.add(e)
	}
	return w.err
}

func (w *Writer) add(e Entry) error {
	if !goodName(e.Name) {
		return fmt.Errorf("list %q: not a name", e.Name)
	}
	switch {
	case w.skipped != "" && within([]byte(e.Folder), w.skipped):
		w.summary.Skipped++
		return nil
	case len(e.Name) > maxName, len(e.Folder)+1+len(e.Name) > maxPath:
		w.summary.Skipped++
		if e.Type == Dir {
			w.skipped = e.Path()
		}
		return nil
	}
	for w.top().path != e.Folder {
		if len(w.open) == 1 {
			return fmt.Errorf("list %q in %q: its folder was not listed right before it", e.Name, e.Folder)
		}
		if err := w.leave(); err != nil {
			return err
		}
	}
	top := w.top()
	e.Lossy = top.entry.Lossy || strings.ContainsRune(e.Name, '\uFFFD')
	w.summary.Entries++
	switch e.Type {
	case Dir:
		w.enter(e, e.Path())
		return nil
	case File:
		top.files++
		top.bytes += max(0, e.Size)
	}
	top.rest.add(&e)
	return w.spill(top, &top.rest, &top.at.rest)
}

func (w *Writer) top() *folder { return w.open[len(w.open)-1] }

// enter begins a folder.
func (w *Writer) enter(e Entry, path string) {
	f := &folder{}
	if n := len(w.spare); n > 0 {
		f, w.spare = w.spare[n-1], w.spare[:n-1]
		f.dirs.reset()
		f.rest.reset()
		*f = folder{dirs: f.dirs, rest: f.rest}
	}
	f.entry, f.path, f.firstBlock = e, path, w.blocks
	w.open = append(w.open, f)
	w.summary.Folders++
}

// spill writes a run that has grown to a block's size as a block of its own.
func (w *Writer) spill(f *folder, r *run, into *[]uint32) error {
	if r.size() < blockPlain {
		return nil
	}
	dirs, rest := &run{}, r
	if r == &f.dirs {
		dirs, rest = r, &run{}
	}
	// What is in the shared block comes first: what is below a folder lies between the
	// blocks at its beginning and at its end.
	if err := w.flushShared(); err != nil {
		return err
	}
	*into = append(*into, uint32(w.blocks))
	err := w.block(KindEntries, w.blocks, appendSegment(nil, "", f.path, dirs, rest))
	w.blocks++
	r.reset()
	return err
}

// leave ends the folder under hand: its entries are written, and its totals go to its
// own entry.
func (w *Writer) leave() error {
	f := w.top()
	size := f.dirs.size() + f.rest.size() + len(f.path)
	if len(w.shared) > 0 && len(w.shared)+size > blockPlain+blockPlain/2 {
		if err := w.flushShared(); err != nil {
			return err
		}
	}
	w.shared = appendSegment(w.shared, w.last, f.path, &f.dirs, &f.rest)
	w.last = f.path
	w.remember(f)
	if len(w.shared) >= blockPlain {
		if err := w.flushShared(); err != nil {
			return err
		}
	}
	w.open = w.open[:len(w.open)-1]
	w.spare = append(w.spare, f)
	if len(w.open) == 0 {
		w.summary.Files, w.summary.Bytes = f.files, f.bytes
		return nil
	}
	above := w.top()
	above.files += f.files
	above.bytes += f.bytes
	e := f.entry
	e.Size, e.Files = f.bytes, f.files
	above.dirs.add(&e)
	return w.spill(above, &above.dirs, &above.at.dirs)
}

// remember notes where a folder's entries are; the last of them are in the block that is
// being filled.
func (w *Writer) remember(f *folder) {
	r := record{hash: hashOf(f.path), block: uint32(w.blocks), back: uint32(w.blocks - f.firstBlock)}
	if len(f.at.dirs)+len(f.at.rest) > 0 {
		at := places{first: uint32(f.firstBlock), dirs: f.at.dirs, rest: f.at.rest}
		if f.dirs.count > 0 {
			at.dirs = append(at.dirs, uint32(w.blocks))
		}
		if f.rest.count > 0 {
			at.rest = append(at.rest, uint32(w.blocks))
		}
		r.block, r.back = uint32(len(w.several)), r.back|inSeveral
		w.several = append(w.several, at)
	}
	w.records = append(w.records, r)
}

// flushShared writes the block of small folders.
func (w *Writer) flushShared() error {
	if len(w.shared) == 0 {
		return nil
	}
	err := w.block(KindEntries, w.blocks, w.shared)
	w.blocks++
	w.shared, w.last = w.shared[:0], ""
	return err
}

// block compresses and writes one.
func (w *Writer) block(kind, number int, plain []byte) error {
	if number >= MaxBlocks {
		return errors.New("the snapshot has too many entries to be listed")
	}
	if len(plain) > maxPlain {
		return fmt.Errorf("a block of %d bytes", len(plain))
	}
	data := w.zip.EncodeAll(plain, nil)
	_, err := w.out.Write(frame(Block{Kind: kind, Number: number, Data: data}))
	return err
}

// Close writes what is left. Without it there is no index.
func (w *Writer) Close() (Summary, error) {
	for w.err == nil && len(w.open) > 0 {
		w.err = w.leave()
	}
	if w.err == nil {
		w.err = w.flushShared()
	}
	if w.err == nil {
		w.err = w.table()
	}
	if w.zip != nil {
		w.zip.Close()
	}
	if w.err == nil {
		w.err = errors.New("the index is closed")
		return w.summary, nil
	}
	return Summary{}, w.err
}

// Forms of a record: where the entries of the folder are.
const (
	formOne     = iota // in one block
	formSeveral        // a list of blocks for folders, and one for the rest
)

// table writes the blocks of folders and the root.
func (w *Writer) table() error {
	slices.SortFunc(w.records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.block, b.block))
	})
	w.records = withoutCrowds(w.records)
	var firsts []uint64
	var plain []byte
	before := uint64(0)
	for i, r := range w.records {
		if len(plain) == 0 {
			firsts, before = append(firsts, r.hash), r.hash
		}
		plain = binary.AppendUvarint(plain, r.hash-before)
		before = r.hash
		plain = w.appendPlaces(plain, r)
		// Records of one hash stay together.
		if full := len(plain) >= blockPlain; i == len(w.records)-1 || full && w.records[i+1].hash != r.hash {
			if err := w.block(KindFolders, len(firsts)-1, plain); err != nil {
				return err
			}
			plain = plain[:0]
		}
	}
	return w.block(KindRoot, 0, encodeRoot(root{Summary: w.summary, firsts: firsts, entryBlocks: w.blocks}))
}

// maxSame is how many folders of one path are kept: names that are not UTF-8 can be the
// same text.
const maxSame = 500

// withoutCrowds drops folders that nobody could tell apart.
func withoutCrowds(sorted []record) []record {
	same, before := 0, uint64(0)
	return slices.DeleteFunc(sorted, func(r record) bool {
		if r.hash != before {
			same, before = 0, r.hash
		}
		same++
		return same > maxSame
	})
}

func (w *Writer) appendPlaces(plain []byte, r record) []byte {
	if r.back&inSeveral == 0 {
		plain = binary.AppendUvarint(plain, uint64(r.back)<<1) // formOne
		return binary.AppendUvarint(plain, uint64(r.block))
	}
	at := w.several[r.block]
	plain = binary.AppendUvarint(plain, uint64(r.back&^inSeveral)<<1|formSeveral)
	plain = binary.AppendUvarint(plain, uint64(at.first))
	for _, list := range [][]uint32{at.dirs, at.rest} {
		plain = binary.AppendUvarint(plain, uint64(len(list)))
		before := at.first
		for _, n := range list {
			plain = binary.AppendUvarint(plain, uint64(n-before))
			before = n
		}
	}
	return plain
}

// root is the content of the last block.
type root struct {
	Summary
	entryBlocks int
	firsts      []uint64 // the first hash of each block of folders
}

const formatVersion = 1

func encodeRoot(r root) []byte {
	plain := binary.AppendUvarint(nil, formatVersion)
	for _, n := range []int64{r.Entries, r.Folders, r.Files, r.Bytes, r.Skipped, int64(r.entryBlocks), int64(len(r.firsts))} {
		plain = binary.AppendUvarint(plain, uint64(n))
	}
	before := uint64(0)
	for _, first := range r.firsts {
		plain = binary.AppendUvarint(plain, first-before)
		before = first
	}
	return plain
}

func decodeRoot(data []byte) (root, error) {
	plain, err := expand(data)
	if err != nil {
		return root{}, err
	}
	c := cursor{rest: plain}
	if v := c.uvarint(); v != formatVersion {
		return root{}, fmt.Errorf("%w: it is of version %d", ErrDamaged, v)
	}
	var r root
	for _, n := range []*int64{&r.Entries, &r.Folders, &r.Files, &r.Bytes, &r.Skipped} {
		*n = c.count()
	}
	r.entryBlocks = c.amount(MaxBlocks)
	count := c.amount(min(MaxBlocks, len(c.rest)+1))
	hash := uint64(0)
	for range min(count, len(c.rest)) {
		hash += c.uvarint()
		r.firsts = append(r.firsts, hash)
	}
	if c.bad || len(r.firsts) != count || len(c.rest) > 0 {
		return root{}, fmt.Errorf("%w: its root cannot be read", ErrDamaged)
	}
	return r, nil
}
