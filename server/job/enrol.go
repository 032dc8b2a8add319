package job

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Enrolment is an agent that comes with a one-time token.
type Enrolment struct {
	TokenHash    string // SHA-256 in hex
	Install      string
	SecretHash   string // SHA-256 in hex, of the agent's own secret
	Hostname     string
	OS, Arch     string
	AgentVersion string
}

// errRepeated stops a transaction that would audit a repeat.
var errRepeated = errors.New("this agent has enrolled before")

// Enrol turns a token into an agent's identity, once. Repeating it as it was gives
// the same host, so a lost answer costs nothing. It fails with
// EnrolmentTokenInvalid, EnrolmentTokenUsed and AgentMismatch.
func (s *Service) Enrol(ctx context.Context, actor Actor, e Enrolment) (*fleet.Host, error) {
	var id fleet.HostID
	err := s.Store.Update(ctx, actor.entry("host.enrol"), func(tx *store.Tx) error {
		var repeated bool
		var err error
		id, repeated, err = tx.Enrol(ctx, store.Enrolment{
			TokenHash: e.TokenHash, InstallID: e.Install, SecretHash: e.SecretHash,
			Hostname: resticHost(e.Hostname), OS: e.OS, Arch: e.Arch, AgentVersion: e.AgentVersion,
		})
		if err != nil {
			return err
		}
		if repeated {
			return errRepeated
		}
		if err := tx.JudgeHost(ctx, id); err != nil {
			return err
		}
		host, err := tx.Host(ctx, id)
		if err != nil {
			return err
		}
		tx.Audit.Actor = "agent:" + string(id)
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "host", string(id), host.Name
		tx.Audit.Detail = "installation " + e.Install
		return nil
	})
	if err != nil && !errors.Is(err, errRepeated) {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return s.Store.Host(ctx, id)
}

var noHostName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// resticHost makes what restic takes for --host of a machine's name.
func resticHost(name string) string {
	if restic.CheckHost(name) == nil {
		return name
	}
	plain := strings.Trim(noHostName.ReplaceAllString(name, "-"), "-.")
	if restic.CheckHost(plain) == nil {
		return plain
	}
	return "host"
}

// rotationTime is how long the old secret of an agent works beside the new one that
// was not used yet.
const rotationTime = 24 * time.Hour

// RotateSecret lets another secret of an agent work, of which only the hash is told.
// Both work until the new one was used, or for 24 h. Repeating it with the same hash
// changes nothing.
func (s *Service) RotateSecret(ctx context.Context, actor Actor, a Agent, session fleet.SessionID, hash string) error {
	here, err := s.attendance(ctx, a, session)
	if err != nil {
		return err
	}
	installation, err := s.Store.Installation(ctx, a.Install)
	if err != nil {
		return err
	}
	if hash == installation.NextSecretHash || hash == installation.SecretHash {
		return nil
	}
	return s.Store.Update(ctx, actor.entry("host.rotate_secret"), func(tx *store.Tx) error {
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "host", string(here.ID), here.Name
		return tx.OfferSecret(ctx, a.Install, hash, tx.Now.Add(rotationTime))
	})
}
