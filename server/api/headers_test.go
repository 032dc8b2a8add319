package api_test

import (
	"net/http"
	"testing"
)

// TestAnswersAreDataAndNothingElse looks at what keeps a browser from taking an
// answer for a page or a script, with refusals too.
func TestAnswersAreDataAndNothingElse(t *testing.T) {
	_, admin := newAdmin(t)
	for path, status := range map[string]int{"/api/v1/me": http.StatusOK, "/api/openapi.json": http.StatusOK, "/api/v1/nothing": http.StatusNotFound} {
		a := admin.must(status, "GET", path, nil)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("GET %s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}
