package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// TestASecretThatWasReplacedWhileItWasFetchedIsNotSealed has a configuration with the
// next version come while the server's answer is under way.
func TestASecretThatWasReplacedWhileItWasFetchedIsNotSealed(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 18)
	old := secret.Ref{ID: uuid.NewString(), Version: 1}
	next := secret.Ref{ID: old.ID, Version: 2}
	var v *vault
	v = newVault(m.store, func(_ context.Context, refs []secret.Ref) ([]control.Fetched, error) {
		v.keep([]secret.Ref{next}, nil)
		return []control.Fetched{{ID: refs[0].ID, Version: refs[0].Version, Value: restic.NewSecret("first")}}, nil
	}, m.random.float, slog.New(slog.DiscardHandler))
	got, err := v.Secret(t.Context(), old)
	if err != nil || got.Secret.Reveal() != "first" {
		t.Fatalf("the job that asked got %v", err)
	}
	if _, err := m.store.Get(old); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("the replaced secret is on this host: %v", err)
	}
	if _, err := v.Secret(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store.Get(next); err != nil {
		t.Errorf("the secret that is named was not kept: %v", err)
	}
}

// TestASecretForOneJobIsNotSealed asks while it is not even known what the configuration
// names.
func TestASecretForOneJobIsNotSealed(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 20)
	foreign := secret.Ref{ID: uuid.NewString(), Version: 1}
	asked := 0
	v := newVault(m.store, func(_ context.Context, refs []secret.Ref) ([]control.Fetched, error) {
		asked++
		return []control.Fetched{{ID: refs[0].ID, Version: refs[0].Version, Username: "u", Value: restic.NewSecret("once")}}, nil
	}, m.random.float, slog.New(slog.DiscardHandler))
	for range 2 {
		got, err := v.Once(t.Context(), foreign)
		if err != nil || got.Secret.Reveal() != "once" || got.Username != "u" {
			t.Fatalf("the job that asked got %v", err)
		}
	}
	if _, err := m.store.Get(foreign); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("the secret is on this host: %v", err)
	}
	if asked != 2 {
		t.Errorf("the server was asked %d times", asked)
	}
}

// TestSecretsThatAnEarlierLifeDidNotForgetGoAtStart begins an agent whose configuration
// names none of what is sealed.
func TestSecretsThatAnEarlierLifeDidNotForgetGoAtStart(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 19)
	m.work = m.succeed
	stale := secret.Ref{ID: uuid.NewString(), Version: 1}
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "the configuration", time.Minute, func() bool { return l.agent.inForce.revision() == 1 })
		l.end(t)
		if err := m.store.Put(stale, secret.Value{Secret: restic.NewSecret("x")}); err != nil {
			t.Fatal(err)
		}
		again := m.begin(t.Context())
		eventually(t, "the stale secret to go", time.Minute, func() bool {
			_, err := m.store.Get(stale)
			return errors.Is(err, secret.ErrNotFound)
		})
		again.end(t)
	})
}

// TestThePasswordBeforeAnExchangeOpensUntilTheOtherIsFetched has the server go away between
// the configuration and its secrets.
func TestThePasswordBeforeAnExchangeOpensUntilTheOtherIsFetched(t *testing.T) {
	m := newMachine(t, 21)
	password, credential := secret.Ref{ID: uuid.NewString(), Version: 1}, secret.Ref{ID: uuid.NewString(), Version: 1}
	for ref, value := range map[secret.Ref]string{password: "former", credential: "leaked"} {
		if err := m.store.Put(ref, secret.Value{Secret: restic.NewSecret(value)}); err != nil {
			t.Fatal(err)
		}
	}
	exchanged, replaced := secret.Ref{ID: password.ID, Version: 2}, secret.Ref{ID: credential.ID, Version: 2}
	away := true
	v := newVault(m.store, func(_ context.Context, refs []secret.Ref) ([]control.Fetched, error) {
		if away {
			return nil, errors.New("the server is away")
		}
		return []control.Fetched{{ID: refs[0].ID, Version: refs[0].Version, Value: restic.NewSecret("fresh")}}, nil
	}, m.random.float, slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		v.turn = make(chan struct{}, 1) // belongs to this bubble
		v.keep([]secret.Ref{exchanged, replaced}, []secret.Ref{exchanged})
		if _, err := m.store.Get(credential); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("the credential that was replaced is on this host: %v", err)
		}
		if err := m.store.Put(credential, secret.Value{Secret: restic.NewSecret("leaked")}); err != nil { // of a life that did not forget it
			t.Fatal(err)
		}
		if _, err := v.Secret(t.Context(), replaced); err == nil {
			t.Error("a credential of another version was taken for the one that is named")
		}
		began := time.Now()
		got, err := v.Secret(t.Context(), exchanged)
		if waited := time.Since(began); err != nil || got.Secret.Reveal() != "former" || waited != exchangePatience {
			t.Errorf("while the server is away a job gets %q, %v after %s", got.Secret.Reveal(), err, waited)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.Secret(over, exchanged); err == nil {
			t.Error("a job that was cancelled gets a password")
		}
		v.keep([]secret.Ref{exchanged, replaced}, []secret.Ref{exchanged}) // the agent was started again
		away = false
		if got, err := v.Secret(t.Context(), exchanged); err != nil || got.Secret.Reveal() != "fresh" {
			t.Errorf("once the server is there a job gets %v", err)
		}
	})
	if _, err := m.store.Get(password); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("the former password stays on this host: %v", err)
	}
	if _, err := m.store.Get(exchanged); err != nil {
		t.Errorf("the password that is named was not kept: %v", err)
	}
}
