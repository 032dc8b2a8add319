package model_test

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// dice is the chance of one part of a history. Each part has its own, so that what
// one draws does not move what another does.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func newDice(seed uint64, part string) *dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(part)) // never fails
	return &dice{rand: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

func (d *dice) float() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.Float64()
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

func (d *dice) chance(p float64) bool { return d.float() < p }

// between draws a time, the short ones as likely as the long.
func (d *dice) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.float()*float64(high-low))
}

func pick[T any](d *dice, list []T) T { return list[d.below(len(list))] }
