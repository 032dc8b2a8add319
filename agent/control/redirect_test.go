package control

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"restic-manager/restic"
)

// TestARedirectLeadsNowhere counts that whoever a redirect names is never asked, so
// that neither secrets nor records reach it.
func TestARedirectLeadsNowhere(t *testing.T) {
	var asked atomic.Int64
	elsewhere := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		answer(w, `,"items":[],"commands":[],"secrets":[]`)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		here := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		})
		l := mustLink(t, Options{Server: here.URL, HostID: "host", Secret: restic.NewSecret("secret-of-the-agent")})
		for name, call := range map[string]func() error{
			"a sync":     func() error { _, err := l.Sync(t.Context(), SyncRequest{WaitS: NoWait}); return err },
			"a report":   func() error { _, err := report(t, l, ReportRequest{}); return err },
			"an opening": func() error { _, err := l.OpenSession(t.Context(), SessionRequest{}); return err },
		} {
			var transport *TransportError
			if err := call(); !errors.As(err, &transport) || transport.Kind != Redirect || transport.Status != status {
				t.Errorf("%s with %d: %v", name, status, err)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
}
