package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/secret"
)

// vault gives the jobs what opens the repositories: what is sealed on this host, and
// what is not yet, from the server, which then is sealed.
type vault struct {
	store *secret.Store
	fetch func(context.Context, []secret.Ref) ([]control.Fetched, error)
	rand  func() float64
	log   *slog.Logger

	turn chan struct{} // of one: several jobs may want the same secret at once

	sealing   sync.Mutex   // guards what is sealed: keep and put take turns
	named     []secret.Ref // by the configuration in force; nil while that is not known
	passwords []secret.Ref // of repositories, among named

	mu      sync.Mutex
	trouble error // why the store could not be used the last time
}

func newVault(store *secret.Store, fetch func(context.Context, []secret.Ref) ([]control.Fetched, error), rand func() float64, log *slog.Logger) *vault {
	return &vault{store: store, fetch: fetch, rand: rand, log: log, turn: make(chan struct{}, 1)}
}

// How long a job waits for a secret that only the server has; and for the password that
// was exchanged for one that this host still has.
const (
	fetchPatience    = 5 * time.Minute
	exchangePatience = 10 * time.Second
)

// Secret implements runner.Secrets. A store that cannot be written does not keep a
// job from what the server has just given. Of a repository's password the version before is
// used while the one that is named cannot be had: they were exchanged, and both open it.
func (v *vault) Secret(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if value, ok := v.kept(ref); ok {
		return value, nil
	}
	former, exchanged := v.former(ref)
	if !exchanged {
		return v.fetched(ctx, ref)
	}
	patient, cancel := context.WithTimeout(ctx, exchangePatience)
	defer cancel()
	value, err := v.fetched(patient, ref)
	if err != nil && ctx.Err() == nil {
		v.log.Warn("password not fetched yet, the former one is used", "secret", ref.ID, "err", err)
		return former, nil
	}
	return value, err
}

// former is the version of a repository's password that is still kept here, where the one
// that is named is not.
func (v *vault) former(ref secret.Ref) (secret.Value, bool) {
	v.sealing.Lock()
	defer v.sealing.Unlock()
	if !slices.Contains(v.passwords, ref) { //guard:former-kind
		return secret.Value{}, false
	}
	other, ok := before(v.store.Kept(), ref)
	if !ok {
		return secret.Value{}, false
	}
	value, err := v.store.Get(other)
	return value, err == nil
}

// before is the latest other version of a secret among those that are kept, where the one
// that is named is not.
func before(kept []secret.Ref, ref secret.Ref) (other secret.Ref, ok bool) {
	for _, k := range kept {
		switch {
		case k == ref:
			return secret.Ref{}, false
		case k.ID == ref.ID && k.Version > other.Version:
			other = k
		}
	}
	return other, other != secret.Ref{}
}

// fetched returns a secret as it is named, from here or from the server.
func (v *vault) fetched(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if value, ok := v.kept(ref); ok {
		return value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return secret.Value{}, context.Cause(ctx)
	}
	if value, ok := v.kept(ref); ok {
		return value, nil
	}
	value, err := v.ask(ctx, ref)
	if err != nil {
		return secret.Value{}, err
	}
	v.put(ref, value)
	return value, nil
}

// Once implements runner.Secrets: what was fetched is not sealed, so that it is gone from
// this host with the job.
func (v *vault) Once(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if value, ok := v.kept(ref); ok {
		return value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	return v.ask(ctx, ref)
}

// put seals a secret, unless a newer configuration has stopped naming it while it was
// fetched: what was replaced must not stay on this host.
func (v *vault) put(ref secret.Ref, value secret.Value) {
	v.sealing.Lock()
	defer v.sealing.Unlock()
	if v.named != nil && !slices.Contains(v.named, ref) {
		return
	}
	put := v.store.Put
	if slices.Contains(v.passwords, ref) {
		put = v.store.Replace // the one before it is not needed any more
	}
	err := put(ref, value)
	v.note(err)
	if err != nil {
		v.log.Error("secret not kept", "secret", ref.ID, "err", err)
	}
}

// kept returns what is sealed here.
func (v *vault) kept(ref secret.Ref) (secret.Value, bool) {
	value, err := v.store.Get(ref)
	if !errors.Is(err, secret.ErrNotFound) {
		v.note(err)
	}
	return value, err == nil
}

// ask repeats what the network loses, and what waits for the next session, until the
// server answers or ctx ends.
func (v *vault) ask(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	backoff := control.Backoff{Rand: v.rand}
	for {
		fetched, err := v.fetch(ctx, []secret.Ref{ref})
		for _, f := range fetched {
			if f.ID == ref.ID && f.Version == ref.Version {
				return secret.Value{Username: f.Username, Secret: f.Value}, nil
			}
		}
		if err == nil {
			return secret.Value{}, fmt.Errorf("the server gave no value for secret %s version %d", ref.ID, ref.Version)
		}
		if control.IsRefusal(err, codeSecretNotYours) || control.Sleep(ctx, backoff.Next(err)) != nil {
			return secret.Value{}, err
		}
	}
}

const codeSecretNotYours = "secret_not_yours"

func (v *vault) note(trouble error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trouble = trouble
}

// keep forgets every secret that is not among refs, and seals no other from now on. Of a
// password whose version is not sealed here the one before stays until it is: the server may
// be out of reach by now.
func (v *vault) keep(refs, passwords []secret.Ref) {
	v.sealing.Lock()
	defer v.sealing.Unlock()
	v.named, v.passwords = append([]secret.Ref{}, refs...), passwords
	stay, kept := slices.Clone(v.named), v.store.Kept()
	for _, ref := range v.passwords {
		if other, ok := before(kept, ref); ok { //guard:former-stays
			stay = append(stay, other)
		}
	}
	if err := v.store.Forget(stay); err != nil {
		v.log.Error("old secrets not removed", "err", err)
	}
}

// problems says what is wrong with the store.
func (v *vault) problems() []control.HealthProblem {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.trouble == nil {
		return nil
	}
	problem := control.HealthProblem{Code: codeSecretStore, Message: clip(v.trouble.Error(), 2000)}
	var known *secret.Error
	if errors.As(v.trouble, &known) {
		problem = control.HealthProblem{Code: known.Code, Message: clip(known.What, 2000), NextStep: clip(known.Next, 1000)}
	}
	return []control.HealthProblem{problem}
}

// fetchFromServer asks the server for secrets, as part of the session.
func (a *Agent) fetchFromServer(ctx context.Context, refs []secret.Ref) ([]control.Fetched, error) {
	session := a.session.Load()
	if session == nil {
		return nil, errors.New("the agent has not reached its server since it was started")
	}
	request := control.SecretsRequest{SessionId: *session}
	for _, ref := range refs {
		request.Refs = append(request.Refs, control.SecretRef{Id: ref.ID, Version: ref.Version})
	}
	return a.link.FetchSecrets(ctx, request)
}
