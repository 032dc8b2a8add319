package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"restic-manager/agent/control"
	"restic-manager/agent/secret"
)

// vault gives the jobs what opens the repositories: what is sealed on this host, and
// what is not yet, from the server, which then is sealed.
type vault struct {
	store *secret.Store
	fetch func(context.Context, []secret.Ref) ([]control.Fetched, error)
	log   *slog.Logger

	mu      sync.Mutex // one fetch at a time: several jobs may want the same secret
	trouble error      // why the store could not be used the last time
}

// Secret implements runner.Secrets. A store that cannot be written does not keep a
// job from what the server has just given.
func (v *vault) Secret(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, err := v.store.Get(ref)
	if err == nil {
		v.trouble = nil
		return value, nil
	}
	if !errors.Is(err, secret.ErrNotFound) {
		v.trouble = err
	}
	fetched, fetchErr := v.fetch(ctx, []secret.Ref{ref})
	if fetchErr != nil {
		return secret.Value{}, errors.Join(fetchErr, v.trouble)
	}
	for _, f := range fetched {
		if f.ID != ref.ID || f.Version != ref.Version {
			continue
		}
		value = secret.Value{Username: f.Username, Secret: f.Value}
		if v.trouble = v.store.Put(ref, value); v.trouble != nil {
			v.log.Error("secret not kept", "secret", ref.ID, "err", v.trouble)
		}
		return value, nil
	}
	return secret.Value{}, fmt.Errorf("the server gave no value for secret %s version %d", ref.ID, ref.Version)
}

// keep forgets every secret that is not among refs.
func (v *vault) keep(refs []secret.Ref) {
	if err := v.store.Forget(refs); err != nil {
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
