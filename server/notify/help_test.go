package notify_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/notify"
	"restic-manager/server/secret"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const (
	signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	older   = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs="
)

// world is a database, a service and a clock that a test moves.
type world struct {
	testing.TB
	store   *store.Store
	service *notify.Service
	keys    *secret.Keys
	micros  atomic.Int64
	url     string
}

func newWorld(t testing.TB, url string, roots *x509.CertPool) *world {
	t.Helper()
	w := &world{TB: t, url: url}
	w.micros.Store(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixMicro())
	w.store = storetest.Open(t, url, store.Options{Now: w.now})
	var err error
	if w.keys, _, err = secret.Load(filepath.Join(t.TempDir(), "sealing.key"), ""); err != nil {
		t.Fatal(err)
	}
	w.service = w.replica(roots)
	return w
}

func lite(t testing.TB) *world {
	t.Helper()
	return newWorld(t, storetest.SQLite(t), nil)
}

// replica is another service of the same database.
func (w *world) replica(roots *x509.CertPool) *notify.Service {
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &notify.Service{
		Store: w.store, Seals: w.keys, Log: slog.New(slog.DiscardHandler), PublicURL: "https://backup.test",
		Out: notify.NewEgress(true, false, config),
	}
}

func (w *world) now() time.Time { return time.UnixMicro(w.micros.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.micros.Add(d.Microseconds()) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	w.must(w.store.Write(w.Context(), fn))
}

// channel makes a channel.
func (w *world) channel(spec notify.Spec) *fleet.Channel {
	w.Helper()
	if spec.Name == "" {
		spec.Name = spec.Kind
	}
	spec.Enabled = true
	var c *fleet.Channel
	w.write(func(tx *store.Tx) (err error) {
		c, err = w.service.Create(w.Context(), tx, spec)
		return err
	})
	return c
}

// promise puts a notice into a channel's outbox.
func (w *world) promise(c *fleet.Channel, n fleet.Notice) fleet.DeliveryID {
	w.Helper()
	if n.Kind == "" {
		n.Kind = fleet.DeliverRaised
	}
	body, err := fleet.NewDoc(fleet.Parcel{Notices: []fleet.Notice{n}})
	w.must(err)
	d := &fleet.Delivery{
		ID: fleet.NewID[fleet.DeliveryID](), ChannelID: c.ID, AlertID: n.Alert, Kind: n.Kind, State: fleet.DeliveryPending, Subject: n.Subject(), Body: body,
	}
	w.write(func(tx *store.Tx) error {
		d.NextAt = tx.Now
		return tx.AddDelivery(w.Context(), d)
	})
	return d.ID
}

func (w *world) flush() {
	w.Helper()
	w.must(w.service.Flush(w.Context()))
}

func (w *world) deliveries(c *fleet.Channel) []fleet.Delivery {
	w.Helper()
	list, _, err := w.store.Deliveries(w.Context(), c.ID, store.Page{Size: 200})
	w.must(err)
	return list
}

var dead = fleet.Notice{
	Alert: "01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22", Code: "repository_unreachable", Severity: fleet.Critical, Title: "Repository nas cannot be reached",
	Message: "Connection refused.", NextStep: "Look at the storage.",
	Objects: []fleet.AlertObject{{Type: "host", ID: "h", Name: "web-1", Message: "no"}}, ObjectsTotal: 1,
}

// receiver is an HTTP server that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(n int, w http.ResponseWriter) // n counts from 1; nil: 200
	got    []request
}

type request struct {
	path   string
	header http.Header
	body   []byte
}

func (r request) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("the body is no JSON: %v: %s", err, r.body)
	}
	return v
}

func newReceiver(t testing.TB, answer func(int, http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Errorf("read a body: %v", err)
		}
		r.mu.Lock()
		r.got = append(r.got, request{q.URL.Path, q.Header.Clone(), body})
		n := len(r.got)
		r.mu.Unlock()
		if r.answer != nil {
			r.answer(n, w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request{}, r.got...)
}
