package model_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"

	"restic-manager/restic"
	"restic-manager/server/api"
	"restic-manager/server/auth"
	"restic-manager/server/job"
	"restic-manager/server/secret"
	"restic-manager/server/store"
	"restic-manager/server/wake"
)

// Moments at which a process is killed, beside the steps of an agent's disk.
const (
	killedIdle         = "any moment"
	killedWorking      = "any moment of a job"
	killedBeforeCommit = "commit:before"
	killedAfterCommit  = "commit:after"
)

// plane is the control plane: its data folder, which outlasts its processes, and the
// process that runs, if one does. It is put together as package server does it, but
// for the pages and the TCP listener.
type plane struct {
	dir    string
	hasher *auth.Hasher
	log    *slog.Logger
	dice   *dice
	cover  *coverage
	skew   func() time.Duration

	trouble context.Context // while it lasts processes are killed and stay away

	mu      sync.Mutex
	life    *planeLife
	asked   chan planeOrder
	setBack bool // its database was set back to an older copy
	lives   int
}

// planeOrder is what a scenario does to the server.
type planeOrder struct {
	kill    bool          // like kill -9; otherwise it is stopped in order
	away    time.Duration // until it is started again
	setBack bool          // to the copy that was made of its database, if one was
}

// planeLife is one process of the control plane.
type planeLife struct {
	*pulse
	cover    *coverage
	store    *store.Store
	waker    *wake.Waker
	jobs     *job.Service
	handler  http.Handler
	http     *http.Server
	returned *http.Server
	lot      *api.Lot
	listener *listener
	conns    conns
	busy     sync.WaitGroup // requests under way
	loops    sync.WaitGroup
	stop     context.CancelFunc

	trouble context.Context
	mu      sync.Mutex
	commits int // until it is killed; 0 for never
	after   bool
}

// database is the file of the plane's database.
func (p *plane) database() string { return filepath.Join(p.dir, "server.db") }

// run starts the server again and again until ctx ends.
func (p *plane) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l, err := p.begin(ctx)
		if err != nil {
			return err
		}
		order := planeOrder{kill: true, away: p.dice.between(time.Second, 20*time.Second)}
		select {
		case <-l.dead:
		case order = <-p.asked:
			if order.kill {
				p.cover.hit(coveredServer, killedIdle)
				l.kill()
			}
		case <-ctx.Done():
			order.kill = false
		}
		p.mu.Lock()
		p.life = nil
		p.mu.Unlock()
		err = l.end(order.kill)
		if err == nil && order.setBack {
			err = p.setDatabaseBack()
		}
		if err != nil {
			return err
		}
		sleep(p.trouble, order.away)
		sleep(ctx, time.Second)
	}
	return nil
}

// copy is where a copy of the database lies, once one was made.
func (p *plane) copy() string { return filepath.Join(p.dir, "copy.db") }

// setDatabaseBack puts the copy in the place of the database, as somebody does after
// a disk has died.
func (p *plane) setDatabaseBack() error {
	if _, err := os.Stat(p.copy()); err != nil {
		return nil
	}
	p.mu.Lock()
	p.setBack = true
	p.mu.Unlock()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(p.database() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(p.copy(), p.database())
}

// begin starts a process. One that is killed while it opens its database is
// started again.
func (p *plane) begin(ctx context.Context) (*planeLife, error) {
	for {
		l := &planeLife{pulse: newPulse(), cover: p.cover, trouble: p.trouble, listener: newListener()}
		l.conns.owner = l.pulse
		if p.dice.chance(0.4) {
			l.commits, l.after = 1+p.dice.below(120), p.dice.chance(0.5)
		}
		err := l.open(ctx, p)
		if err == nil {
			p.mu.Lock()
			p.life = l
			p.lives++
			p.mu.Unlock()
			return l, nil
		}
		if l.store != nil {
			err = errors.Join(err, l.store.Close())
		}
		if !l.killed() {
			return nil, fmt.Errorf("start the server: %w", err)
		}
		sleep(ctx, time.Second)
	}
}

func (l *planeLife) open(ctx context.Context, p *plane) (err error) {
	committers.Store(p.database(), l)
	l.store, err = store.Open(ctx, p.database(), store.Options{
		Logger: p.log, DataDir: p.dir, Now: func() time.Time { return time.Now().Add(p.skew()) },
	})
	if err != nil {
		return err
	}
	keys, err := l.openKeys(ctx, filepath.Join(p.dir, "sealing.key"))
	if err != nil {
		return err
	}
	a := auth.New(auth.Options{Store: l.store, Hasher: p.hasher, Log: p.log, SetupFile: filepath.Join(p.dir, "setup-code")})
	if _, err := a.OpenSetup(ctx); err != nil {
		return err
	}
	l.waker = wake.New(l.store, p.log)
	l.jobs = &job.Service{Store: l.store, Sealer: keys, Logger: p.log}
	l.lot = api.NewLot()
	contract, err := api.New(api.Options{
		Store: l.store, Jobs: l.jobs, Auth: a, Waker: l.waker, Seals: keys, Log: p.log, Lot: l.lot,
		PublicURL: &url.URL{Scheme: "http", Host: loopback.String()},
	}).Routes()
	if err != nil {
		return err
	}
	l.handler = auth.Observe(p.log, nil, time.Now)(contract)
	l.serve(p.log)
	return nil
}

// serve starts what runs beside the requests, and takes requests.
func (l *planeLife) serve(log *slog.Logger) {
	background, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.http = &http.Server{
		Handler: l, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	l.returned = &http.Server{Handler: l, ReadHeaderTimeout: 120 * time.Second, IdleTimeout: 120 * time.Second, ErrorLog: l.http.ErrorLog}
	l.loops.Go(func() { _ = l.returned.Serve(l.lot) })
	l.loops.Go(func() { l.store.Run(background) })
	l.loops.Go(func() { l.waker.Run(background) })
	l.loops.Go(func() { _ = l.jobs.Run(background) })
	l.loops.Go(func() { _ = l.http.Serve(adopting{l.listener, &l.conns}) })
}

// adopting makes the connections that it accepts the process's.
type adopting struct {
	*listener
	conns *conns
}

func (a adopting) Accept() (net.Conn, error) {
	c, err := a.listener.Accept()
	if err != nil {
		return nil, err
	}
	return a.conns.adopt(c), nil
}

// ServeHTTP counts the requests under way: the database is closed behind the last.
func (l *planeLife) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.busy.Add(1)
	defer l.busy.Done()
	l.handler.ServeHTTP(w, r)
}

// end waits until nothing of the process is left. Stopped in order it answers first
// who is parked.
func (l *planeLife) end(killed bool) error {
	if !killed {
		l.waker.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = l.http.Shutdown(ctx)
		_ = l.returned.Shutdown(ctx)
		l.lot.Drain(ctx)
	}
	_ = l.listener.Close()
	l.conns.closeAll()
	_ = l.http.Close()
	_ = l.returned.Close()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	l.lot.Drain(over)
	l.stop()
	l.loops.Wait()
	l.busy.Wait()
	return l.store.Close()
}

// current gives the process that runs, nil when none does.
func (p *plane) current() *planeLife {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// dial opens a connection to the process that runs.
func (p *plane) dial() (net.Conn, error) {
	if l := p.current(); l != nil && !l.killed() {
		return l.listener.dial()
	}
	return nil, refused()
}

// committers finds a database's process by the file's path: SQLite's hooks are
// registered for the whole test program.
var committers sync.Map

// watchCommits lets processes be killed before and after their commits.
func watchCommits() {
	sqlite.RegisterConnectionHook(func(c sqlite.ExecQuerierContext, dsn string) error {
		u, err := url.Parse(dsn)
		if err != nil {
			return err
		}
		if l, ok := committers.Load(filepath.FromSlash(u.Path)); ok {
			c.(sqlite.HookRegisterer).RegisterCommitHook(l.(*planeLife).onCommit)
		}
		return nil
	})
}

// onCommit decides about a commit: anything but 0 undoes it.
func (l *planeLife) onCommit() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.killed() {
		return 1
	}
	if l.commits == 0 || l.trouble.Err() != nil {
		return 0
	}
	if l.commits--; l.commits > 0 {
		return 0
	}
	l.kill()
	if l.after {
		l.cover.hit(coveredServer, killedAfterCommit)
		return 0
	}
	l.cover.hit(coveredServer, killedBeforeCommit)
	return 1
}

// seals speaks of secrets as the verbs do, and of bytes with server/secret.
type seals struct{ keys *secret.Keys }

func (s seals) Seal(table, id, column string, version int64, value restic.Secret) (string, error) {
	return s.keys.Seal(secret.Binding{Table: table, Row: id, Column: column, Version: version}, []byte(value.Reveal()))
}

func (s seals) Open(table, id, column string, version int64, sealed string) (restic.Secret, error) {
	plain, err := s.keys.Open(secret.Binding{Table: table, Row: id, Column: column, Version: version}, sealed)
	return restic.NewSecret(string(plain)), err
}

// openKeys reads the sealing key of the database, and makes one for a new database.
func (l *planeLife) openKeys(ctx context.Context, path string) (seals, error) {
	const check = "sealing_check"
	stored, err := l.store.Meta(ctx, check)
	if err != nil {
		stored = ""
	}
	keys, renewed, err := secret.Load(path, stored)
	if err == nil && renewed != "" {
		err = l.store.Write(ctx, func(tx *store.Tx) error { return tx.SetMeta(ctx, check, renewed) })
	}
	return seals{keys}, err
}

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
