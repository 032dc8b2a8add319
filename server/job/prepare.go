package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// A repository is made usable by one job in its life: init, or identify where it is
// said to exist. Several inits at once would leave several keys and a repository
// that restic calls damaged, so the claim is a compare-and-swap on the repository's
// row, and it is given up only where no agent can have seen the command.

// errClaimed stops a transaction that came too late for a claim.
var errClaimed = errors.New("another job makes this repository usable")

// Prepare queues the one job that makes a new repository usable, init or identify,
// at the first host that is online and has a schedule there. Where the repository
// is not new or no such host is there, nothing happens; it is called again when a
// host comes online. Call it after the transaction that made a repository or a
// schedule.
func (s *Service) Prepare(ctx context.Context, repository fleet.RepositoryID) error {
	r, err := s.Store.Repository(ctx, repository)
	if err != nil || r.State != fleet.RepositoryNew {
		return err
	}
	hosts, err := s.Store.HostsOfRepository(ctx, repository)
	if err != nil {
		return err
	}
	for i := range hosts {
		if hosts[i].Presence(s.Store.Now()) == fleet.Online {
			return s.prepareAt(ctx, &hosts[i], r)
		}
	}
	return nil
}

// prepareFor prepares what a host that came online has schedules for. Trouble with
// that is no reason to turn its agent away: it is logged, and Run tries again.
func (s *Service) prepareFor(ctx context.Context, id fleet.HostID) {
	s.round(ctx, "prepare repositories", func(ctx context.Context) error { return s.prepareHost(ctx, id) })
}

func (s *Service) prepareHost(ctx context.Context, id fleet.HostID) error {
	list, err := s.Store.RepositoriesOfHost(ctx, id)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].State != fleet.RepositoryNew {
			continue
		}
		host, err := s.Store.Host(ctx, id)
		if err != nil {
			return err
		}
		if err := s.prepareAt(ctx, host, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) prepareAt(ctx context.Context, host *fleet.Host, r *fleet.Repository) error {
	err := s.Store.Update(ctx, server().entry("repository.prepare"), func(tx *store.Tx) error {
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "repository", string(r.ID), r.Name
		tx.Audit.Detail = "at host " + host.Name
		w := &wish{host: host, repository: r, trigger: fleet.ByMaintenance, startWithin: defaultStartWithin}
		return w.claim(ctx, tx, firstOperation(r))
	})
	if errors.Is(err, errClaimed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("prepare repository %s: %w", r.ID, err)
	}
	return nil
}

// firstOperation is what makes a repository usable.
func firstOperation(r *fleet.Repository) string {
	if r.Existing {
		return OperationIdentify
	}
	return OperationInit
}

// claim queues the operation that makes the repository usable, at the wish's host.
// It fails with errClaimed where the repository is not new any more.
func (w *wish) claim(ctx context.Context, tx *store.Tx, operation string) error {
	params, err := fleet.NewDoc(map[string]any{fieldRepository: w.repository.ID})
	if err != nil {
		return err
	}
	first := &wish{
		host: w.host, repository: w.repository, operation: operation, params: params,
		trigger: w.trigger, createdBy: w.createdBy, startWithin: w.startWithin, claims: true,
	}
	_, err = first.enqueue(ctx, tx)
	return err
}

// makeUsable sees to it that the wish's repository is usable when its job comes to
// run: commands of one host are carried out in order.
func (w *wish) makeUsable(ctx context.Context, tx *store.Tx) error {
	r := w.repository
	switch {
	case r == nil:
		return nil
	case w.operation == OperationInit, w.operation == OperationIdentify:
		return w.mayClaim(ctx, tx)
	}
	switch r.State {
	case fleet.RepositoryReady:
		return nil
	case fleet.RepositoryInitialising:
		return w.behindClaim(ctx, tx)
	case fleet.RepositoryFailed:
		return fleet.Errorf(fleet.RepositoryNotReady,
			"The repository %s could not be made usable; its page says why, and lets you try again.", r.Name)
	}
	if w.operation != OperationBackup {
		return fleet.Errorf(fleet.RepositoryNotReady, "The repository %s has not been initialised yet; run a backup first.", r.Name)
	}
	return w.claim(ctx, tx, firstOperation(r))
}

// behindClaim lets a job queue up behind the one that makes the repository usable,
// where both are the same host's.
func (w *wish) behindClaim(ctx context.Context, tx *store.Tx) error {
	first, err := tx.Job(ctx, w.repository.InitJob)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return err
	}
	if err == nil && first.HostID == w.host.ID {
		return nil
	}
	by := "another host"
	if err == nil {
		names, err := tx.HostNames(ctx, []fleet.HostID{first.HostID})
		if err != nil {
			return err
		}
		by = names[first.HostID]
	}
	return notReady(w.repository, by)
}

func notReady(r *fleet.Repository, by string) error {
	return fleet.Errorf(fleet.RepositoryNotReady, "The repository %s is being made usable by %s; try again when that is done.", r.Name, by)
}

// mayClaim decides whether a person may start init or identify: on a repository
// that is new, or that failed and was looked at. One that is ready may say again who it
// is and which keys it has, which changes nothing and claims nothing.
func (w *wish) mayClaim(ctx context.Context, tx *store.Tx) error {
	r := w.repository
	switch r.State {
	case fleet.RepositoryReady:
		if w.operation == OperationIdentify {
			return nil
		}
		return fleet.Errorf(fleet.InvalidField, "The repository %s is ready; it is initialised once in its life.", r.Name).At("/operation")
	case fleet.RepositoryInitialising:
		return w.behindOther(ctx, tx)
	}
	if w.operation == OperationInit && r.Existing {
		return fleet.Errorf(fleet.InvalidField,
			"The repository %s was added as one that exists; it is identified and never initialised.", r.Name).At("/operation")
	}
	if r.State == fleet.RepositoryFailed {
		if _, err := tx.RetryInit(ctx, r.ID); err != nil {
			return err
		}
	}
	w.claims = true
	return nil
}

// behindOther is the refusal of a second claim.
func (w *wish) behindOther(ctx context.Context, tx *store.Tx) error {
	err := w.behindClaim(ctx, tx)
	if err == nil {
		err = notReady(w.repository, w.host.Name)
	}
	return err
}

// prepareAll looks for new repositories that a host has come online for.
func (s *Service) prepareAll(ctx context.Context) error {
	list, err := s.Store.NewRepositories(ctx)
	if err != nil {
		return err
	}
	var errs []error // one repository's trouble does not hold up the others
	for _, id := range list {
		if err := s.Prepare(ctx, id); err != nil && !fleet.Is(err, fleet.NotFound) {
			errs = append(errs, fmt.Errorf("prepare repository %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// prepareEvery is how often that is.
const prepareEvery = 30 * time.Second
