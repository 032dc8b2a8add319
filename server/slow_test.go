package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network in memory, which virtual time knows.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// TestSlowClientsAreCutOff has clients that never finish their headers: a few
// thousand of them must not keep everybody else out.
func TestSlowClientsAreCutOff(t *testing.T) {
	for name, send := range map[string]func(net.Conn) error{
		"nothing at all": func(net.Conn) error { return nil },
		"half a line":    func(c net.Conn) error { _, err := io.WriteString(c, "GET /heal"); return err },
		"a header every second": func(c net.Conn) error {
			_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: server.test\r\n")
			for i := 0; err == nil; i++ {
				time.Sleep(time.Second) // virtual
				_, err = fmt.Fprintf(c, "X-%d: x\r\n", i)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				h := newHTTP(http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
				var others sync.WaitGroup
				others.Go(func() { _ = h.Serve(network) })
				client, began := network.dial(), time.Now()
				others.Go(func() { _ = send(client) })
				_ = client.SetReadDeadline(time.Now().Add(time.Hour))
				_, err := io.Copy(io.Discard, client)
				if took := time.Since(began); err != nil || took > time.Minute {
					t.Errorf("the connection lived for %s: %v", took, err)
				}
				_ = client.Close()
				_ = h.Close()
				others.Wait()
			})
		})
	}
}

func TestHeadersHaveALimit(t *testing.T) {
	network := newPipes()
	h := newHTTP(http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	served := make(chan error)
	go func() { served <- h.Serve(network) }()
	client := network.dial()
	go func() {
		_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: server.test\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	}()
	answer, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("headers of 64 KiB: %v, %v", answer, err)
	}
	_ = client.Close()
	_ = h.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
