//go:build linux

package bench_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"restic-manager/agent/control"
)

// baselineInput is the configuration of partBaseline.
type baselineInput struct {
	TLS         bool
	Certificate string // file of the server's own, with its key
	File        string // what durable wake-ups are appended to
}

// baseline is the least that can be done with net/http: a poll that is parked until
// its name is called, and a WebSocket that is pinged, as a socket design would have
// one. Neither knows a database, a session or a role.
type baseline struct {
	mu   sync.Mutex
	here map[string]chan struct{}
	log  *groupLog
}

func playBaseline(ctx context.Context) error {
	var in baselineInput
	if err := readInput(&in); err != nil {
		return err
	}
	file, err := newGroupLog(in.File)
	if err != nil {
		return err
	}
	s := &baseline{here: map[string]chan struct{}{}, log: file}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /poll", s.poll)
	mux.HandleFunc("GET /socket", s.socket)
	mux.HandleFunc("POST /wake", s.wake)
	mux.HandleFunc("POST /agent/v1/reports", s.report)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	context.AfterFunc(ctx, func() { h.Close() })
	if !in.TLS {
		return h.Serve(l)
	}
	h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	return h.ServeTLS(l, in.Certificate, in.Certificate)
}

func (s *baseline) enter(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.here[name] == nil { // it stays, so that no wake-up falls between two polls
		s.here[name] = make(chan struct{}, 1)
	}
	return s.here[name]
}

// pollRequest is what of the agents' request a bare handler needs.
type pollRequest struct {
	Session string `json:"session_id"`
	Journal string `json:"journal_id"`
	Wait    int    `json:"wait_s"`
}

func (s *baseline) poll(w http.ResponseWriter, r *http.Request) {
	var in pollRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	woken := s.enter(in.Session)
	// On whole seconds, as the server's own, so that one timer serves many.
	deadline := time.Now().Add(time.Duration(in.Wait) * time.Second).Truncate(time.Second)
	timer := time.NewTimer(max(0, time.Until(deadline)))
	defer timer.Stop()
	got := false
	select {
	case <-woken:
		got = true
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"protocol": "bench", "server_time": time.Now().UTC(), "got": got})
}

// wake wakes one poll; with durable=1 after a line that says so is on the disk.
func (s *baseline) wake(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	if r.FormValue("durable") != "" {
		if err := s.log.append([]byte(name + "\n")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	s.mu.Lock()
	c := s.here[name]
	s.mu.Unlock()
	if c == nil {
		http.Error(w, "nobody of that name", http.StatusNotFound)
		return
	}
	select {
	case c <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusNoContent)
}

// report takes what an agent reports, and appends the data of its chunks.
func (s *baseline) report(w http.ResponseWriter, r *http.Request) {
	var in control.ReportRequest
	body, err := gzip.NewReader(r.Body)
	if err == nil {
		err = json.NewDecoder(body).Decode(&in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var data []byte
	out := control.ReportAnswer{Protocol: control.ResticManager1, Items: []control.ReportVerdict{}}
	for _, item := range in.Items {
		for _, c := range item.Log {
			data = append(data, c.Data...)
		}
		out.Items = append(out.Items, control.ReportVerdict{JobId: item.JobId, Outcome: "ok"})
	}
	if err := s.log.append(data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

const pingEvery = 30 * time.Second

// socket is a WebSocket with one goroutine that reads and one that writes and pings.
func (s *baseline) socket(w http.ResponseWriter, r *http.Request) {
	woken := s.enter(r.Header.Get("X-Name"))
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{})
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		acceptKey(r.Header.Get("Sec-WebSocket-Key")))
	if buffered.Flush() != nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, _, err := readFrame(buffered.Reader); err != nil {
				return
			}
		}
	}()
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		op, payload := byte(opPing), []byte("ping")
		select {
		case <-ticker.C:
		case <-woken:
			op, payload = opText, []byte(`{"got":true}`)
		case <-ended:
			return
		}
		if err := writeFrame(buffered.Writer, op, payload, false); err != nil {
			return
		}
	}
}

// The frames of RFC 6455, as far as short ones go.
const (
	opText = 1
	opPing = 9
	opPong = 10

	final  = 0x80
	masked = 0x80
)

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func writeFrame(w *bufio.Writer, op byte, payload []byte, mask bool) error {
	_ = w.WriteByte(final | op)
	if !mask {
		_ = w.WriteByte(byte(len(payload)))
		_, _ = w.Write(payload)
		return w.Flush() // has the first error
	}
	_ = w.WriteByte(masked | byte(len(payload)))
	_, _ = w.Write(binary.BigEndian.AppendUint32(nil, 0)) // a mask that changes nothing
	_, _ = w.Write(payload)
	return w.Flush()
}

func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := int(head[1] &^ masked)
	if length > 125 {
		return 0, nil, errors.New("a frame that is not short")
	}
	if head[1]&masked != 0 {
		length += 4 // the mask is zero
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return head[0] & 0x0f, payload, err
}

// upgrade makes a line a WebSocket.
func (l *line) upgrade(name string) error {
	fmt.Fprintf(l.conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Name: %s\r\n\r\n", l.host, name)
	response, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("no socket: %s", response.Status)
	}
	return nil
}

// receive answers pings until something else comes.
func (l *line) receive() (got bool, err error) {
	for {
		op, payload, err := readFrame(l.r)
		if err != nil || op != opPing {
			return true, err
		}
		if err := writeFrame(bufio.NewWriterSize(l.conn, 64), opPong, payload, true); err != nil {
			return false, err
		}
	}
}

// pollBare sends what an agent sends, to the bare handler.
func pollBare(l *line, s seat, wait int, parked func()) (got bool, err error) {
	a := agent{session: s.Host, journal: s.Install}
	var told struct{ Got bool }
	if err := a.call(l, s, "/poll", a.request(wait), parked, &told); err != nil {
		return false, err
	}
	return told.Got, nil
}

// groupLog appends to a file; one fdatasync serves all who wait for it.
type groupLog struct {
	file  *os.File
	queue chan *entry
}

type entry struct {
	data []byte
	done chan error
}

func newGroupLog(path string) (*groupLog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	g := &groupLog{f, make(chan *entry)}
	go g.write()
	return g, nil
}

// append returns when the data is on the disk.
func (g *groupLog) append(data []byte) error {
	e := &entry{data, make(chan error, 1)}
	g.queue <- e
	return <-e.done
}

func (g *groupLog) write() {
	for first := range g.queue {
		group := []*entry{first}
		for more := true; more; {
			select {
			case e := <-g.queue:
				group = append(group, e)
			default:
				more = false
			}
		}
		var err error
		for _, e := range group {
			if err == nil {
				_, err = g.file.Write(e.data)
			}
		}
		if err == nil {
			err = syscall.Fdatasync(int(g.file.Fd()))
		}
		for _, e := range group {
			e.done <- err
		}
	}
}

// bare is a running baseline.
type bare struct {
	*process
	addr string
}

func startBaseline(b *testing.B, in baselineInput) *bare {
	b.Helper()
	in.File = b.TempDir() + "/wakes"
	p := startPart(b, partBaseline, input(in))
	return &bare{p, p.answer()}
}
