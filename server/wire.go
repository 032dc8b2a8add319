package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"

	"restic-manager/server/alert"
	"restic-manager/server/api"
	"restic-manager/server/auth"
	"restic-manager/server/job"
	"restic-manager/server/notify"
	"restic-manager/server/ui"
	"restic-manager/server/wake"
)

// wire puts the packages together. The contract and the pages are routers of their
// own; pages ask the contract in this process, with the cookie of whoever looks.
func (s *Server) wire(ctx context.Context, version, pin string) (http.Handler, error) {
	seals, err := openSeals(ctx, s.store, s.settings.SealingKey)
	if err != nil {
		return nil, err
	}
	hasher, err := s.settings.hasher()
	if err != nil {
		return nil, err
	}
	a := auth.New(auth.Options{
		Store: s.store, Hasher: hasher, Log: s.log,
		Secure: s.settings.public.Scheme == "https", SetupFile: s.settings.setupFile(),
	})
	s.waker = wake.New(s.store, s.log)
	s.jobs = &job.Service{Store: s.store, Sealer: seals, Logger: s.log, Keep: s.settings.keep(),
		BrowseBytes: int64(s.settings.BrowseIndexMiB) << 20}
	s.lot = api.NewLot()
	s.notify = &notify.Service{
		Store: s.store, Seals: seals.keys, Log: s.log, PublicURL: s.URL(),
		Out: notify.NewEgress(s.settings.NotifyLoopback, s.settings.NotifyPublicOnly, nil),
	}
	s.alerts = &alert.Service{Store: s.store, Log: s.log, ServerVersion: version, Tells: notify.Tells, Promised: s.notify.Wake}
	contract, err := api.New(api.Options{
		Store: s.store, Jobs: s.jobs, Auth: a, Waker: s.waker, Seals: seals, Log: s.log, Alerts: s.alerts, Notify: s.notify, Lot: s.lot,
		PublicURL: s.settings.public, Pin: pin, Programs: s.settings.programs(),
	}).Routes()
	if err != nil {
		return nil, err
	}
	pages, err := s.pages(contract, version)
	if err != nil {
		return nil, err
	}
	if err := s.openSetup(ctx, a); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, pattern := range []string{"/api/", "/agent/", "/install/", "/healthz", "/readyz"} {
		mux.Handle(pattern, contract)
	}
	if token := s.settings.MetricsToken.Reveal(); token != "" {
		mux.Handle("/metrics", s.metrics(token, version))
	}
	mux.Handle("/", pages)
	return auth.Observe(s.log, s.settings.proxies, time.Now)(mux), nil
}

// pages makes the router of the browser's pages. Everybody may ask for one: what is
// on it comes from the contract, which has the rules.
func (s *Server) pages(contract http.Handler, version string) (http.Handler, error) {
	pages, err := ui.New(ui.Options{API: contract, Version: version, Logger: s.log, Now: time.Now})
	if err != nil {
		return nil, err
	}
	policy := auth.Policy{}
	for _, route := range pages.Patterns() {
		policy[route] = auth.Public
	}
	router := chi.NewRouter()
	pages.Mount(router)
	if err := policy.Check(router); err != nil {
		return nil, err
	}
	return s.guarded(router), nil
}

// guarded is around every page: deadlines, the headers that pages share, and an
// answer for a page that panicked.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))  // not every connection
		_ = conn.SetWriteDeadline(time.Now().Add(60 * time.Second)) // has deadlines
		set := w.Header()
		set.Set("X-Content-Type-Options", "nosniff")
		set.Set("X-Frame-Options", "DENY")
		set.Set("Referrer-Policy", "same-origin")
		set.Set("Cross-Origin-Opener-Policy", "same-origin")
		if s.settings.public.Scheme == "https" && !s.settings.TLSSelfMade {
			set.Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				s.log.LogAttrs(r.Context(), slog.LevelError, "page panicked",
					slog.String("request", auth.VisitOf(r.Context()).ID), slog.String("trace", string(debug.Stack())))
				http.Error(w, "Something went wrong on the server; its log has the cause.", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// openSetup says where the first account is made, as long as there is none.
func (s *Server) openSetup(ctx context.Context, a *auth.Auth) error {
	code, err := a.OpenSetup(ctx)
	if err != nil {
		return fmt.Errorf("open the set-up: %w", err)
	}
	if code != "" {
		s.log.InfoContext(ctx, "set-up code", "code", code, "file", s.settings.setupFile(), "url", s.URL()+"/setup")
	}
	return nil
}
