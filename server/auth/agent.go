package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// How long a secret that was proven is taken without asking the database: an agent
// asks every few seconds. A host that is disabled or deleted is noticed at once all the
// same, by the read that every request begins with; and another secret of a host takes
// the place of the one that was proven here. So only where other replicas prove
// secrets too must this one ask often.
const (
	proofTime      = time.Minute
	proofTimeAlone = 15 * time.Minute
)

// Identity is the agent behind a request: the host and the installation that its
// secret belongs to.
type Identity struct {
	Host    fleet.HostID
	Install string
}

// HashSecret is how secrets of agents and enrolment tokens are stored: SHA-256 in
// lower-case hex. They are random, so nothing slower is needed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

type agentKey struct{}

// AgentOf gives the agent that a request was let through for. It panics where the
// route's rule is not Agent: that is a mistake in the program.
func AgentOf(ctx context.Context) Identity {
	id, ok := ctx.Value(agentKey{}).(Identity)
	if !ok {
		panic("no agent behind this request")
	}
	return id
}

var bearerForm = regexp.MustCompile(`^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([!-~]{16,200})$`)

// admitAgent finds out which agent sent a request by its secret, and by nothing
// else of the request.
func (a *Auth) admitAgent(r *http.Request) (context.Context, error) {
	host, hash, ok := bearer(r.Header.Get("Authorization"))
	if !ok {
		return nil, unknownAgent()
	}
	install, ok := a.proofs.find(host, hash, a.store.Now())
	if !ok {
		var err error
		if install, err = a.proveAgent(r.Context(), host, hash); err != nil {
			return nil, err
		}
		life := proofTime
		if !a.store.Postgres() {
			life = proofTimeAlone
		}
		a.proofs.keep(host, hash, install, a.store.Now().Add(life))
	}
	VisitOf(r.Context()).Actor = "agent:" + string(host)
	return context.WithValue(r.Context(), agentKey{}, Identity{Host: host, Install: install}), nil
}

func unknownAgent() error {
	return fleet.Errorf(fleet.CredentialUnknown, "This agent is not known here: enrol it again.")
}

func bearer(header string) (host fleet.HostID, hash string, ok bool) {
	scheme, text, _ := strings.Cut(header, " ")
	parts := bearerForm.FindStringSubmatch(text)
	if !strings.EqualFold(scheme, "Bearer") || parts == nil {
		return "", "", false
	}
	// The id outlives the request's headers, and must not keep them.
	return fleet.HostID(strings.Clone(parts[1])), HashSecret(parts[2]), true
}

// proveAgent looks a secret up. At its first use an installation takes the place of the
// one before it, and a new secret that of the old one.
func (a *Auth) proveAgent(ctx context.Context, id fleet.HostID, hash string) (string, error) {
	installations, err := a.store.Installations(ctx, id)
	if err != nil {
		return "", err
	}
	i, rotated := match(installations, hash, fleet.At(a.store.Now()))
	if i == nil { //guard:agent-bearer
		return "", a.stranger(ctx, id)
	}
	host, err := a.store.Host(ctx, id)
	if err != nil {
		return "", err
	}
	if host.Disabled {
		return "", fleet.Errorf(fleet.AgentDisabled, "This host was disabled.")
	}
	if i.Active && !rotated {
		return i.ID, nil
	}
	return i.ID, a.store.Write(ctx, func(tx *store.Tx) error {
		if rotated {
			if _, err := tx.AdoptSecret(ctx, i.ID, hash); err != nil {
				return err
			}
		}
		if i.Active {
			return nil
		}
		return tx.ActivateInstallation(ctx, id, i.ID)
	})
}

// match finds the installation that a secret belongs to; rotated says that it is
// the secret which is to replace the present one. Every hash is compared, in
// constant time.
func match(installations []fleet.Installation, hash string, now fleet.Time) (found *fleet.Installation, rotated bool) {
	for k := range installations {
		i := &installations[k]
		if !i.SupersededAt.IsZero() {
			continue
		}
		present := subtle.ConstantTimeCompare([]byte(i.SecretHash), []byte(hash)) == 1
		next := subtle.ConstantTimeCompare([]byte(i.NextSecretHash), []byte(hash)) == 1 && i.NextUntil > now
		if present || next {
			found, rotated = i, next && !present
		}
	}
	return found, rotated
}

// stranger tells an agent whose host was deleted from one that never was here.
func (a *Auth) stranger(ctx context.Context, id fleet.HostID) error {
	deleted, err := a.store.HostDeleted(ctx, id)
	if err != nil {
		return err
	}
	if deleted {
		return fleet.Errorf(fleet.AgentDeleted, "This host was deleted from the server.")
	}
	return unknownAgent()
}

// ForgetAgent makes this process ask the database again about a host's agent.
func (a *Auth) ForgetAgent(id fleet.HostID) { a.proofs.forget(id) }

// maxProofs bounds the memory of proofs; beyond it all are forgotten.
const maxProofs = 100_000

// proofs remembers which secrets were proven a moment ago. The zero value is ready.
type proofs struct {
	mu     sync.Mutex
	byHost map[fleet.HostID]proof
}

type proof struct {
	hash, install string
	until         time.Time
}

func (p *proofs) find(host fleet.HostID, hash string, now time.Time) (install string, ok bool) {
	p.mu.Lock()
	known, ok := p.byHost[host]
	p.mu.Unlock()
	ok = ok && now.Before(known.until) && subtle.ConstantTimeCompare([]byte(known.hash), []byte(hash)) == 1
	if !ok {
		return "", false
	}
	return known.install, true
}

func (p *proofs) keep(host fleet.HostID, hash, install string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byHost == nil || len(p.byHost) >= maxProofs {
		p.byHost = map[fleet.HostID]proof{}
	}
	p.byHost[host] = proof{hash, install, until}
}

func (p *proofs) forget(host fleet.HostID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byHost, host)
}
