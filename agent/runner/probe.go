package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// Deletion is whether a credential can remove what lies in a repository.
type Deletion string

// What a probe can find.
const (
	CanDelete       Deletion = "yes"
	CannotDelete    Deletion = "no"
	DeletionUnknown Deletion = "unknown" // no REST server, or it gave no clear answer
)

const probeTimeout = 20 * time.Second

// probeDeletion asks a REST server to delete a data object that does not exist.
// An append-only server refuses before it looks (403); one that would delete says
// that nothing is there, or that it is gone. Nothing is ever removed: the object's
// name is 256 random bits.
func probeDeletion(ctx context.Context, client *http.Client, access restic.Access) (Deletion, error) {
	if !access.Location.REST() {
		return DeletionUnknown, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	name := make([]byte, 32)
	rand.Read(name) // never fails
	target := strings.TrimPrefix(access.Location.String(), "rest:") + "data/" + hex.EncodeToString(name)
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, nil)
	if err != nil {
		return DeletionUnknown, fmt.Errorf("probe credential: %w", err)
	}
	if access.Username != "" || !access.RESTPassword.IsZero() {
		req.SetBasicAuth(access.Username, access.RESTPassword.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		return DeletionUnknown, fmt.Errorf("probe credential: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusForbidden, http.StatusMethodNotAllowed:
		return CannotDelete, nil
	case http.StatusOK, http.StatusNoContent, http.StatusNotFound:
		return CanDelete, nil
	}
	return DeletionUnknown, fmt.Errorf("probe credential: the storage answered %d to a deletion", resp.StatusCode)
}

// proven remembers what the probes of this process found, so that each version of
// a credential at a location is asked about once.
type proven struct {
	mu    sync.Mutex
	found map[provenKey]Deletion
}

type provenKey struct {
	location   string
	credential secret.Ref
}

func (p *proven) get(key provenKey) (Deletion, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.found[key]
	return d, ok
}

// put keeps clear answers only: an unclear one is asked again the next time.
func (p *proven) put(key provenKey, d Deletion) {
	if d == DeletionUnknown {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		p.found = map[provenKey]Deletion{}
	}
	p.found[key] = d
}
