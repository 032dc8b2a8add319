package model_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// line is the way of one machine to the server, with the boxes that sit on it. It is
// an HTTP proxy that knows every way in which proxies fail.
type line struct {
	plane   *plane
	dice    *dice
	cover   *coverage
	log     *slog.Logger
	trouble context.Context // while it lasts there are faults
	ended   context.Context // with the history

	share    float64       // of exchanges that meet with a fault
	cutAfter time.Duration // the box cuts requests that take longer; 0 for never
	severed  atomic.Bool   // nothing gets through

	mu       sync.Mutex
	requests map[string]int
	serving  sync.WaitGroup
}

// Faults of making a connection.
const (
	dialRefused   = "connection refused"
	dialSwallowed = "connection never made"
)

// dialer opens connections for a process of the machine's agent.
func (x *line) dialer(owner *conns) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		switch {
		case owner.owner.killed():
			return nil, errKilled
		case x.plane.current() == nil && x.dice.chance(0.7), x.unlucky(x.share/5) || x.cut() && x.dice.chance(0.5):
			x.cover.hit(coveredNetwork, dialRefused)
			return nil, refused()
		case x.unlucky(x.share/20) || x.cut():
			x.cover.hit(coveredNetwork, dialSwallowed)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ours, theirs := net.Pipe()
		x.serving.Go(func() { x.serve(theirs) })
		return owner.adopt(ours), nil
	}
}

// cut reports whether nothing gets through.
func (x *line) cut() bool { return x.trouble.Err() == nil && x.severed.Load() }

// unlucky draws by chance while the network is bad at all.
func (x *line) unlucky(p float64) bool { return x.trouble.Err() == nil && x.dice.chance(p) }

// exchange is a request that an agent sent, and who waits for the answer.
type exchange struct {
	request *http.Request
	body    []byte
	client  net.Conn
	gone    context.Context // ends when the client hangs up
	hungUp  context.CancelFunc
}

// serve answers the requests of one connection, one after the other.
func (x *line) serve(client net.Conn) {
	gone, hungUp := context.WithCancel(x.ended)
	defer hungUp()
	defer client.Close()
	requests := make(chan *exchange)
	x.serving.Go(func() {
		defer hungUp()
		in := bufio.NewReader(client)
		for {
			request, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return
			}
			select {
			case requests <- &exchange{request, body, client, gone, hungUp}:
			case <-gone.Done():
				return
			}
		}
	})
	for {
		select {
		case e := <-requests:
			x.count(e)
			if !x.fateOf(e).happen(x, e) {
				return
			}
		case <-gone.Done():
			return
		}
	}
}

func (x *line) count(e *exchange) {
	kind := strings.TrimPrefix(e.request.URL.Path, "/agent/v1/")
	kind, _, _ = strings.Cut(kind, "/")
	x.mu.Lock()
	defer x.mu.Unlock()
	x.requests[kind]++
}

// counted gives how many requests there were so far, by kind.
func (x *line) counted() (requests map[string]int, all int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	requests = map[string]int{}
	for kind, n := range x.requests {
		requests[kind] = n
		all += n
	}
	return requests, all
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// forward hands a request to the server, its body perhaps cut, and returns what the
// server answers. It gives up when ctx ends, and the server learns of it.
func (x *line) forward(ctx context.Context, e *exchange, body []byte) (*answer, error) {
	server, err := x.plane.dial()
	if err != nil {
		return nil, err
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	out := e.request.Clone(ctx)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(e.body))
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", loopback.String()
	if err := out.Write(server); err != nil {
		if len(body) < len(e.body) {
			return nil, errCutShort
		}
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(server), out)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	x.look(text)
	if x.log.Enabled(ctx, slog.LevelDebug) {
		x.log.DebugContext(ctx, "exchange", "path", e.request.URL.Path, "asked", readable(e), "answered", string(text))
	}
	return &answer{response.StatusCode, response.Header, text}, nil
}

// readable is the body of a request for people.
func readable(e *exchange) string {
	if e.request.Header.Get("Content-Encoding") != "gzip" {
		return string(e.body)
	}
	zip, err := gzip.NewReader(bytes.NewReader(e.body))
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

var errCutShort = errors.New("the request was cut short")

// look counts what the server answers of interest.
func (x *line) look(text []byte) {
	for _, sign := range answersOfInterest() {
		if bytes.Contains(text, []byte(sign)) {
			x.cover.hit(coveredAnswers, sign)
		}
	}
}

// answersOfInterest are parts of answers that show that the protocol's rarer roads
// were taken.
func answersOfInterest() []string {
	return []string{
		`"outcome":"ok"`, `"outcome":"gap"`, `"outcome":"diverged"`, `"outcome":"rejected"`,
		`"verdict":"continue"`, `"verdict":"stop"`, `"verdict":"forget"`, `"desired":"stop"`,
		`"kind":"cancel"`, `"kind":"run"`, `"config":{`, `"report_interval_ms":1000`,
		`"code":"session_superseded"`, `"code":"session_unknown"`, `"code":"artifact_offset"`,
	}
}

// write sends an answer to the client, or the first part of it. It tells whether the
// connection can be used again.
func (e *exchange) write(a *answer, part int) bool {
	var text bytes.Buffer
	fmt.Fprintf(&text, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	header := a.header.Clone()
	header.Set("Content-Length", fmt.Sprint(len(a.body)))
	header.Del("Transfer-Encoding")
	_ = header.Write(&text) // a buffer takes everything
	text.WriteString("\r\n")
	text.Write(a.body)
	if part > 0 {
		_, _ = e.client.Write(text.Bytes()[:text.Len()-min(part, text.Len()-1)])
		return false
	}
	_, err := e.client.Write(text.Bytes())
	return err == nil
}

// pass forwards a request and its answer, as a good box does.
func (x *line) pass(e *exchange) bool {
	ctx := e.gone
	if x.cutAfter > 0 && x.trouble.Err() == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.cutAfter)
		defer cancel()
	}
	a, err := x.forward(ctx, e, e.body)
	switch {
	case err == nil:
		return e.write(a, 0)
	case x.cutAfter > 0 && ctx.Err() != nil && x.dice.chance(0.5):
		return e.write(page(http.StatusGatewayTimeout), 0)
	case ctx.Err() == nil && x.dice.chance(0.3):
		return e.write(page(http.StatusBadGateway), 0)
	}
	return false
}

// page is what boxes say in their own name.
func page(status int) *answer {
	a := &answer{status: status, header: http.Header{"Content-Type": {"text/html"}}}
	switch status {
	case http.StatusNoContent, http.StatusNotModified:
	case http.StatusFound:
		a.header.Set("Location", "http://portal.example/sign-in")
		fallthrough
	default:
		a.body = []byte("<html><body>a box on the way</body></html>")
	}
	return a
}
