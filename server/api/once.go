package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// once does a request with an Idempotency-Key at most once: a repeat gets the
// answer of the first. Only answers that made something are kept, sealed, since
// some hold a secret that is stored nowhere else; a request that was refused has
// changed nothing and may be tried again.
func (h *Handlers) once(w http.ResponseWriter, r *http.Request, op *operation, key, digest string, next http.Handler) {
	keyHash := hashed(string(auth.Person(r.Context()).ID), op.id, r.URL.Path, key)
	var before *store.Replay
	err := h.store.Write(r.Context(), func(tx *store.Tx) (err error) {
		before, err = tx.ClaimIdempotency(r.Context(), keyHash, digest)
		return err
	})
	switch {
	case err != nil:
		h.problems.write(w, r, err)
	case before != nil:
		h.replay(w, r, keyHash, before)
	default:
		h.first(w, r, keyHash, next)
	}
}

// first runs the handler and keeps its answer before it is sent. A client that goes
// away does not stop it: what was made by then would have no answer to repeat.
func (h *Handlers) first(w http.ResponseWriter, r *http.Request, keyHash string, next http.Handler) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), answerTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	answer := &recorder{header: w.Header()}
	kept := false
	defer func() {
		if !kept { // refused, or panicked
			h.release(r.Context(), keyHash)
		}
	}()
	next.ServeHTTP(answer, r)
	if answer.status/100 == 2 {
		kept = h.keep(r.Context(), keyHash, answer)
	}
	if answer.status != 0 {
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes()) // the client may be gone
	}
}

// keep tells whether the key must stay claimed: it does even when the answer cannot
// be kept, since what the request made is made.
func (h *Handlers) keep(ctx context.Context, keyHash string, answer *recorder) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	sealed, err := h.sealer.Seal("idempotency", keyHash, "body", 1, restic.NewSecret(answer.body.String()))
	if err == nil {
		err = h.store.Write(ctx, func(tx *store.Tx) error {
			return tx.FinishIdempotency(ctx, keyHash, store.Replay{Status: answer.status, Body: sealed})
		})
	}
	if err != nil {
		h.log.ErrorContext(ctx, "answer of an idempotency key not kept", "request", auth.VisitOf(ctx).ID, "err", err)
	}
	return true
}

func (h *Handlers) release(ctx context.Context, keyHash string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := h.store.Write(ctx, func(tx *store.Tx) error { return tx.ReleaseIdempotency(ctx, keyHash) })
	if err != nil {
		h.log.ErrorContext(ctx, "idempotency key not released", "request", auth.VisitOf(ctx).ID, "err", err)
	}
}

func (h *Handlers) replay(w http.ResponseWriter, r *http.Request, keyHash string, before *store.Replay) {
	body, err := h.sealer.Open("idempotency", keyHash, "body", 1, before.Body)
	if err != nil {
		h.problems.write(w, r, fleet.Wrap(fleet.Internal, err, "The first answer to this Idempotency-Key cannot be read any more; look whether the request was done."))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(before.Status)
	_, _ = w.Write([]byte(body.Reveal())) // the client may be gone
}

func hashed(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:])
}

// recorder keeps an answer until it is clear what becomes of it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}
