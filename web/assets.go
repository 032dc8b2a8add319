package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// AssetPrefix is the path that an Assets handler is mounted on.
const AssetPrefix = "/static/"

// Assets serves the embedded static files. It never changes after NewAssets and is
// safe for concurrent use.
type Assets struct {
	version string
	files   map[string]asset
}

type asset struct {
	contentType   string
	plain         []byte
	gzipped       []byte // nil when it would not be smaller
	lengthPlain   string
	lengthGzipped string
}

// contentTypes are given here and not taken from the system's tables, which differ
// between machines; a file of another kind does not start the program.
func contentType(name string) (string, bool) {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8", true
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	}
	return "", false
}

// NewAssets reads, hashes and compresses the embedded files.
func NewAssets() (*Assets, error) {
	root, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("open static files: %w", err)
	}
	return newAssets(root)
}

func newAssets(root fs.FS) (*Assets, error) {
	a := &Assets{files: make(map[string]asset)}
	sum := sha256.New()
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		kind, ok := contentType(name)
		if !ok {
			return fmt.Errorf("static file %s: no content type for this kind", name)
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s\x00%d\x00", name, len(content))
		sum.Write(content)
		a.files[name], err = newAsset(kind, content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	a.version = hex.EncodeToString(sum.Sum(nil)[:8])
	return a, nil
}

func newAsset(kind string, content []byte) (asset, error) {
	f := asset{contentType: kind, plain: content, lengthPlain: strconv.Itoa(len(content))}
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := zip.Write(content); err != nil {
		return f, err
	}
	if err := zip.Close(); err != nil {
		return f, err
	}
	if out.Len() < len(content) {
		f.gzipped, f.lengthGzipped = out.Bytes(), strconv.Itoa(out.Len())
	}
	return f, nil
}

// URL returns the address of a static file, such as "app.js". A name that is not
// embedded is an error, so that a page with a dead link fails its render test.
func (a *Assets) URL(name string) (string, error) {
	if _, ok := a.files[name]; !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return AssetPrefix + a.version + "/" + name, nil
}

// ServeHTTP answers GET and HEAD below AssetPrefix. An address of another version,
// as an open page has after an upgrade or between two replicas, gets the file as it
// is now, to be asked for again.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	version, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, AssetPrefix), "/")
	file, ok := a.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	a.describe(w.Header(), file, version)
	if r.Header.Get("If-None-Match") == a.etag() {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, length := file.plain, file.lengthPlain
	if file.gzipped != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, length = file.gzipped, file.lengthGzipped
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", length)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the browser went away; nobody is left to tell
	}
}

func (a *Assets) describe(h http.Header, file asset, version string) {
	h.Set("Content-Type", file.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", a.etag())
	if version == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
}

func (a *Assets) etag() string { return `W/"` + a.version + `"` }

// acceptsGzip reads as much of Accept-Encoding as browsers and proxies write.
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.TrimPrefix(strings.TrimSpace(parameters), "q=")
			return q == "" || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
