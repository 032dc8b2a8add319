package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
)

// wire is a connection that is written to by hand, so that no goroutine of a client is
// counted.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (a *attending) wire() *wire {
	a.w.t.Helper()
	conn, err := net.Dial("tcp", a.w.http.Listener.Addr().String())
	if err != nil {
		a.w.t.Fatal(err)
	}
	a.w.t.Cleanup(func() { _ = conn.Close() })
	return &wire{a.w.t.(*testing.T), conn, bufio.NewReader(conn)}
}

// ask sends a sync that waits 25 s; more follows its headers and its body.
func (c *wire) ask(a *attending, version, header, more string) {
	c.t.Helper()
	body, err := json.Marshal(a.syncBody(25))
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = fmt.Fprintf(c.conn, "POST /agent/v1/sync %s\r\nHost: server.test\r\nAuthorization: Bearer %s.%s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s%s",
		version, a.host, strings.Repeat("s", 43), header, len(body), body, more)
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *wire) answer() (*http.Response, api.SyncAnswer) {
	c.t.Helper()
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer api.SyncAnswer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		c.t.Fatal(err)
	}
	return response, answer
}

// ended tells whether the server has ended the connection.
func (c *wire) ended() bool {
	_, err := c.r.ReadByte()
	return err == io.EOF
}

func (w *world) waitParked(n int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d are parked", n), func() bool { return w.lot.Parked() == n })
}

func TestParkedRequestsHaveNoGoroutines(t *testing.T) {
	w, _, a, _ := newAttending(t)
	const n = 50
	others := runtime.NumGoroutine()
	for range n {
		a.wire().ask(a, "HTTP/1.1", "", "")
	}
	w.waitParked(n)
	eventually(t, "their goroutines end", func() bool { return runtime.NumGoroutine() < others+n/5 })
	if got := w.waker.Parked(); got != n {
		t.Errorf("%d wait for a wake-up, want %d", got, n)
	}
}

func TestAnAgentParksOnlySoManyRequests(t *testing.T) {
	w, _, a, _ := newAttending(t)
	const most = 64
	for range most {
		a.wire().ask(a, "HTTP/1.1", "", "")
	}
	w.waitParked(most)
	one := a.wire()
	one.ask(a, "HTTP/1.1", "", "")
	response, err := http.ReadResponse(one.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("got %s with the headers %v", response.Status, response.Header)
	}
	if n := w.lot.Parked(); n != most || w.waker.Parked() != most {
		t.Errorf("%d are parked and %d wait, want %d", n, w.waker.Parked(), most)
	}
}

func TestARequestThatComesWhileTheServerStopsIsAnswered(t *testing.T) {
	w, _, a, _ := newAttending(t)
	w.waker.Close()
	c := a.wire()
	// Long before its hold is over.
	if err := c.conn.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c.ask(a, "HTTP/1.1", "", "")
	if _, answer := c.answer(); answer.Hints == nil || w.lot.Parked() != 0 {
		t.Errorf("got %+v, %d parked", answer, w.lot.Parked())
	}
}

func TestAParkedConnectionServesTheNextRequest(t *testing.T) {
	w, admin, a, h := newAttending(t)
	c := a.wire()
	for range 3 {
		c.ask(a, "HTTP/1.1", "", "")
		w.waitParked(1)
		j := into[api.Job](admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+h.Host.Id+"/jobs", obj{"operation": "backup"}))
		response, answer := c.answer()
		if len(answer.Commands) != 1 || answer.Commands[0].JobId != j.Id || response.Close {
			t.Fatalf("got %+v, closing %t; want the run of %s on a connection that stays", answer.Commands, response.Close, j.Id)
		}
		if answer.RequestId == "" || response.Header.Get("X-Request-Id") != answer.RequestId || response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("got the headers %v for request %s", response.Header, answer.RequestId)
		}
		a.acked = answer.Commands[0].Seq
		admin.must(http.StatusAccepted, "POST", "/api/v1/jobs/"+j.Id+"/cancel", nil)
		for a.sync(0); len(a.sync(0).Commands) > 0; { // the cancel; its acknowledgement
		}
		v := a.report(j.Id, obj{"seq": 1, "at": a.w.now(), "kind": "finished", "attempt": 1, "outcome": obj{"result": "cancelled"}})
		if v.Outcome != "ok" {
			t.Fatalf("got %+v", v)
		}
	}
}

func TestAConnectionThatCannotGoOnEndsWithItsAnswer(t *testing.T) {
	for name, send := range map[string]func(c *wire, a *attending){
		"HTTP/1.0":               func(c *wire, a *attending) { c.ask(a, "HTTP/1.0", "", "") },
		"a client that says so":  func(c *wire, a *attending) { c.ask(a, "HTTP/1.1", "Connection: close\r\n", "") },
		"a server that is ended": func(c *wire, a *attending) { c.ask(a, "HTTP/1.1", "", "") },
	} {
		t.Run(name, func(t *testing.T) {
			w, _, a, _ := newAttending(t)
			c := a.wire()
			send(c, a)
			w.waitParked(1)
			if name == "a server that is ended" {
				w.waker.Close()
			} else {
				a.open() // which answers the request of the session before
			}
			response, _ := c.answer()
			if !response.Close || !c.ended() {
				t.Errorf("the connection goes on after %s", response.Status)
			}
			w.waitParked(0)
		})
	}
}

// An agent whose connection was cut asks again on another: what it left must neither
// stay nor be told what is meant for it.
func TestARequestThatItsAgentLeftIsDroppedWhenTheAgentAsksAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("connections are only looked at on Linux")
	}
	w, admin, a, h := newAttending(t)
	left := a.wire()
	left.ask(a, "HTTP/1.1", "", "")
	w.waitParked(1)
	_ = left.conn.Close()
	c := a.wire()
	c.ask(a, "HTTP/1.1", "", "")
	eventually(t, "one is parked", func() bool { return w.lot.Parked() == 1 && w.waker.Parked() == 1 })
	j := into[api.Job](admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+h.Host.Id+"/jobs", obj{"operation": "backup"}))
	if _, answer := c.answer(); len(answer.Commands) != 1 || answer.Commands[0].JobId != j.Id {
		t.Errorf("got %+v, want the run of %s", answer.Commands, j.Id)
	}
}

func TestACommandIsNotOfferedToAConnectionThatItsAgentLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("connections are only looked at on Linux")
	}
	w, admin, a, h := newAttending(t)
	left := a.wire()
	left.ask(a, "HTTP/1.1", "", "")
	w.waitParked(1)
	_ = left.conn.Close()
	admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+h.Host.Id+"/jobs", obj{"operation": "backup"})
	w.waitParked(0)
	if answer := a.sync(0); len(answer.Commands) != 1 {
		t.Errorf("got %+v at once, want the command", answer)
	}
}

func TestAnotherPollOfAQuietAgentReadsOnceAndWritesNothing(t *testing.T) {
	w, _, a, _ := newAttending(t)
	if err := w.store.FlushContacts(t.Context()); err != nil { // it is known to be here
		t.Fatal(err)
	}
	const polls = 10
	var statements, transactions int64
	quiet := func() bool { // but for the feed, which is numbered a moment after a change
		before := w.store.Stats()
		for range polls {
			a.sync(0)
		}
		after := w.store.Stats()
		statements, transactions = after.Statements-before.Statements, after.Transactions-before.Transactions
		return statements <= polls && transactions == 0
	}
	for range 5 {
		if quiet() {
			return
		}
	}
	t.Errorf("%d polls took %d statements and %d transactions, want one read each", polls, statements, transactions)
}
