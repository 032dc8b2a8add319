package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"restic-manager/server/fleet"
)

// request is what middlewares and handlers know of a request beside its HTTP: it
// travels in the context, is filled on the way in and becomes one line in the log.
type request struct {
	id        string
	operation string
	actor     string
	err       error
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{} // outside of a request, in tests: noted and forgotten
}

func requestID(ctx context.Context) string { return requestOf(ctx).id }

// noteError keeps an error for the request's line in the log.
func noteError(ctx context.Context, err error) { requestOf(ctx).err = err }

// observe gives every request an id and one line in the log when it ends. An id
// from outside is not taken over: it could be anything.
func observe(log *slog.Logger, now func() time.Time) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info := &request{id: uuid.Must(uuid.NewV7()).String()}
			seen := &statusWriter{ResponseWriter: w}
			w.Header().Set("X-Request-Id", info.id)
			start := now()
			next.ServeHTTP(seen, r.WithContext(context.WithValue(r.Context(), requestKey{}, info)))
			logRequest(log, r, info, seen.status, now().Sub(start))
		})
	}
}

func logRequest(log *slog.Logger, r *http.Request, info *request, status int, took time.Duration) {
	level := slog.LevelDebug
	attrs := []slog.Attr{
		slog.String("request", info.id), slog.String("op", info.operation), slog.String("actor", info.actor),
		slog.String("method", r.Method), slog.Int("status", status), slog.Duration("dur", took),
	}
	if info.err != nil {
		level = slog.LevelInfo
		if status >= http.StatusInternalServerError && !fleet.Is(info.err, fleet.Draining) {
			level = slog.LevelError
		}
		attrs = append(attrs, slog.Any("err", info.err))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
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
