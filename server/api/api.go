package api

import (
	"log/slog"
	"net/url"

	"restic-manager/server/alert"
	"restic-manager/server/auth"
	"restic-manager/server/job"
	"restic-manager/server/notify"
	"restic-manager/server/program"
	"restic-manager/server/store"
	"restic-manager/server/wake"
)

// Options is what handlers work with.
type Options struct {
	Store *store.Store
	Jobs  *job.Service
	Auth  *auth.Auth
	Waker *wake.Waker
	Seals Sealer
	Log   *slog.Logger

	Alerts *alert.Service
	Notify *notify.Service

	Lot *Lot // nil: agents' requests are parked in their goroutines

	Programs *program.Shelves // what machines are given; nil: nothing

	PublicURL *url.URL // where people and agents reach the server
	Pin       string   // "sha256:…" of a self-made certificate's key, for enrolment lines; empty: none
}

// Handlers answers every operation of the contract. Its methods are the generated
// StrictServerInterface: they return the answer, or an error that the adapter in
// errors.go writes as a problem document. It is safe for concurrent use.
type Handlers struct {
	store *store.Store
	jobs  *job.Service
	auth  *auth.Auth
	waker *wake.Waker
	log   *slog.Logger

	alerts *alert.Service
	notify *notify.Service

	programs  *program.Shelves
	sealer    Sealer
	publicURL *url.URL
	pin       string
	problems  problems
	crowd     *crowd
	lot       *Lot
	blocks    *blockCache
	searches  chan struct{} // one in it for each search that goes on
}

// New makes the handlers.
func New(o Options) *Handlers {
	if o.Programs == nil {
		o.Programs = program.New()
	}
	return &Handlers{
		store: o.Store, jobs: o.Jobs, auth: o.Auth, waker: o.Waker, log: o.Log,
		alerts: o.Alerts, notify: o.Notify,
		programs: o.Programs, sealer: o.Seals, publicURL: o.PublicURL, pin: o.Pin,
		problems: newProblems(), crowd: newCrowd(), lot: o.Lot, blocks: newBlockCache(maxBlockCache), searches: make(chan struct{}, maxSearches),
	}
}
