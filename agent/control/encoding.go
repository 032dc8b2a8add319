package control

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	compressAbove = 1 << 10
	plainFor      = time.Hour
	refusalsTaken = 2 // in a row, before requests go plain
)

// encoding decides whether requests are compressed. Some firewalls refuse those.
type encoding struct {
	mu       sync.Mutex
	refusals int
	plain    time.Time // until then requests go uncompressed
}

// zippers are kept between requests: each has a megabyte of tables to clear at first.
var zippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// payload is a body in the forms in which it travels. It is sent by one goroutine at a
// time.
type payload struct {
	plain  []byte
	zipped []byte // nil until it was wanted
}

// encode compresses the body if that is worth it and the way takes it, and once alone
// however often it is sent.
func (e *encoding) encode(body *payload, now time.Time) (encoded []byte, compressed bool, err error) {
	e.mu.Lock()
	plain := now.Before(e.plain)
	e.mu.Unlock()
	if plain || len(body.plain) <= compressAbove {
		return body.plain, false, nil
	}
	if body.zipped == nil {
		var b bytes.Buffer
		w := zippers.Get().(*gzip.Writer)
		defer zippers.Put(w)
		w.Reset(&b)
		_, err = w.Write(body.plain)
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, false, fmt.Errorf("compress the request: %w", err)
		}
		body.zipped = b.Bytes()
	}
	return body.zipped, true, nil
}

// observe learns from how a compressed request ended.
func (e *encoding) observe(now time.Time, err error) {
	var transport *TransportError
	refused := errors.As(err, &transport) && transport.Kind == NotOurs
	e.mu.Lock()
	defer e.mu.Unlock()
	if !refused {
		if transport == nil {
			e.refusals = 0 // the server got it
		}
		return
	}
	switch transport.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusUnsupportedMediaType:
	default:
		return
	}
	if e.refusals++; e.refusals >= refusalsTaken {
		e.refusals, e.plain = 0, now.Add(plainFor)
	}
}
