package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
)

// How long the server writes at one answer. A parked request is held for up to 30 s
// (people) or 300 s (agents) before its answer is begun.
const (
	answerTimeout   = 60 * time.Second
	syncTimeout     = 330 * time.Second
	downloadTimeout = 15 * time.Minute
)

// Routes makes the router of everything under /api and /agent, and of the health
// checks. It fails with route_without_policy when an operation or a route has no
// rule.
//
// What a request passes, in order: recovery, headers, cross-origin protection,
// routing, its rule, its body within limits, the contract, its idempotency key, the
// handler. So nothing of a body is read before its sender is known.
func (h *Handlers) Routes() (http.Handler, error) {
	c, err := readContract(auth.Operations())
	if err != nil {
		return nil, err
	}
	mux := chi.NewRouter()
	mux.NotFound(h.noRoute)
	mux.MethodNotAllowed(h.noRoute)
	strict := NewStrictHandlerWithOptions(h, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  h.problems.badBody,
		ResponseErrorHandlerFunc: h.problems.write,
	})
	HandlerWithOptions(strict, ChiServerOptions{
		BaseRouter:       mux.With(h.gate(c)),
		ErrorHandlerFunc: h.problems.badParameter,
	})
	policy := c.policy()
	for pattern, handler := range h.healthRoutes() {
		mux.Method(http.MethodGet, pattern, handler)
		policy[http.MethodGet+" "+pattern] = auth.Public
	}
	if err := policy.Check(mux); err != nil {
		return nil, err
	}
	origin, err := auth.CrossOrigin(h.publicURL, http.HandlerFunc(h.crossOrigin))
	if err != nil {
		return nil, err
	}
	guarded := fresh(mux)
	guarded = origin.Handler(guarded) //guard:cross-origin
	return h.recoverer(deadlines(headers(guarded))), nil
}

// fresh lets a request be routed that comes from within another router: a page asks
// the contract in this process.
func fresh(mux *chi.Mux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, (*chi.Context)(nil))))
	})
}

func (h *Handlers) noRoute(w http.ResponseWriter, r *http.Request) {
	h.problems.write(w, r, fleet.Errorf(fleet.NotFound, "Nothing answers this method and path; /api/openapi.json lists what does."))
}

func (h *Handlers) crossOrigin(w http.ResponseWriter, r *http.Request) {
	h.problems.write(w, r, fleet.Errorf(fleet.CrossOrigin,
		"A page of another site sent this request. If it was yours, reach the server by its public address."))
}

// recoverer answers for a handler that panicked: the trace goes to the log, the
// client gets the request's id.
func (h *Handlers) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				err := fmt.Errorf("panic of type %T", p) // a value of unknown type may hold anything
				if known, ok := p.(runtime.Error); ok {
					err = known
				}
				h.log.LogAttrs(r.Context(), slog.LevelError, "handler panicked",
					slog.String("request", auth.VisitOf(r.Context()).ID), slog.String("trace", string(debug.Stack())))
				h.problems.write(w, r, err)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// deadlines bounds how long a body may take to come and an answer to be taken, also
// where the request is refused before its body is looked at.
func deadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout))    // not every connection
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout)) // has deadlines
		next.ServeHTTP(w, r)
	})
}

// headers makes sure that a browser takes an answer for data and nothing else.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shared(w.Header())
		next.ServeHTTP(w, r)
	})
}

// shared sets the headers of every answer.
func shared(set http.Header) {
	set.Set("Cache-Control", "no-store")
	set.Set("X-Content-Type-Options", "nosniff") //guard:api-nosniff
	set.Set("X-Frame-Options", "DENY")
	set.Set("Referrer-Policy", "no-referrer")
	set.Set("Cross-Origin-Resource-Policy", "same-origin")
	set.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// gate lets a request through to its operation, or answers why not.
func (h *Handlers) gate(c contract) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			op := c[r.Method+" "+chi.RouteContext(r.Context()).RoutePattern()]
			if op == nil { // Routes has checked that there is none
				h.noRoute(w, r)
				return
			}
			r, digest, err := h.admit(w, r, op)
			if err != nil {
				h.problems.write(w, r, err)
				return
			}
			if key := r.Header.Get("Idempotency-Key"); op.repeatable && key != "" {
				h.once(w, r, op, key, digest, next)
				return
			}
			if op.id == "sync" {
				r = withWay(w, r)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// admit checks who asks, then what is asked. digest is of the body.
func (h *Handlers) admit(w http.ResponseWriter, r *http.Request, op *operation) (admitted *http.Request, digest string, err error) {
	auth.VisitOf(r.Context()).Operation = op.id
	ctx, err := h.auth.Admit(r, op.rule)
	if err != nil {
		return r, "", err
	}
	r = r.WithContext(ctx)
	digest, fits, err := op.intake(w, r)
	if err != nil {
		return r, "", err
	}
	conn := http.NewResponseController(w)
	_ = conn.SetWriteDeadline(time.Now().Add(op.timeout())) // not every connection has one
	if op.json {
		_ = conn.SetReadDeadline(time.Time{}) // nothing more is read, and the request may be parked
	}
	if fits && r.URL.RawQuery == "" {
		return r, digest, nil
	}
	return r, digest, op.validate(r)
}

func (op *operation) timeout() time.Duration {
	switch op.id {
	case "sync":
		return syncTimeout
	case "downloadJobLog", "downloadProgram":
		return downloadTimeout
	}
	return answerTimeout
}
