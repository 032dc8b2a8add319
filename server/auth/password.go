package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/alexedwards/argon2id"

	"restic-manager/server/fleet"
)

// Cost is what a password hash costs to make. A stored hash of another cost is
// replaced at the next sign-in.
type Cost struct {
	MemoryKiB  uint32
	Iterations uint32
	Lanes      uint8
}

// LeastCost is the least that NewHasher takes: 19 MiB and two rounds on one lane.
func LeastCost() Cost { return Cost{MemoryKiB: 19 << 10, Iterations: 2, Lanes: 1} }

func (c Cost) params() *argon2id.Params {
	return &argon2id.Params{
		Memory: c.MemoryKiB, Iterations: c.Iterations, Parallelism: c.Lanes,
		SaltLength: 16, KeyLength: 32,
	}
}

// Hasher makes and compares password hashes, only so many at a time: each needs
// its memory, and a burst of sign-ins must not take the machine's.
type Hasher struct {
	cost  Cost
	slots chan struct{}
	queue time.Duration // how long a caller waits for a slot
	decoy string        // a hash of nothing, compared for names that do not exist
}

// NewHasher makes a hasher that works on at most parallel hashes at once.
func NewHasher(cost Cost, parallel int) (*Hasher, error) {
	if least := LeastCost(); cost.MemoryKiB < least.MemoryKiB || cost.Iterations < least.Iterations || cost.Lanes < least.Lanes { //guard:password-cost
		return nil, fmt.Errorf("password cost %+v is below the least %+v", cost, least)
	}
	if parallel < 1 {
		return nil, fmt.Errorf("%d password hashes at a time: at least one is needed", parallel)
	}
	decoy, err := argon2id.CreateHash("", cost.params())
	if err != nil {
		return nil, fmt.Errorf("make a decoy hash: %w", err)
	}
	return &Hasher{cost: cost, slots: make(chan struct{}, parallel), queue: 5 * time.Second, decoy: decoy}, nil
}

// Hash makes the hash of a new password. It blocks until there is a free slot:
// Unavailable when there is none in time.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	free, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	return h.hash(password)
}

// hash is Hash for a caller that has entered.
func (h *Hasher) hash(password string) (string, error) {
	hash, err := argon2id.CreateHash(password, h.cost.params())
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// compare tells whether the password belongs to the hash, and whether the hash
// should be made anew because the cost has changed. An empty hash never matches and
// takes the same work. The caller has entered.
func (h *Hasher) compare(password, hash string) (match, stale bool, err error) {
	compared := hash
	if hash == "" {
		compared = h.decoy //guard:password-decoy
	}
	match, params, err := argon2id.CheckHash(password, compared)
	if err != nil {
		return false, false, fmt.Errorf("read a password hash: %w", err)
	}
	return match && hash != "", *params != *h.cost.params(), nil
}

// enter waits for a slot; free gives it back.
func (h *Hasher) enter(ctx context.Context) (free func(), err error) {
	timer := time.NewTimer(h.queue)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-timer.C:
		return nil, fleet.Errorf(fleet.Unavailable, "Too many people sign in at once; try again in a moment.")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
