package agent

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAStorageThatRedirectsLeadsNowhere: a question to a storage carries the
// credential of a repository, which is nobody else's business.
func TestAStorageThatRedirectsLeadsNowhere(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	client, err := Config{}.storageClient()
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, status)
		}))
		t.Cleanup(storage.Close)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, storage.URL+"/web-1/data/x", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("host1", "secret")
		answer, err := client.Do(request)
		if err != nil || answer.StatusCode != status {
			t.Fatalf("with %d: %v, %v", status, answer, err)
		}
		answer.Body.Close()
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("somebody else was asked %d times", n)
	}
}
