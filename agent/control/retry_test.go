package control

import (
	"net/http"
	"testing"
	"time"
)

func TestRetriesAreFewAndObeyTheServer(t *testing.T) {
	tests := map[string]struct {
		handle func(attempt int, w http.ResponseWriter)
		calls  int
		took   time.Duration
		failed bool
	}{
		"busy twice": {func(n int, w http.ResponseWriter) {
			if n <= 2 {
				w.Header().Set("Retry-After", "7")
				refuse(w, 503, "unavailable")
				return
			}
			answer(w, "")
		}, 3, 14 * time.Second, false},
		"a refusal": {func(_ int, w http.ResponseWriter) { refuse(w, 401, "credential_unknown") }, 1, 0, true},
		"too many requests for ever": {func(_ int, w http.ResponseWriter) {
			w.Header().Set("Retry-After", "100000")
			refuse(w, 429, "too_many_requests")
		}, 4, 15 * time.Minute, true},
		"a cut": {func(n int, w http.ResponseWriter) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
			answer(w, "")
		}, 2, time.Second / 2, false},
		"a gateway that is down": {func(_ int, w http.ResponseWriter) { w.WriteHeader(502) }, 4, 3500 * time.Millisecond, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			calls, keys := 0, map[string]bool{}
			inVirtualTime(t, nil, func(w http.ResponseWriter, r *http.Request) {
				calls++
				keys[r.Header.Get("Idempotency-Key")] = true
				if len(plain(t, r)) == 0 {
					t.Error("a repeat has no body")
				}
				test.handle(calls, w)
			}, func(t *testing.T, l *Link) {
				began := time.Now()
				err := l.Rotate(t.Context(), CredentialRotation{})
				if (err != nil) != test.failed || calls != test.calls || time.Since(began) != test.took || len(keys) != 1 {
					t.Errorf("%d calls with %d keys in %s, error %v; want %d in %s", calls, len(keys), time.Since(began), err, test.calls, test.took)
				}
			})
		})
	}
}
