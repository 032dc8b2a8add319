package web

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"restic-manager/web/webtest"
)

// site serves the sample pages with the real files under the real security policy,
// and answers what the modules ask of the API as openapi.yaml says.
type site struct {
	*httptest.Server
	pages  *Pages
	assets *Assets

	mu      sync.Mutex
	changed chan struct{} // closed and made new by each change
	cursor  int64
	view    samplePage
	job     map[string]any
	version int64
	lines   int // of the log
	line    func(n int) (stream, text string)
	ended   bool
	broken  bool           // the API answers as a proxy without its server does
	posted  map[string]int // forms by path
	asked   int            // requests to the API
	held    map[string]int // requests that wait now, by kind
	most    map[string]int // the most of them at one time
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		changed: make(chan struct{}), cursor: 42, view: sampleView(), version: 7,
		job:   map[string]any{"id": "0198f3c2", "state": "running"},
		lines: 40, line: func(n int) (string, string) { return "stdout", fmt.Sprintf("line %d of the log", n) },
		posted: map[string]int{}, held: map[string]int{}, most: map[string]int{},
	}
	s.pages, s.assets = samplePages(t)
	mux := http.NewServeMux()
	mux.Handle("GET "+AssetPrefix, s.assets)
	mux.HandleFunc("GET /sample", func(w http.ResponseWriter, r *http.Request) { s.page(w, r, "sample") })
	mux.HandleFunc("GET /door", func(w http.ResponseWriter, r *http.Request) { s.page(w, r, "door") })
	mux.HandleFunc("POST /{path...}", s.post)
	mux.HandleFunc("GET /api/v1/changes", s.api(s.changes))
	mux.HandleFunc("GET /api/v1/jobs/{id}", s.api(s.readJob))
	mux.HandleFunc("GET /api/v1/jobs/{id}/log", s.api(s.readLog))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// change does something under the lock and wakes everybody who waits.
func (s *site) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	s.cursor++
	s.version++
	close(s.changed)
	s.changed = make(chan struct{})
}

// seen reads something under the lock.
func seen[T any](s *site, what func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return what()
}

// until waits for something to become true under the lock.
func (s *site) until(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !seen(s, done) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain; held: %v", seen(s, func() map[string]int { return maps.Clone(s.held) }))
		}
	}
}

func (s *site) page(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	theme := Auto
	if c, err := r.Cookie(ThemeCookie); err == nil {
		theme = ThemeOf(c.Value)
	}
	w.Header().Set("Content-Security-Policy", ContentSecurityPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var view any
	if name == "door" {
		door := sampleDoor()
		door.Theme = theme
		view = door
	} else {
		v := s.view
		v.Theme, v.Cursor = theme, s.cursor
		view = v
	}
	if err := s.pages.Render(w, name, view); err != nil {
		panic(err)
	}
}

func (s *site) post(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.posted[r.URL.Path]++
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent) // the page stays, to be looked at
}

func (s *site) api(answer func(r *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		broken := seen(s, func() bool {
			s.asked++
			return s.broken
		})
		if broken {
			http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer(r))
	}
}

// await holds a request until done is true, its wait is over or it goes away.
// It is called, and returns, with the lock held.
func (s *site) await(r *http.Request, kind string, done func() bool) {
	seconds, _ := strconv.Atoi(r.URL.Query().Get("wait"))
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	if seconds > 0 && !done() {
		s.held[kind]++
		s.most[kind] = max(s.most[kind], s.held[kind])
		s.most["all"] = max(s.most["all"], sum(s.held))
		defer func() { s.held[kind]-- }()
	}
	for seconds > 0 && !done() && ctx.Err() == nil {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

func sum(counts map[string]int) (total int) {
	for n := range maps.Values(counts) {
		total += n
	}
	return total
}

func number(r *http.Request, name string) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	return n
}

func (s *site) changes(r *http.Request) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := number(r, "since")
	s.await(r, "changes", func() bool { return s.cursor > since })
	changes := []any{}
	if s.cursor > since {
		changes = append(changes, map[string]any{"topic": "hosts", "id": "1"})
	}
	return map[string]any{"cursor": s.cursor, "changes": changes, "reset": false}
}

func (s *site) readJob(r *http.Request) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.await(r, "job", func() bool { return s.version != number(r, "if_version") })
	job := maps.Clone(s.job)
	job["version"] = s.version
	return job
}

// The log's chunks have ten lines, an answer at most 200 chunks.
func (s *site) readLog(r *http.Request) any {
	const chunk, most = 10, 200
	s.mu.Lock()
	defer s.mu.Unlock()
	last := func() int { return (s.lines + chunk - 1) / chunk }
	from := int(number(r, "after_seq")) // in chunks
	if n := int(number(r, "from_line")); n > 0 {
		from = min((n-1)/chunk, last())
	}
	if n := int(number(r, "tail")); n > 0 {
		from = max(0, s.lines-n) / chunk
	}
	s.await(r, "log", func() bool { return last() > from || s.ended })
	to := min(last(), from+most)
	lines := []any{}
	for n := from*chunk + 1; n <= min(to*chunk, s.lines); n++ {
		stream, text := s.line(n)
		lines = append(lines, map[string]any{"n": n, "at": renderedAt.Add(time.Duration(n) * time.Millisecond), "stream": stream, "text": text})
	}
	return map[string]any{"lines": lines, "next_after_seq": max(from, to), "end": s.ended && to == last()}
}

// open opens a page in a new tab of the browser.
func open(t *testing.T, browser context.Context, url string, quiet ...string) context.Context {
	t.Helper()
	tab := webtest.Open(t, browser, quiet...)
	webtest.Do(t, tab, chromedp.Navigate(url))
	return tab
}
