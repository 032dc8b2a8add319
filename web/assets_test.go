package web

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func get(t *testing.T, h http.Handler, url string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func newTestAssets(t *testing.T) *Assets {
	t.Helper()
	assets, err := NewAssets()
	if err != nil {
		t.Fatal(err)
	}
	return assets
}

func TestAnAssetIsServedForEverWithItsTypeAndCompressed(t *testing.T) {
	assets := newTestAssets(t)
	url := must(assets.URL("app.js"))
	want := must(os.ReadFile("static/app.js"))

	answer := get(t, assets, url, "Accept-Encoding", "br, gzip")
	for name, value := range map[string]string{
		"Content-Type":           "text/javascript; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Cache-Control":          "public, max-age=31536000, immutable",
		"Content-Encoding":       "gzip",
		"Vary":                   "Accept-Encoding",
	} {
		if got := answer.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	zip, err := gzip.NewReader(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(must(io.ReadAll(zip)))); diff != "" {
		t.Errorf("compressed body (-file +served):\n%s", diff)
	}

	for _, refusal := range []string{"", "br", "gzip;q=0", "gzip; q=0.0"} {
		answer := get(t, assets, url, "Accept-Encoding", refusal)
		if got := answer.Header.Get("Content-Encoding"); got != "" {
			t.Errorf("Accept-Encoding %q was answered with %s", refusal, got)
		}
		if diff := cmp.Diff(string(want), string(must(io.ReadAll(answer.Body)))); diff != "" {
			t.Errorf("plain body (-file +served):\n%s", diff)
		}
	}
}

func TestAnAddressOfAnotherVersionGetsTheFileOfTodayUncached(t *testing.T) {
	assets := newTestAssets(t)
	answer := get(t, assets, "/static/0123456789abcdef/tokens.css")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("answered %s, Cache-Control %q", answer.Status, answer.Header.Get("Cache-Control"))
	}
	answer = get(t, assets, "/static/0123456789abcdef/tokens.css", "If-None-Match", answer.Header.Get("ETag"))
	if answer.StatusCode != http.StatusNotModified {
		t.Errorf("asked again, answered %s", answer.Status)
	}
}

func TestOnlyFilesThatAreEmbeddedAreServed(t *testing.T) {
	assets := newTestAssets(t)
	for _, url := range []string{"/static/", "/static/x/", "/static/x/nothing.js", "/static/x/VENDOR.md", "/static/x/../embed.go", "/static/x/vendor/", "/static/app.js"} {
		if answer := get(t, assets, url); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s answered %s", url, answer.Status)
		}
	}
	if _, err := assets.URL("nothing.js"); err == nil {
		t.Error("an address was given for a file that does not exist")
	}
	w := httptest.NewRecorder()
	assets.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, must(assets.URL("app.js")), nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST answered %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestTheVersionChangesWithNamesAndContents(t *testing.T) {
	seen := map[string]int{}
	for i, files := range []fstest.MapFS{
		{"a.js": {Data: []byte("1")}, "b.js": {Data: []byte("2")}},
		{"a.js": {Data: []byte("12")}, "b.js": {Data: nil}},
		{"a.js": {Data: []byte("1")}, "c.js": {Data: []byte("2")}},
	} {
		assets, err := newAssets(files)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[assets.version]; ok {
			t.Errorf("file sets %d and %d have the same version", other, i)
		}
		seen[assets.version] = i
	}
	if _, err := newAssets(fstest.MapFS{"a.exe": {}}); err == nil {
		t.Error("a file without a content type was taken")
	}
}

func TestVendoredFilesAreListedWithTheirSums(t *testing.T) {
	listed := map[string]string{}
	row := regexp.MustCompile(`(?m)^\| (\S+\.js) \| .* \| ([0-9a-f]{64}) \|$`)
	for _, m := range row.FindAllStringSubmatch(string(must(os.ReadFile("static/VENDOR.md"))), -1) {
		listed[m[1]] = m[2]
	}
	present := map[string]string{}
	for _, file := range must(filepath.Glob("static/vendor/*")) {
		sum := sha256.Sum256(must(os.ReadFile(file)))
		present[filepath.Base(file)] = hex.EncodeToString(sum[:])
	}
	if diff := cmp.Diff(listed, present); diff != "" || len(present) == 0 {
		t.Errorf("VENDOR.md and vendor/ differ (-listed +present):\n%s", diff)
	}
}

// What a page loads at first, compressed, with everything it could need.
func TestAllAssetsTogetherStayUnder200KB(t *testing.T) {
	total := 0
	for _, file := range newTestAssets(t).files {
		if file.gzipped != nil {
			total += len(file.gzipped)
		} else {
			total += len(file.plain)
		}
	}
	t.Logf("%d bytes compressed", total)
	if total > 200_000 {
		t.Errorf("static files are %d bytes compressed", total)
	}
}

func TestScriptsAndStylesKeepToTheSecurityPolicy(t *testing.T) {
	forbidden := regexp.MustCompile(`\b(eval|Function)\(|\.innerHTML|\.outerHTML\s*=|insertAdjacentHTML|document\.write|https?://|setAttribute\(\s*["'](style|on\w+)`)
	for _, pattern := range []string{"static/*.js", "static/*.css", "templates/*/*.html"} {
		for _, file := range must(filepath.Glob(pattern)) {
			for i, line := range strings.Split(string(must(os.ReadFile(file))), "\n") {
				if m := forbidden.FindString(line); m != "" {
					t.Errorf("%s:%d has %q", path.Base(file), i+1, m)
				}
			}
		}
	}
}

// A glyph that is drawn by a template or named in a view must be in the sprite.
func TestEveryIconThatTemplatesNameIsInTheSprite(t *testing.T) {
	sprite := string(must(os.ReadFile("static/icons.svg")))
	named := regexp.MustCompile(`template "(icon|glyph-of)" "([\w-]+)"`)
	for _, file := range must(filepath.Glob("templates/*/*.html")) {
		for _, m := range named.FindAllStringSubmatch(string(must(os.ReadFile(file))), -1) {
			id := map[string]string{"icon": "i-", "glyph-of": "g-"}[m[1]] + m[2]
			if !strings.Contains(sprite, `<symbol id="`+id+`"`) {
				t.Errorf("%s draws %s, which icons.svg lacks", path.Base(file), id)
			}
		}
	}
}
