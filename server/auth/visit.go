package auth

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"restic-manager/server/fleet"
)

// Visit is one request as the audit log, the throttle and the server's own log know
// it. It travels in the request's context and is filled on the way in; only the
// request's own goroutine may touch it.
type Visit struct {
	ID        string     // made here; never taken from outside
	Address   netip.Addr // of the client, behind trusted proxies too
	Operation string     // the contract's operationId, or a page's pattern
	Actor     string     // user name, or "agent:<host>"; empty: nobody signed in
	Err       error      // what it was refused with

	end      func(status int)
	detached bool
}

// Detach lets a visit outlive its request's goroutine, for a connection that was taken
// over: whoever answers calls ended with the status, once, and may touch the visit
// until then.
func (v *Visit) Detach() (ended func(status int)) {
	v.detached = true
	if v.end == nil {
		return func(int) {}
	}
	return v.end
}

type visitKey struct{}

// VisitOf gives the visit that a context belongs to. Outside of a request it is an
// empty one that nobody reads.
func VisitOf(ctx context.Context) *Visit {
	if v, ok := ctx.Value(visitKey{}).(*Visit); ok {
		return v
	}
	return &Visit{}
}

// WithVisit gives a context of that visit.
func WithVisit(ctx context.Context, v *Visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

// Observe begins a visit for every request and writes one line to the log when it
// ends: at Info when it was refused, at Error when the fault is ours, else at Debug.
func Observe(log *slog.Logger, trusted []netip.Prefix, now func() time.Time) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v := &Visit{ID: uuid.Must(uuid.NewV7()).String(), Address: ClientAddress(r, trusted)}
			seen := &statusWriter{ResponseWriter: w}
			w.Header().Set("X-Request-Id", v.ID)
			start, method := now(), r.Method
			v.end = func(status int) { v.log(log, method, status, now().Sub(start)) }
			next.ServeHTTP(seen, r.WithContext(WithVisit(r.Context(), v)))
			if !v.detached {
				v.end(seen.status)
			}
		})
	}
}

func (v *Visit) log(log *slog.Logger, method string, status int, took time.Duration) {
	level := slog.LevelDebug
	if v.Err == nil && !log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", v.ID), slog.String("op", v.Operation), slog.String("actor", v.Actor),
		slog.String("address", v.Address.String()), slog.String("method", method),
		slog.Int("status", status), slog.Duration("dur", took),
	}
	if v.Err != nil && status >= http.StatusBadRequest { // a page may ask for what is not there, and be good
		level = slog.LevelInfo
		if status >= http.StatusInternalServerError && !fleet.Is(v.Err, fleet.Draining) {
			level = slog.LevelError
		}
		attrs = append(attrs, slog.Any("err", v.Err))
	}
	log.LogAttrs(context.Background(), level, "request", attrs...)
}

// statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
