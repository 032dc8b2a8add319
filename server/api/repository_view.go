package api

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

// around is what the views of repositories hold of other rows, read at once for all.
type around struct {
	jobs  map[fleet.JobID]*fleet.Job
	hosts map[fleet.HostID]*fleet.Host
	held  map[fleet.RepositoryID]int // jobs that wait for their turn
	waits map[fleet.RepositoryID][]fleet.PasswordWait
}

// readAround reads what the views of repositories need of jobs and hosts.
func (h *Handlers) readAround(ctx context.Context, list []fleet.Repository, healths []fleet.RepositoryHealth) (*around, error) {
	a := &around{jobs: map[fleet.JobID]*fleet.Job{}}
	ids, hosts := map[fleet.JobID]bool{}, map[fleet.HostID]bool{}
	for i := range list {
		for _, id := range []fleet.JobID{list[i].HoldJob, healths[i].LastCheck, healths[i].LastPrune, healths[i].LastRetention} {
			ids[id] = true
		}
		hosts[list[i].MaintenanceHost] = true
	}
	delete(ids, "")
	jobs, err := h.store.JobsNamed(ctx, slices.Collect(maps.Keys(ids)))
	if err != nil {
		return nil, err
	}
	for i := range jobs {
		a.jobs[jobs[i].ID] = &jobs[i]
		hosts[jobs[i].HostID] = true
	}
	delete(hosts, "")
	if a.hosts, err = h.store.HostsNamed(ctx, slices.Collect(maps.Keys(hosts))); err != nil {
		return nil, err
	}
	if a.held, err = h.store.CountHeld(ctx); err != nil {
		return nil, err
	}
	repositories := make([]fleet.RepositoryID, len(list))
	for i := range list {
		repositories[i] = list[i].ID
	}
	waits, err := h.store.PasswordWaits(ctx, repositories...)
	a.waits = map[fleet.RepositoryID][]fleet.PasswordWait{}
	for _, w := range waits {
		a.waits[w.RepositoryID] = append(a.waits[w.RepositoryID], w)
	}
	return a, err
}

// complete puts to the view of a repository who maintains it, when, and what is known
// of its health.
func (a *around) complete(view *Repository, r *fleet.Repository, health *fleet.RepositoryHealth, deleting *fleet.Credential, now fleet.Time) error {
	var plan fleet.MaintenancePlan
	if err := r.Plan.Read(&plan); err != nil {
		return fmt.Errorf("read the plan of repository %s: %w", r.ID, err)
	}
	view.Plan = MaintenancePlan{
		Zone: plan.Zone, Retention: plan.Retention, Prune: plan.Prune, Check: plan.Check, CheckParts: plan.CheckParts, Measure: plan.Measure,
	}
	view.Maintenance = a.maintenance(r, deleting)
	view.Hold = a.hold(r, now)
	view.Health = RepositoryHealth{
		MeasuredAt: health.MeasuredAt.Time(), StoredBytes: health.StoredBytes, PlainBytes: health.PlainBytes, SourceBytes: health.SourceBytes,
		Blobs: health.Blobs, GrowthBytesPerDay: health.GrowthPerDay, FreeBytes: health.FreeBytes, TotalBytes: health.TotalBytes,
		FullAt: health.FullAt().Time(), LastGoodCheckAt: health.LastGoodCheck.Time(), ReadShare: health.ShareRead(now),
		NextRetentionAt: r.NextRetention.Time(), NextPruneAt: r.NextPrune.Time(), NextCheckAt: r.NextCheck.Time(), NextMeasureAt: r.NextMeasure.Time(),
		UndoUntil: health.UndoUntil.Time(), Locks: health.Locks, Keys: health.Keys, ForeignObjects: health.ForeignObjects, Suspects: health.Suspects,
		InspectJobId: string(health.Inspect), AppendProvenAt: health.AppendProven.Time(),
	}
	if plan.Check != "" {
		view.Health.CheckParts = plan.Parts(now)
		view.Health.NextCheckPart = health.NextPart(view.Health.CheckParts)
	}
	for _, brief := range []struct {
		id   fleet.JobID
		into **JobBrief
	}{{health.LastCheck, &view.Health.LastCheck}, {health.LastPrune, &view.Health.LastPrune}, {health.LastRetention, &view.Health.LastRetention}} {
		j := a.jobs[brief.id]
		if j == nil {
			continue
		}
		var err error
		if *brief.into, err = toBrief(j); err != nil {
			return err
		}
	}
	return nil
}

func (a *around) maintenance(r *fleet.Repository, deleting *fleet.Credential) RepositoryMaintenance {
	host := a.hosts[r.MaintenanceHost]
	if host == nil {
		return RepositoryMaintenance{Mode: RepositoryMaintenanceModeNone}
	}
	at := r.MaintainedAt(deleting)
	m := RepositoryMaintenance{Mode: RepositoryMaintenanceModeFolder, HostId: string(host.ID), HostName: host.Name, Location: r.MaintenanceLocation}
	if r.MaintenanceLocation == "" {
		m.Mode = RepositoryMaintenanceModeCredential
	}
	allowed, rule := host.Maintains(at)
	m.Allowed = RepositoryMaintenanceAllowed(allowed)
	switch {
	case allowed == fleet.AllowedNo:
		m.NextStep = job.AllowMaintenance(at)
	case m.Mode == RepositoryMaintenanceModeCredential && deleting == nil:
		m.NextStep = "Set the maintenance credential, or name the repository's folder at that host."
	}
	if rule != nil {
		m.Floors = MaintenanceRule(*rule)
	}
	return m
}

func (a *around) hold(r *fleet.Repository, now fleet.Time) RepositoryHold {
	j := a.jobs[r.HoldJob]
	if j == nil {
		return RepositoryHold{}
	}
	view := RepositoryHold{
		JobId: string(j.ID), Operation: j.Operation, Since: r.HoldSince.Time(), Running: !j.Held, WaitsFor: j.WaitingOn, Next: a.held[r.ID],
	}
	if host := a.hosts[j.HostID]; host != nil {
		view.HostName = host.Name
	}
	if j.Held {
		view.Next--
	}
	if r.HoldUntil > now {
		view.HeldBackUntil = r.HoldUntil.Time()
	}
	return view
}
