package api

import (
	"context"
	"time"

	"restic-manager/server/fleet"
)

// topicOf is what a reader of one object waits for.
func topicOf[ID ~string](topic fleet.Topic, id ID) string { return string(topic) + "/" + string(id) }

// wait calls read until it says done, the seconds are over or the server stops; in
// the last two cases what was read last is the answer. It subscribes before it
// reads, so that no change between the two is missed. A sign-in that ended
// meanwhile gets no answer.
func (h *Handlers) wait(ctx context.Context, seconds int, topic string, read func() (done bool, err error)) error {
	woken, cancel := h.waker.Subscribe(topic)
	defer cancel()
	over := time.NewTimer(time.Duration(seconds) * time.Second)
	defer over.Stop()
	for parked := false; ; parked = true {
		if parked {
			if err := h.auth.StillGood(ctx); err != nil { //guard:parked-sign-in
				return err
			}
		}
		done, err := read()
		if err != nil || done || seconds == 0 {
			return err
		}
		select {
		case <-woken:
		case <-over.C:
			seconds = 0
		case <-h.waker.Draining():
			seconds = 0
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
