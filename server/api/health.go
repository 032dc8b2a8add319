package api

import (
	"context"
	"net/http"
	"time"

	"restic-manager/server/fleet"
)

// healthRoutes are the routes beside the contract: it itself, and what a balancer
// asks.
func (h *Handlers) healthRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/api/openapi.json": h.spec,
		"/healthz":          h.healthy,
		"/readyz":           h.ready,
	}
}

func (h *Handlers) spec(w http.ResponseWriter, r *http.Request) {
	text, err := GetSpecJSON()
	if err != nil {
		h.problems.write(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the client may be gone
}

// healthy tells that the process answers.
func (h *Handlers) healthy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready tells whether requests should be sent here: not while the server stops, nor
// without its database.
func (h *Handlers) ready(w http.ResponseWriter, r *http.Request) {
	select {
	case <-h.waker.Draining():
		h.problems.write(w, r, fleet.Errorf(fleet.Draining, "The server is stopping."))
		return
	default:
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if _, err := h.store.FeedCursor(ctx); err != nil {
		h.problems.write(w, r, fleet.Wrap(fleet.Unavailable, err, "The database does not answer."))
		return
	}
	h.healthy(w, r)
}
