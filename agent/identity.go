package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// Identity is who this installation is to the server.
type Identity struct {
	HostID    string // empty until the server has answered the first enrolment
	InstallID string
	Secret    restic.Secret // what the agent signs in with
	Next      restic.Secret // replaces Secret once the server has its hash
	TokenHash string        // of the token that it was enrolled with
	Server    string

	// pending is an enrolment whose answer has not come. The identity that works
	// is kept beside it, in case the token turns out to be worthless.
	pending *Identity
}

// sealedIdentity is how an Identity is kept. It is written under the seal alone.
type sealedIdentity struct {
	InstallID string          `json:"install_id"`
	Secret    string          `json:"secret"`
	Next      string          `json:"next,omitempty"`
	TokenHash string          `json:"token_hash"`
	Server    string          `json:"server"`
	Pending   *sealedIdentity `json:"pending,omitempty"`
}

// errNotEnrolled says that the host has no identity.
var errNotEnrolled = errors.New("this machine is not enrolled: paste the line that the server shows under Add host")

// loadIdentity returns what save kept, or errNotEnrolled.
func loadIdentity(store *secret.Store) (Identity, error) {
	value, err := store.Identity()
	if errors.Is(err, secret.ErrNotFound) {
		return Identity{}, errNotEnrolled
	}
	if err != nil {
		return Identity{}, err
	}
	var kept sealedIdentity
	if err := json.Unmarshal([]byte(value.Secret.Reveal()), &kept); err != nil {
		return Identity{}, errors.New("the identity that is kept on this host is not understood: enrol it again") // the cause would quote it
	}
	identity := kept.identity()
	identity.HostID = value.Username
	return identity, nil
}

func (s sealedIdentity) identity() Identity {
	i := Identity{
		InstallID: s.InstallID, Secret: restic.NewSecret(s.Secret), Next: restic.NewSecret(s.Next),
		TokenHash: s.TokenHash, Server: s.Server,
	}
	if s.Pending != nil {
		i.pending = new(s.Pending.identity())
	}
	return i
}

func (i Identity) sealed() sealedIdentity {
	s := sealedIdentity{
		InstallID: i.InstallID, Secret: i.Secret.Reveal(), Next: i.Next.Reveal(), TokenHash: i.TokenHash, Server: i.Server,
	}
	if i.pending != nil {
		s.Pending = new(i.pending.sealed())
	}
	return s
}

func (i Identity) save(store *secret.Store) error {
	text, err := json.Marshal(i.sealed())
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return store.SetIdentity(secret.Value{Username: i.HostID, Secret: restic.NewSecret(string(text))})
}

// candidate returns the identity to enrol with by a token: the same one again for the
// same token, so that a lost answer costs a repeat and nothing else, and a new one
// for another.
func (i Identity) candidate(server, token string) Identity {
	matches := func(i Identity) bool { return i.InstallID != "" && i.TokenHash == hashOf(token) && i.Server == server }
	switch {
	case i.pending != nil && matches(*i.pending):
		return *i.pending
	case matches(i):
		i.pending = nil
		return i
	}
	return Identity{InstallID: uuid.NewString(), Secret: newAgentSecret(), TokenHash: hashOf(token), Server: server}
}

// newAgentSecret is 256 random bits.
func newAgentSecret() restic.Secret {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	return restic.NewSecret(hex.EncodeToString(random))
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// rotate replaces the agent's secret. Each step can be repeated: the next secret is
// on the disk before the server hears its hash, and the old one works until the next
// was used.
func (a *Agent) rotate(ctx context.Context, session string) {
	a.rotation.Lock()
	defer a.rotation.Unlock()
	if err := a.rotateOnce(ctx, session); err != nil {
		a.log.Warn("agent secret not replaced yet", "err", err)
		return
	}
	a.log.Info("agent secret replaced")
}

func (a *Agent) rotateOnce(ctx context.Context, session string) error {
	if a.identity.Next.IsZero() {
		a.identity.Next = newAgentSecret()
		if err := a.identity.save(a.vault.store); err != nil {
			a.identity.Next = restic.Secret{}
			return err
		}
	}
	err := a.link.Rotate(ctx, control.CredentialRotation{SessionId: session, NewSecretHash: hashOf(a.identity.Next.Reveal())})
	if err != nil {
		return err
	}
	replaced := a.identity
	replaced.Secret, replaced.Next = a.identity.Next, restic.Secret{}
	if err := replaced.save(a.vault.store); err != nil {
		return err
	}
	a.identity.Secret, a.identity.Next = replaced.Secret, replaced.Next
	a.link.Identify(replaced.HostID, replaced.Secret)
	return nil
}

// mustRotate reports whether a replacement was begun and not finished.
func (a *Agent) mustRotate() bool {
	a.rotation.Lock()
	defer a.rotation.Unlock()
	return !a.identity.Next.IsZero()
}
