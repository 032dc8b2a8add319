//go:build !windows

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fault is one way in which a network between agent and server goes wrong.
type fault string

const (
	dropRequest fault = "drop request" // the server sees nothing
	dropAnswer  fault = "drop answer"  // the server acts, the agent does not learn it
	duplicate   fault = "duplicate"    // the server sees it twice, one answer comes back
	delay       fault = "delay"        //
	cut         fault = "cut"          // the connection ends when an answer takes longer than the limit
	truncate    fault = "truncate"     // half the answer's body
	html200     fault = "HTML 200"     // a captive portal
	html401     fault = "HTML 401"
	html413     fault = "HTML 413"
	html504     fault = "HTML 504" // after the server has acted
	halfOpen    fault = "half-open"
)

var everyFault = []fault{dropRequest, dropAnswer, duplicate, delay, cut, truncate, html200, html401, html413, html504, halfOpen}

// faultProxy stands between agent and server and spoils a share of the exchanges,
// drawn from a seed that is printed, so that a bad run can be replayed.
type faultProxy struct {
	addr   string
	target *url.URL
	limit  time.Duration // of cut and half-open
	http   *http.Transport

	mu     sync.Mutex
	rand   *rand.Rand
	share  float64
	faults []fault
	open   map[net.Conn]struct{}

	count [16]atomic.Int64 // by index in everyFault
	total atomic.Int64
}

// newFaultProxy listens on loopback until the test ends. share is the part of the
// exchanges that are spoilt.
func newFaultProxy(t *testing.T, target string, seed uint64, share float64, faults ...fault) *faultProxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{
		target: u, limit: 3 * time.Second, rand: rand.New(rand.NewPCG(seed, seed)), share: share, faults: faults,
		http: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		open: map[net.Conn]struct{}{},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ConnState: p.track}
	go s.Serve(l)
	t.Cleanup(func() {
		s.Close()
		p.closeAll()
		p.http.CloseIdleConnections()
		if t.Failed() {
			t.Logf("fault proxy: seed %d, %s", seed, p.tally())
		}
	})
	t.Logf("fault proxy: seed %d, share %.2f", seed, share)
	return p
}

// set changes what is spoilt from now on; a share of 0 is a clean network.
func (p *faultProxy) set(share float64, faults ...fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share = share
	if len(faults) > 0 {
		p.faults = faults
	}
}

// tally says how often each fault was done.
func (p *faultProxy) tally() string {
	s := fmt.Sprintf("%d exchanges", p.total.Load())
	for i, f := range everyFault {
		if n := p.count[i].Load(); n > 0 {
			s += fmt.Sprintf(", %d × %s", n, f)
		}
	}
	return s
}

// done tells how many exchanges were spoilt.
func (p *faultProxy) done() (n int64) {
	for i := range p.count {
		n += p.count[i].Load()
	}
	return n
}

func (p *faultProxy) track(c net.Conn, s http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == http.StateHijacked {
		p.open[c] = struct{}{}
	}
}

func (p *faultProxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *faultProxy) draw() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.Add(1)
	if len(p.faults) == 0 || p.rand.Float64() >= p.share {
		return ""
	}
	f := p.faults[p.rand.IntN(len(p.faults))]
	for i, e := range everyFault {
		if e == f {
			p.count[i].Add(1)
		}
	}
	return f
}

// ServeHTTP takes the whole request in, so that what reaches the server is whole,
// absent or double, and then spoils the exchange as drawn.
func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f := p.draw()
	switch f {
	case dropRequest:
		hangUp(w)
		return
	case halfOpen:
		p.silence(w)
		return
	case html200, html401, html413:
		page(w, map[fault]int{html200: 200, html401: 401, html413: 413}[f])
		return
	case delay:
		time.Sleep(200 * time.Millisecond)
	case duplicate:
		if res, err := p.forward(r, body, 0); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	limit := time.Duration(0)
	if f == cut {
		limit = p.limit
	}
	res, err := p.forward(r, body, limit)
	if err != nil {
		hangUp(w)
		return
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	switch {
	case err != nil, f == dropAnswer:
		hangUp(w)
	case f == html504:
		page(w, 504)
	default:
		p.answer(w, res, answer, f == truncate)
	}
}

// forward sends the request on; with a limit it gives up on a slow answer and the
// server's side of the connection is closed.
func (p *faultProxy) forward(r *http.Request, body []byte, limit time.Duration) (*http.Response, error) {
	req := r.Clone(r.Context())
	req.URL.Scheme, req.URL.Host = p.target.Scheme, p.target.Host
	req.RequestURI, req.Host = "", p.target.Host
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.ContentLength = int64(len(body))
	tr := p.http
	if limit > 0 {
		tr = p.http.Clone()
		tr.ResponseHeaderTimeout, tr.DisableKeepAlives = limit, true
	}
	return tr.RoundTrip(req)
}

func (p *faultProxy) answer(w http.ResponseWriter, res *http.Response, body []byte, half bool) {
	for k, v := range res.Header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(res.StatusCode)
	if half {
		w.Write(body[:len(body)/2])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		hangUp(w)
		return
	}
	w.Write(body)
}

// silence keeps the connection open and says nothing, as a dead peer behind a NAT.
func (p *faultProxy) silence(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	time.AfterFunc(10*p.limit, func() { c.Close() })
}

func hangUp(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		c.Close()
	}
}

func page(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><body><h1>%d %s</h1></body></html>", status, http.StatusText(status))
}
