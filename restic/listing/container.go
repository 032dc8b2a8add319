package listing

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// magic begins a container, with the version of the format.
const magic = "rm-list1"

// frameHead is kind, number and length of a block in a container.
const frameHead = 9

// Block is a block of an index, as it is kept.
type Block struct {
	Kind   int
	Number int
	Data   []byte // compressed
}

func frame(b Block) []byte {
	head := make([]byte, frameHead, frameHead+len(b.Data))
	head[0] = byte(b.Kind)
	binary.BigEndian.PutUint32(head[1:], uint32(b.Number))
	binary.BigEndian.PutUint32(head[5:], uint32(len(b.Data)))
	return append(head, b.Data...)
}

// Split reads the container that a Writer wrote and calls take with each block in turn;
// the data is take's to keep. It ends with the summary of the index, which is the last
// block's, or with ErrDamaged, or with what take or reading returned. Blocks that were
// taken before an error are worth nothing.
func Split(container io.Reader, take func(Block) error) (Summary, error) {
	in := bufio.NewReader(container)
	head := make([]byte, len(magic))
	if err := readFull(in, head); err != nil {
		return Summary{}, err
	}
	if string(head) != magic {
		return Summary{}, fmt.Errorf("%w: it is of another format", ErrDamaged)
	}
	var counts [3]int
	for {
		b, err := readFrame(in, &counts)
		if err != nil {
			return Summary{}, err
		}
		if err := take(b); err != nil {
			return Summary{}, err
		}
		if b.Kind != KindRoot {
			continue
		}
		root, err := decodeRoot(b.Data)
		switch {
		case err != nil:
			return Summary{}, err
		case len(root.firsts) != counts[KindFolders] || root.entryBlocks != counts[KindEntries]: //guard:listing-counts
			return Summary{}, fmt.Errorf("%w: blocks are missing", ErrDamaged)
		}
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) { //guard:listing-end
			return Summary{}, errors.Join(err, fmt.Errorf("%w: something follows its end", ErrDamaged))
		}
		return root.Summary, nil
	}
}

func readFrame(in io.Reader, counts *[3]int) (Block, error) {
	head := make([]byte, frameHead)
	if err := readFull(in, head); err != nil {
		return Block{}, err
	}
	kind, number, length := int(head[0]), binary.BigEndian.Uint32(head[1:]), binary.BigEndian.Uint32(head[5:])
	switch {
	case kind >= len(counts), length == 0, length > MaxBlock: //guard:listing-block
		return Block{}, fmt.Errorf("%w: a block of kind %d and %d bytes", ErrDamaged, kind, length)
	case number != uint32(counts[kind]), counts[kind] == MaxBlocks: //guard:listing-number
		return Block{}, fmt.Errorf("%w: block %d of kind %d comes after %d", ErrDamaged, number, kind, counts[kind])
	}
	counts[kind]++
	b := Block{Kind: kind, Number: int(number), Data: make([]byte, length)}
	return b, readFull(in, b.Data)
}

func readFull(in io.Reader, b []byte) error {
	_, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return err
}
