package api

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"restic-manager/restic/listing"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Bounds of reading indexes.
const (
	maxBlockCache = 32 << 20 // bytes of blocks held in memory, of all indexes together
	readAhead     = 32       // blocks read at a time by what goes through an index
)

// blockKey names a block. The job that made the index is part of it, so that an index
// that was made anew is another one.
type blockKey struct {
	repository fleet.RepositoryID
	snapshot   string
	job        fleet.JobID
	version    int64
	kind       int
	number     int64
}

type cachedBlock struct {
	key  blockKey
	data []byte
}

// blockCache holds the blocks that were used last. It holds nothing that is not in the
// database too.
type blockCache struct {
	most int // bytes

	mu    sync.Mutex
	held  int
	order *list.List // of cachedBlock, the one used last first
	of    map[blockKey]*list.Element
}

func newBlockCache(most int) *blockCache {
	return &blockCache{most: most, order: list.New(), of: map[blockKey]*list.Element{}}
}

func (c *blockCache) get(key blockKey) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, there := c.of[key]
	if !there {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cachedBlock).data, true
}

func (c *blockCache) put(key blockKey, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.of[key]; there {
		return
	}
	c.of[key] = c.order.PushFront(cachedBlock{key, data})
	c.held += len(data)
	if c.held > c.most { //guard:block-cache
		c.shrink()
	}
}

// shrink lets the blocks go that were not used for longest. The lock is held.
func (c *blockCache) shrink() {
	for c.held > c.most {
		last := c.order.Back()
		old := c.order.Remove(last).(cachedBlock)
		delete(c.of, old.key)
		c.held -= len(old.data)
	}
}

// indexSource gives the blocks of an index to one request, from the cache or the
// database. What goes through the blocks in order gets many with one read.
type indexSource struct {
	store  *store.Store
	blocks *blockCache
	index  *fleet.Index
	next   int // the block of entries that follows the last one
}

func (s *indexSource) key(kind int, number int64) blockKey {
	l := s.index
	return blockKey{l.RepositoryID, l.SnapshotID, l.JobID, l.Version, kind, number}
}

// Block is listing.Source. A block that is not there is damage. Who went away gets none
// from the cache either: a search goes through thousands.
func (s *indexSource) Block(ctx context.Context, kind, number int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inOrder := kind == listing.KindEntries && number == s.next && number > 0
	if kind == listing.KindEntries {
		s.next = number + 1
	}
	if data, there := s.blocks.get(s.key(kind, int64(number))); there {
		return data, nil
	}
	most := 1
	if inOrder {
		most = readAhead
	}
	found, err := s.store.IndexBlocks(ctx, s.index, kind, number, most)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Number != int64(number) {
		return nil, fmt.Errorf("%w: block %d of kind %d is missing", listing.ErrDamaged, number, kind)
	}
	for _, b := range found {
		s.blocks.put(s.key(kind, b.Number), b.Data)
	}
	return found[0].Data, nil
}
