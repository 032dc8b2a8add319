package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"restic-manager/server/alert"
	"restic-manager/server/api"
	"restic-manager/server/auth"
	"restic-manager/server/job"
	"restic-manager/server/notify"
	"restic-manager/server/store"
	"restic-manager/server/wake"
)

// setupFile holds the set-up code until it was used.
const setupFile = "setup-code"

// Server is a control plane that listens, but serves nobody before Run.
type Server struct {
	settings *settings
	log      *slog.Logger
	listener net.Listener
	store    *store.Store
	waker    *wake.Waker
	jobs     *job.Service
	alerts   *alert.Service
	notify   *notify.Service
	http     *http.Server
	lot      *api.Lot
	returned *http.Server // of agents whose parked request was answered
}

// New makes a server: it reads or makes its keys, opens and migrates its database
// and begins to listen. version is the program's; the log is written to out. Every
// mistake in the options is in one error. A server that is not Run must be Closed.
func New(ctx context.Context, o Options, version string, out io.Writer) (_ *Server, err error) {
	settings, err := o.check()
	if err != nil {
		return nil, err
	}
	s := &Server{settings: settings, log: settings.logger(out)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(settings.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	encryption, pin, err := settings.certificate(time.Now(), s.log)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, true); err != nil {
		return nil, err
	}
	handler, err := s.wire(ctx, version, pin)
	if err != nil {
		return nil, err
	}
	s.http = newHTTP(handler, encryption, s.log)
	s.returned = newHTTP(handler, nil, s.log)
	s.returned.ReadHeaderTimeout = s.returned.IdleTimeout // they wait for their agent's next request
	return s, nil
}

func (s *settings) logger(out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// listen takes the port, and from it the public address where none was given.
func (s *Server) listen(ctx context.Context) (err error) {
	var config net.ListenConfig
	if s.listener, err = config.Listen(ctx, "tcp", s.settings.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if s.settings.public == nil {
		s.settings.public = &url.URL{Scheme: "http", Host: s.Addr()}
		if s.settings.tls() {
			s.settings.public.Scheme = "https"
		}
	}
	return nil
}

// open opens the database: to serve, or beside a server that may be running.
func (s *Server) open(ctx context.Context, serve bool) (err error) {
	database := s.settings.Database.Reveal()
	if database == "" {
		path, err := filepath.Abs(filepath.Join(s.settings.DataDir, "server.db"))
		if err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
		database = path
	}
	s.store, err = store.Open(ctx, database, store.Options{
		Logger: s.log, DataDir: s.settings.DataDir, ListenURL: s.settings.DatabaseListen.Reveal(), Serve: serve, Beside: !serve,
	})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	return nil
}

// newHTTP sets what keeps slow and silent clients from holding on. There is no
// limit for whole requests, since some are parked; handlers set deadlines of their
// own.
func newHTTP(handler http.Handler, encryption *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second, //guard:header-timeout
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10, //guard:header-size
		TLSConfig:         encryption,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong with TLS
	}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the address by which browsers and agents reach the server.
func (s *Server) URL() string { return s.settings.public.String() }

// Run serves until ctx ends, then stops in order: it is no longer ready, answers
// parked requests, lets the others end within the stop timeout, and closes the
// database. It returns nil after that, and an error when it could not go on. It
// runs once.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { s.store.Run(background) })
	loops.Go(func() { s.waker.Run(background) })
	ended := make(chan error, 5)
	loops.Go(func() { ended <- s.jobs.Run(background) })
	loops.Go(func() { s.jobs.RunRetain(background) })
	loops.Go(func() { ended <- s.alerts.Run(background) })
	loops.Go(func() { ended <- s.notify.Run(background) })
	go func() { ended <- s.serve() }()
	go func() { ended <- served(s.returned.Serve(s.lot)) }()
	s.log.InfoContext(ctx, "serving", "listen", s.Addr(), "url", s.URL(), "tls", s.settings.tls())

	debug.FreeOSMemory() // what starting took: the contract, templates, the look through the database

	var err error
	select {
	case <-ctx.Done():
		s.log.InfoContext(ctx, "stopping")
	case err = <-ended:
		if err == nil {
			err = errors.New("a loop of the server ended by itself")
		}
	}
	err = errors.Join(err, s.stopServing())
	stop()
	loops.Wait()
	return errors.Join(err, s.Close())
}

func (s *Server) serve() error {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	return served(err)
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// stopServing answers who is parked and waits for the others; after the timeout it
// cuts them off.
func (s *Server) stopServing() error {
	s.waker.Close()
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.StopTimeout)
	defer cancel()
	err := errors.Join(s.http.Shutdown(ctx), s.returned.Shutdown(ctx))
	s.lot.Drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests cut off at the stop timeout")
		return errors.Join(s.http.Close(), s.returned.Close())
	}
	return err
}

// Close gives back the port and the database. It may be called more than once.
func (s *Server) Close() error {
	var err error
	if s.listener != nil {
		if closed := s.listener.Close(); !errors.Is(closed, net.ErrClosed) {
			err = closed
		}
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}

// hasher makes the password hasher of the settings.
func (s *settings) hasher() (*auth.Hasher, error) { return auth.NewHasher(s.cost, s.PasswordParallel) }
