package api

import (
	"context"
	"errors"
	"testing"

	"restic-manager/restic/listing"
	"restic-manager/server/fleet"
)

func TestWhoWentAwayGetsNoBlocksFromTheCache(t *testing.T) {
	s := &indexSource{blocks: newBlockCache(100), index: &fleet.Index{}}
	s.blocks.put(s.key(listing.KindEntries, 0), []byte("block"))
	ctx, away := context.WithCancel(t.Context())
	if data, err := s.Block(ctx, listing.KindEntries, 0); err != nil || string(data) != "block" {
		t.Fatalf("%q, %v", data, err)
	}
	away()
	if data, err := s.Block(ctx, listing.KindEntries, 0); data != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestTheCacheOfBlocksIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := newBlockCache(10_000)
	key := func(n int) blockKey { return blockKey{snapshot: "s", kind: 2, number: int64(n)} }
	for n := range 1000 {
		c.put(key(n), make([]byte, 999))
		if _, there := c.get(key(0)); !there {
			t.Fatalf("the block that is used all the time is gone after %d others", n)
		}
		if c.held > 10_000 || len(c.of) != c.order.Len() {
			t.Fatalf("after %d blocks it holds %d bytes, %d of %d blocks", n+1, c.held, len(c.of), c.order.Len())
		}
	}
	if _, there := c.get(key(999)); !there {
		t.Error("the newest block is gone")
	}
	if _, there := c.get(key(500)); there {
		t.Error("a block that nobody used for long is there")
	}
	c.put(key(1000), make([]byte, 20_000))
	if c.held > 10_000 {
		t.Errorf("a block that is larger than all had room for it: %d bytes", c.held)
	}
}
