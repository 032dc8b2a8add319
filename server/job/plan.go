package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const (
	planEvery  = 30 * time.Second
	planWithin = 24 * time.Hour // how long a job of a plan waits for its host
)

// duty is a part of a plan: when it is due, and what it orders.
type duty struct {
	name   string
	cron   func(*fleet.MaintenancePlan) string
	next   func(*fleet.Repository) *fleet.Time
	orders []planned
}

// planned is an operation that a duty orders, with params beside the repository's id.
type planned struct {
	operation string
	params    string // a JSON object; empty: none
}

// duties is the whole list.
var duties = []duty{
	{"retention", func(p *fleet.MaintenancePlan) string { return p.Retention },
		func(r *fleet.Repository) *fleet.Time { return &r.NextRetention }, []planned{{OperationRetention, ""}}},
	{"prune", func(p *fleet.MaintenancePlan) string { return p.Prune },
		func(r *fleet.Repository) *fleet.Time { return &r.NextPrune }, []planned{{OperationPrune, ""}}},
	{"check", func(p *fleet.MaintenancePlan) string { return p.Check },
		func(r *fleet.Repository) *fleet.Time { return &r.NextCheck }, []planned{{OperationCheck, ""}}},
	{"measure", func(p *fleet.MaintenancePlan) string { return p.Measure },
		func(r *fleet.Repository) *fleet.Time { return &r.NextMeasure }, []planned{
			{OperationSnapshots, ""}, {OperationLocks, ""},
			{OperationStats, `{"mode":"` + statsStored + `"}`}, {OperationStats, `{"mode":"` + statsSource + `"}`}, {OperationInspect, ""},
		}},
}

// Maintain queues what repositories' plans say is due. Any replica may: whoever moves a
// repository's next moment queues the jobs, in the same transaction. What was missed
// while no server ran is made up for once.
func (s *Service) Maintain(ctx context.Context) error {
	if err := s.planAll(ctx); err != nil {
		return err
	}
	now := fleet.At(s.Store.Now())
	list, err := s.Store.DuePlans(ctx, now)
	if err != nil {
		return err
	}
	var errs []error // one repository's trouble does not hold up the others
	for i := range list {
		for _, d := range duties {
			if due := *d.next(&list[i]); due.IsZero() || due > now {
				continue
			}
			if err := s.fulfil(ctx, &list[i], d); err != nil {
				errs = append(errs, fmt.Errorf("order the %s of repository %s: %w", d.name, list[i].ID, err))
			}
		}
	}
	return errors.Join(errs...)
}

// planAll gives repositories of an older release their plan.
func (s *Service) planAll(ctx context.Context) error {
	ids, err := s.Store.RepositoriesWithoutPlan(ctx)
	if err != nil {
		return fmt.Errorf("look for repositories without a plan: %w", err)
	}
	for _, id := range ids {
		err := s.Store.Write(ctx, func(tx *store.Tx) error {
			r, err := tx.LockRepository(ctx, id)
			if err != nil || r.Plan != "" {
				return err
			}
			if err := r.SetPlan(fleet.DefaultPlan(id), tx.Now); err != nil {
				return err
			}
			return tx.SetPlan(ctx, r)
		})
		if err != nil && !fleet.Is(err, fleet.NotFound) {
			return fmt.Errorf("plan the maintenance of repository %s: %w", id, err)
		}
	}
	return nil
}

// ReviewPlans brings what plans say is due next back to where it can be: after a clock was
// set back, it would be as far away again as the clock was ahead.
func (s *Service) ReviewPlans(ctx context.Context) error {
	list, err := s.Store.Planned(ctx)
	if err != nil {
		return err
	}
	var errs []error // one repository's trouble does not hold up the others
	for i := range list {
		changed, err := list[i].Review(fleet.At(s.Store.Now()))
		if err == nil && changed {
			err = s.Store.Write(ctx, func(tx *store.Tx) error { return reviewPlan(ctx, tx, list[i].ID) })
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("review the plan of repository %s: %w", list[i].ID, err))
		}
	}
	return errors.Join(errs...)
}

func reviewPlan(ctx context.Context, tx *store.Tx, id fleet.RepositoryID) error {
	r, err := tx.LockRepository(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	changed, err := r.Review(tx.Now)
	if err != nil || !changed {
		return err
	}
	return tx.SetPlan(ctx, r)
}

// fulfil orders a duty that is due. Where no host is there to do it, it stays due; where
// nobody maintains the repository, what deletes is passed over.
func (s *Service) fulfil(ctx context.Context, seen *fleet.Repository, d duty) error {
	var wishes []Request
	for _, order := range d.orders {
		host, err := s.HostFor(ctx, seen, order.operation, nil)
		switch {
		case fleet.Is(err, fleet.NoHostOnline):
			return nil
		case fleet.Is(err, fleet.NoMaintenanceHost), fleet.Is(err, fleet.UnknownOperation):
			continue
		case err != nil:
			return err
		}
		refused, err := s.wouldRefuse(ctx, seen, host, order.operation)
		if err != nil {
			return err
		}
		if refused { // the repository's condition says so; a job a day that is rejected says no more
			continue
		}
		if order.operation == OperationInspect && seen.MaintenanceLocation == "" {
			continue // there is no folder to look at
		}
		wishes = append(wishes, Request{
			Host: host.ID, Operation: order.operation, Repository: seen.ID, Trigger: fleet.ByMaintenance, StartWithin: planWithin,
			Params: []byte(order.params),
		})
	}
	due := *d.next(seen)
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		r, err := tx.LockRepository(ctx, seen.ID)
		if fleet.Is(err, fleet.NotFound) || err == nil && *d.next(r) != due {
			return nil
		}
		if err != nil {
			return err
		}
		var plan fleet.MaintenancePlan
		if err := r.Plan.Read(&plan); err != nil {
			return fmt.Errorf("read the plan: %w", err)
		}
		*d.next(r) = plan.After(d.cron(&plan), tx.Now)
		if err := tx.SetPlan(ctx, r); err != nil {
			return err
		}
		return s.orderAll(ctx, tx, r, &plan, wishes)
	})
}

// wouldRefuse tells whether the host that maintains a repository says in its own policy
// file that it does not, for what runs only there.
func (s *Service) wouldRefuse(ctx context.Context, r *fleet.Repository, host *fleet.Host, operation string) (bool, error) {
	op, _ := restic.OperationNamed(operation)
	if op.At(restic.PlaceHost) {
		return false, nil
	}
	credential, err := s.Store.MaintenanceCredential(ctx, r.ID)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return false, err
	}
	allowed, _ := host.Maintains(r.MaintainedAt(credential))
	return allowed == fleet.AllowedNo, nil
}

// orderAll makes the jobs of a duty, but for those of whose operation one has not ended
// yet.
func (s *Service) orderAll(ctx context.Context, tx *store.Tx, r *fleet.Repository, p *fleet.MaintenancePlan, wishes []Request) error {
	names := []string{}
	for _, w := range wishes {
		names = append(names, w.Operation)
	}
	active, err := tx.JobsAt(ctx, r.ID, names)
	if err != nil {
		return err
	}
	for _, w := range wishes {
		waits := slices.ContainsFunc(active, func(j fleet.Job) bool { return j.Operation == w.Operation && !dryRun(j.Params) })
		if waits { //guard:plan-waits
			continue
		}
		if err := s.order(ctx, tx, r, p, w); err != nil {
			return err
		}
	}
	return nil
}

// order makes a job of a plan.
func (s *Service) order(ctx context.Context, tx *store.Tx, r *fleet.Repository, p *fleet.MaintenancePlan, w Request) (err error) {
	if w.Operation == OperationCheck {
		if w.Params, err = nextCheck(r, p, tx.Now); err != nil {
			return err
		}
	}
	_, err = s.make(ctx, tx, plan(), w)
	if err == nil {
		entry := plan().entry("job.create")
		entry.ObjectType, entry.ObjectID, entry.ObjectName = tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName
		entry.Detail = tx.Audit.Detail + "; by the plan of " + r.Name
		tx.Record(entry)
	}
	var refused *fleet.Error
	if errors.As(err, &refused) && refused.Err == nil && refused.Code != fleet.Unavailable {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "maintenance not ordered",
			slog.String("repository", string(r.ID)), slog.String("op", w.Operation), slog.Any("err", err))
		return nil
	}
	return err
}

// nextCheck are the params of a check that reads the part whose turn it is.
func nextCheck(r *fleet.Repository, plan *fleet.MaintenancePlan, now fleet.Time) ([]byte, error) {
	var health fleet.RepositoryHealth
	if err := r.Health.Read(&health); err != nil {
		return nil, fmt.Errorf("read the health of repository %s: %w", r.ID, err)
	}
	parts := plan.Parts(now)
	doc, err := fleet.NewDoc(map[string]any{"part": health.NextPart(parts), "parts": parts})
	return []byte(doc), err
}
