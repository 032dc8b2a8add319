package job

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Sealer opens what server/secret has sealed. The binding says where a sealed text
// lies; it opens nowhere else.
type Sealer interface {
	Open(table, id, column string, version int64, sealed string) (restic.Secret, error)
}

// SecretValue is a secret as it is handed to an agent.
type SecretValue struct {
	SecretRef
	Username string
	Value    restic.Secret
}

// FetchSecrets opens what an agent's references name. Only credentials that the
// host's configuration or one of its jobs names are given out, and only in their
// present version, but for a password that was exchanged and is kept; anything else is
// SecretNotYours, whether or not it exists. It also fails as Attend does, and with
// SecretIntegrity.
func (s *Service) FetchSecrets(ctx context.Context, a Agent, session fleet.SessionID, refs []SecretRef) ([]SecretValue, error) {
	if _, err := s.attendance(ctx, a, session); err != nil {
		return nil, err
	}
	given, waits, err := s.secretsFor(ctx, a.Host, refs)
	if err != nil {
		return nil, err
	}
	values := make([]SecretValue, 0, len(refs))
	var fetched []fleet.Credential
	for i, c := range given {
		value, err := s.Sealer.Open("credentials", string(c.ID), "sealed", c.Version, c.Sealed)
		if err != nil {
			return nil, fleet.Wrap(fleet.SecretIntegrity, fmt.Errorf("open credential %s: %w", c.ID, err),
				"A stored secret of this host's repositories cannot be opened; an admin must set it again.")
		}
		values = append(values, SecretValue{SecretRef: refs[i], Username: c.Username, Value: value})
		if c.Slot == fleet.PasswordSlot && slices.Contains(waits, c.RepositoryID) {
			fetched = append(fetched, c)
		}
	}
	return values, s.noteFetched(ctx, a.Host, fetched)
}

// secretsFor finds the credentials that references name, and at which repositories the host
// has not fetched an exchanged password yet.
func (s *Service) secretsFor(ctx context.Context, host fleet.HostID, refs []SecretRef) (given []fleet.Credential, waits []fleet.RepositoryID, err error) {
	err = s.Store.View(ctx, func(q store.Queries) error {
		given = nil
		usable, err := credentialsOf(ctx, q, host)
		if err != nil {
			return err
		}
		for i, ref := range refs {
			c, ok := usable[ref.ID]
			if ok && c.Version != ref.Version {
				former, err := formerPassword(ctx, q, c, ref.Version)
				if err != nil {
					return err
				}
				if former != nil {
					given = append(given, *former)
					continue
				}
			}
			if !ok || c.Version != ref.Version { //guard:agent-secret
				return fleet.Errorf(fleet.SecretNotYours,
					"The configuration of this host names no such secret, or another version of it: take the configuration again.").At(fmt.Sprintf("/refs/%d", i))
			}
			given = append(given, c)
		}
		waits, err = q.PasswordWaitsOfHost(ctx, host)
		return err
	})
	return given, waits, err
}

// noteFetched notes which exchanged passwords a host is about to be given.
func (s *Service) noteFetched(ctx context.Context, host fleet.HostID, fetched []fleet.Credential) error {
	if len(fetched) == 0 {
		return nil
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		for _, c := range fetched {
			if err := tx.FetchedPassword(ctx, host, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// inHand tells whether an agent has a job: it journaled it, or may be about to say so.
func inHand(ctx context.Context, q store.Queries, j *fleet.Job) (bool, error) {
	if j.State != fleet.Pending {
		return j.OnAgent(), nil
	}
	unseen, err := neverSeen(ctx, q, j)
	return !unseen, err
}

// deletingCredential is the credential that can delete, for a job in hand that needs it
// at the host that maintains the repository; nobody else is ever given it.
func deletingCredential(ctx context.Context, q store.Queries, j *fleet.Job) ([]fleet.Credential, error) {
	op, known := restic.OperationNamed(j.Operation)
	var params map[string]any
	if err := j.Params.Read(&params); err != nil {
		return nil, fmt.Errorf("read the params of job %s: %w", j.ID, err)
	}
	if !known || op.With(params).Slot != restic.SlotMaintenance { //guard:maintenance-secret-operation
		return nil, nil
	}
	r, err := q.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.MaintenanceHost != j.HostID || r.MaintenanceLocation != "" { //guard:maintenance-secret-host
		return nil, nil
	}
	c, err := q.MaintenanceCredential(ctx, r.ID)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []fleet.Credential{*c}, nil
}

// credentialsOf gathers what a host may use: at the repositories of its schedules,
// and at those of jobs that it has in hand, with the one that can delete or the second
// password where such a job needs it.
func credentialsOf(ctx context.Context, q store.Queries, host fleet.HostID) (map[fleet.CredentialID]fleet.Credential, error) {
	list, err := q.CredentialsOfHost(ctx, host)
	if err != nil {
		return nil, err
	}
	jobs, err := q.ActiveJobs(ctx, host)
	if err != nil {
		return nil, err
	}
	type way struct {
		access     fleet.HostID
		repository fleet.RepositoryID
	}
	seen := map[way]bool{}
	for i := range jobs {
		j := &jobs[i]
		inHand, err := inHand(ctx, q, j)
		if err != nil {
			return nil, err
		}
		if !inHand || j.RepositoryID == "" { //guard:job-secret
			continue
		}
		deleting, err := deletingCredential(ctx, q, j)
		if err != nil {
			return nil, err
		}
		list = append(list, deleting...)
		second, err := secondPassword(ctx, q, j)
		if err != nil {
			return nil, err
		}
		list = append(list, second...)
		to := way{accessOf(j), j.RepositoryID}
		if seen[to] {
			continue
		}
		seen[to] = true
		more, err := q.CredentialsFor(ctx, to.access, to.repository)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	usable := make(map[fleet.CredentialID]fleet.Credential, len(list))
	for _, c := range list {
		usable[c.ID] = c
	}
	return usable, nil
}
