//go:build linux

package bench_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// line is one connection of a simulated client. It speaks just enough HTTP/1.1, so
// that what is measured is the server and not its clients.
type line struct {
	conn net.Conn
	r    *bufio.Reader
	host string
}

// answer is what came over a line.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func dialLine(ctx context.Context, addr string, secure bool) (*line, error) {
	d := net.Dialer{Timeout: 30 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if secure {
		t := tls.Client(conn, anyCertificate())
		if err := t.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = t
	}
	return &line{conn: conn, r: bufio.NewReaderSize(conn, 1024), host: addr}, nil
}

func (l *line) close() { _ = l.conn.Close() }

// post sends a request and waits for its answer. sent is called in between.
func (l *line) post(path, headers string, body []byte, sent func()) (*answer, error) {
	request := make([]byte, 0, 512+len(body))
	request = append(request, "POST "+path+" HTTP/1.1\r\nHost: "+l.host+"\r\nContent-Type: application/json\r\n"...)
	request = append(request, headers...)
	request = append(request, "Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"...)
	request = append(request, body...)
	if err := l.conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	if _, err := l.conn.Write(request); err != nil {
		return nil, err
	}
	if sent != nil {
		sent()
	}
	response, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return &answer{response.StatusCode, response.Header, text}, nil
}

// refused is an answer that is no success.
type refused struct {
	status int
	after  time.Duration // when to try again
	text   string
}

func (r *refused) Error() string { return fmt.Sprintf("answered %d: %s", r.status, r.text) }

func (a *answer) err() error {
	if a.status < 300 {
		return nil
	}
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	return &refused{a.status, time.Duration(seconds) * time.Second, string(a.body[:min(300, len(a.body))])}
}
