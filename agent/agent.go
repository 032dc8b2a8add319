package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/runner"
	"restic-manager/agent/schedule"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Options are the parts that an agent is made of. [Assemble] makes them from a
// configuration; a test may put others in their place. All but the last group are
// required.
type Options struct {
	Identity Identity
	Link     *control.Link
	Spool    *spool.Spool
	Secrets  *secret.Store                  // what is sealed on this host
	Policy   func() (*policy.Policy, error) // reads the policy file anew
	Config   *control.AgentConfig           // in force when the agent last ran; nil for none
	ConfigAt time.Time                      // when that came in force; zero for unknown
	Version  string
	BootID   string
	Log      *slog.Logger

	Restic *restic.Runner // nil where recipes start no processes
	// FindRestic looks for a restic to use in the place of one that cannot be; nil for
	// never.
	FindRestic func(context.Context) (path string, err error)

	Upkeep       string          // folder for what is remembered of repositories that this host maintains
	Storage      *http.Client    // nil asks no storage what a credential can do
	Recipes      []runner.Recipe // nil for all
	FirstContact time.Duration   // the first contact comes after a random part of this
	Rand         func() float64  // numbers in [0,1); nil for math/rand

	Now       func() time.Time             // the clock on the wall; nil for time.Now
	Suspended func() (time.Duration, bool) // how long the machine has slept; nil for the system's
}

// Agent is one process life of an agent.
type Agent struct {
	identity Identity
	link     *control.Link
	spool    *spool.Spool
	vault    *vault
	policy   func() (*policy.Policy, error)
	restic   *restic.Runner
	find     func(context.Context) (path string, err error) // another restic; nil for never
	version  string
	bootID   string
	log      *slog.Logger
	rand     func() float64

	firstContact time.Duration
	recipeNames  []string
	started      time.Time
	orphans      []string // what an earlier agent left and could not be ended; written before the loops begin

	inForce    inForce
	directives *directives
	jobs       *jobs
	cron       *schedule.Scheduler
	now        func() time.Time
	prefetch   sync.WaitGroup
	// stopPrefetch ends the prefetch of the configuration in force; the sync goroutine's alone.
	stopPrefetch context.CancelFunc

	rotation   sync.Mutex // guards identity's secrets
	session    atomic.Pointer[string]
	trouble    atomic.Pointer[string] // why the server was last not reached, "" when it was
	uploadRate atomic.Int64           // bytes a second, 0 for no limit

	sentPolicy control.PolicyReport // as the server last took it; the sync goroutine's alone
	sentOffers control.Offers       // likewise
	sentSlots  []control.SlotClaim  // likewise
	sentAways  []control.Absence    // likewise
}

// New returns an agent that has done nothing yet. A configuration in force that is
// not understood is set aside: the server sends another.
func New(o Options) (*Agent, error) {
	if o.Recipes == nil {
		o.Recipes = runner.Recipes()
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Agent{
		identity: o.Identity, link: o.Link, spool: o.Spool, policy: o.Policy, restic: o.Restic, find: o.FindRestic,
		version: o.Version, bootID: o.BootID, log: o.Log, rand: o.Rand,
		firstContact: o.FirstContact, directives: newDirectives(), stopPrefetch: func() {}, started: time.Now(), now: o.Now,
	}
	a.vault = newVault(o.Secrets, a.fetchFromServer, o.Rand, o.Log)
	for _, recipe := range o.Recipes {
		a.recipeNames = append(a.recipeNames, recipe.Operation)
	}
	a.cron = schedule.New(schedule.Options{
		Spool: o.Spool, Start: func() { a.jobs.startPending() }, Locked: a.lockedOut, BootID: o.BootID, Log: o.Log,
		Now: o.Now, Suspended: o.Suspended,
	})
	if o.Config != nil {
		config, err := understandConfig(*o.Config, o.Identity.HostID)
		if err != nil {
			a.log.Error("configuration in force not understood", "revision", o.Config.Revision, "err", err)
		} else {
			a.inForce.put(o.Config.Revision, config)
			a.cron.Configure(o.Config.Revision, a.inForceSince(o), entriesOf(*o.Config))
		}
	}
	a.jobs = newJobs(o.Spool, runner.New(runner.Options{
		Spool: o.Spool, Restic: o.Restic, Policy: o.Policy, Config: a.inForce.get, Secrets: a.vault,
		Listings: a, Storage: o.Storage, Recipes: o.Recipes, Now: o.Now, Log: o.Log, Upkeep: o.Upkeep, Understand: understandRepository,
	}))
	return a, nil
}

// inForceSince is when the times of the configuration in force began. An earlier life
// that died after it had saved the configuration did not come to note that.
func (a *Agent) inForceSince(o Options) time.Time {
	known := a.cron.Revision()
	if known == 0 || known == o.Config.Revision || o.ConfigAt.IsZero() || o.ConfigAt.After(a.now()) {
		return a.now()
	}
	return o.ConfigAt
}

// lockedOut reports whether the policy file locks the agent.
func (a *Agent) lockedOut() bool {
	_, err := a.policy()
	return err != nil
}

// How long the last words may take when the agent is stopped.
const lastWords = 5 * time.Second

// Run works until ctx ends, and stops in order as the package comment says. It
// returns nil then. The error is errDiskBack where the spool lived in memory and the disk
// has what it remembers again: another life goes on there. Another one means that it could
// not begin.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.clearUp(ctx); err != nil {
		return err
	}
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	var writer sync.WaitGroup
	writer.Go(func() { _ = a.spool.Run(writing) }) // ends with its context alone
	if a.inForce.revision() > 0 {
		a.vault.keep(a.inForce.get().SecretRefs(), a.inForce.get().PasswordRefs()) // an earlier life may not have come to it
	}
	a.jobs.recoverInterrupted()
	a.jobs.startPending()
	talking, hush := context.WithCancel(ctx)
	defer hush()
	var firing sync.WaitGroup
	firing.Go(func() {
		if a.fireUntilDisk(ctx) {
			hush()
		}
	})
	a.talk(talking)
	a.log.Info("stopping")
	firing.Wait()
	a.jobs.stop()
	a.prefetch.Wait()
	a.sayGoodbye(context.WithoutCancel(ctx))
	stopWriting()
	writer.Wait()
	a.link.Close()
	if err := a.spool.Flush(context.WithoutCancel(ctx)); err != nil || ctx.Err() != nil || !a.spool.Homeless() {
		return err
	}
	return a.goHome(ctx)
}

// clearUp ends what an earlier life of the agent left running, before anything new
// is started.
func (a *Agent) clearUp(ctx context.Context) error {
	if a.restic == nil {
		return nil
	}
	for _, job := range a.spool.Interrupted() {
		if len(job.Process) == 0 || string(job.Process) == "null" {
			continue
		}
		var ref restic.ProcessRef
		if err := json.Unmarshal(job.Process, &ref); err != nil {
			a.log.Error("recorded process not understood", "job", job.ID, "err", err)
			continue
		}
		killed, err := restic.KillOrphan(ctx, ref)
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil { // a process that hangs in the kernel must not keep the host from its other work
			a.log.Error("a restic that an earlier agent left does not end", "job", job.ID, "err", err)
			a.orphans = append(a.orphans, fmt.Sprintf("process %d of job %s: %v", ref.PID, job.ID, err))
			continue
		}
		if killed {
			a.log.Warn("killed what an earlier agent left running", "job", job.ID, "pid", ref.PID)
		}
	}
	if err := a.restic.RemoveLeftovers(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("temporary files not removed", "err", err)
	}
	return nil
}

// sayGoodbye reports once more and closes the session, if the server is there.
func (a *Agent) sayGoodbye(ctx context.Context) {
	session := a.session.Load()
	if session == nil || !a.reached() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	var last unanswered
	for more := true; more; {
		var err error
		if _, more, err = a.reportOnce(ctx, *session, limitsOf(control.Limits{}), &last); err != nil {
			a.log.Info("last report not delivered; it waits in the spool", "err", err)
			return
		}
	}
	if err := a.link.CloseSession(ctx, *session); err != nil {
		a.log.Info("session not closed", "err", err)
	}
}

// reached reports whether the last exchange with the server was an answer of it.
func (a *Agent) reached() bool {
	trouble := a.trouble.Load()
	return trouble == nil || *trouble == ""
}

// jitter returns a random part of d.
func (a *Agent) jitter(d time.Duration) time.Duration {
	return time.Duration(a.rand() * float64(d))
}
