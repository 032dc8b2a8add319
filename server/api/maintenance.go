package api

import (
	"cmp"
	"context"
	"fmt"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// SetMaintenanceHost says which host maintains a repository. Where it works in the folder,
// no credential that can delete is kept.
func (h *Handlers) SetMaintenanceHost(ctx context.Context, r SetMaintenanceHostRequestObject) (SetMaintenanceHostResponseObject, error) {
	id, host := fleet.RepositoryID(r.RepositoryId), fleet.HostID(r.Body.HostId)
	folder, err := maintenanceFolder(r.Body)
	if err != nil {
		return nil, err
	}
	err = h.store.Update(ctx, auth.Audit(ctx, "repository.maintenance-host"), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(id), repository.Name)
		tx.Audit.Detail = "nobody"
		if host != "" {
			known, err := tx.Host(ctx, host)
			if err != nil {
				return err
			}
			tx.Audit.Detail = known.Name + ", with the credential that can delete"
			if folder != "" {
				tx.Audit.Detail = known.Name + ", in the folder " + folder
			}
		}
		if err := tx.SetMaintenance(ctx, id, host, folder); err != nil {
			return err
		}
		if host != repository.MaintenanceHost || folder != repository.MaintenanceLocation { // the trouble was with the one before
			for _, code := range []string{job.CodeMaintenanceFolder, job.CodeMaintenanceFolderGone} {
				if _, err := tx.ClearCondition(ctx, store.ObjectRepository, string(id), code); err != nil {
					return err
				}
			}
		}
		if folder != "" {
			removed, err := tx.DeleteCredential(ctx, id, "", fleet.MaintenanceSlot)
			if err != nil {
				return err
			}
			if removed {
				tx.Audit.Detail += "; the credential that can delete was removed"
			}
		}
		return job.JudgeMaintenance(ctx, tx, id)
	})
	if err != nil {
		return nil, err
	}
	view, err := h.readRepository(ctx, id)
	return SetMaintenanceHost200JSONResponse(view), err
}

// maintenanceFolder checks where the maintenance host finds the repository's folder.
func maintenanceFolder(body *MaintenanceHostSet) (string, error) {
	if body.Location == "" {
		return "", nil
	}
	if body.HostId == "" {
		return "", fleet.Errorf(fleet.InvalidField, "A folder belongs to a host; name the host, too.").At("/host_id")
	}
	l, wrong := fleet.CheckLocation(body.Location, "/location")
	switch {
	case wrong != nil:
		return "", wrong
	case l.REST():
		return "", fleet.Errorf(fleet.InvalidField,
			"This is an address, not a folder of that host. Leave it empty where the host reaches the repository by the network, and set the maintenance credential.").At("/location")
	}
	return l.String(), nil
}

// SetMaintenanceCredential sets the credential that can delete; the value before it is
// gone.
func (h *Handlers) SetMaintenanceCredential(ctx context.Context, r SetMaintenanceCredentialRequestObject) (SetMaintenanceCredentialResponseObject, error) {
	c := fleet.Credential{RepositoryID: fleet.RepositoryID(r.RepositoryId), Slot: fleet.MaintenanceSlot, Username: r.Body.Username}
	if r.Body.Location != "" {
		location, err := checkLocation(r.Body.Location, "/location")
		if err != nil {
			return nil, err
		}
		c.Location = location
	}
	err := h.store.Update(ctx, auth.Audit(ctx, "repository.maintenance-credential"), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, c.RepositoryID)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(repository.ID), repository.Name)
		tx.Audit.Detail = fmt.Sprintf("user %q; location %q", c.Username, c.Location)
		if repository.MaintenanceLocation != "" { //guard:credential-beside-folder
			return fleet.Errorf(fleet.InvalidField,
				"The maintenance host works in the repository's folder, so a credential that can delete is not needed, and safest not made.").At("/secret")
		}
		if err := checkUser(cmp.Or(c.Location, repository.Location), c.Username, r.Body.Secret, "/secret").Err(); err != nil {
			return err
		}
		if err := h.putCredential(ctx, tx, c, restic.NewSecret(r.Body.Secret)); err != nil {
			return err
		}
		return job.JudgeMaintenance(ctx, tx, c.RepositoryID)
	})
	return SetMaintenanceCredential204Response{}, err
}

// DeleteMaintenanceCredential removes the credential that can delete.
func (h *Handlers) DeleteMaintenanceCredential(ctx context.Context, r DeleteMaintenanceCredentialRequestObject) (DeleteMaintenanceCredentialResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	err := h.store.Update(ctx, auth.Audit(ctx, "repository.maintenance-credential-removed"), func(tx *store.Tx) error {
		repository, err := tx.Repository(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(id), repository.Name)
		if _, err := tx.DeleteCredential(ctx, id, "", fleet.MaintenanceSlot); err != nil {
			return err
		}
		return job.JudgeMaintenance(ctx, tx, id)
	})
	return DeleteMaintenanceCredential204Response{}, err
}

// ReplaceMaintenancePlan says when a repository is maintained.
func (h *Handlers) ReplaceMaintenancePlan(ctx context.Context, r ReplaceMaintenancePlanRequestObject) (ReplaceMaintenancePlanResponseObject, error) {
	plan := fleet.MaintenancePlan{
		Zone: r.Body.Zone, Retention: r.Body.Retention, Prune: r.Body.Prune, Check: r.Body.Check, CheckParts: r.Body.CheckParts, Measure: r.Body.Measure,
	}
	if err := plan.Wrong(); err != nil {
		return nil, err
	}
	id := fleet.RepositoryID(r.RepositoryId)
	err := h.store.Update(ctx, auth.Audit(ctx, "repository.maintenance-plan"), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(id), repository.Name)
		tx.Audit.Detail = fmt.Sprintf("zone %q; retention %q; prune %q; check %q in %d parts; measure %q",
			plan.Zone, plan.Retention, plan.Prune, plan.Check, plan.CheckParts, plan.Measure)
		if err := repository.SetPlan(plan, tx.Now); err != nil {
			return err
		}
		return tx.SetPlan(ctx, repository)
	})
	if err != nil {
		return nil, err
	}
	view, err := h.readRepository(ctx, id)
	return ReplaceMaintenancePlan200JSONResponse(view), err
}

// CreateRepositoryJob starts an operation on a repository, at the host that can do it.
func (h *Handlers) CreateRepositoryJob(ctx context.Context, r CreateRepositoryJobRequestObject) (CreateRepositoryJobResponseObject, error) {
	repository, err := h.store.Repository(ctx, fleet.RepositoryID(r.RepositoryId))
	if err != nil {
		return nil, err
	}
	host, err := h.jobs.HostFor(ctx, repository, r.Body.Operation, r.Body.Params)
	if err != nil {
		return nil, err
	}
	j, _, err := h.jobs.Enqueue(ctx, actor(ctx), job.Request{
		Host: host.ID, Operation: r.Body.Operation, Repository: repository.ID, Params: r.Body.Params, Confirm: r.Body.Confirm,
		StartWithin: time.Duration(r.Body.StartWithinS) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	view, err := h.viewJob(ctx, j)
	return CreateRepositoryJob202JSONResponse(view), err
}

// ListLocks shows the locks that were last seen in a repository.
func (h *Handlers) ListLocks(ctx context.Context, r ListLocksRequestObject) (ListLocksResponseObject, error) {
	seen, err := h.jobs.Locks(ctx, fleet.RepositoryID(r.RepositoryId))
	if err != nil {
		return nil, err
	}
	list := LockList{SeenAt: seen.At.Time(), JobId: string(seen.Job), Locks: make([]RepositoryLock, len(seen.Locks))}
	for i, l := range seen.Locks {
		view := RepositoryLock{
			Id: l.ID, Hostname: l.Hostname, Username: l.Username, Pid: int(l.PID), Exclusive: l.Exclusive, CreatedAt: l.CreatedAt.Time(),
			HostId: string(l.HostID), HostName: l.HostName, Alive: RepositoryLockAlive(l.Alive), AliveAt: l.AliveAt.Time(), Removable: Typed,
		}
		if l.Alive == job.LockDead {
			view.Removable = ByRule
		}
		if l.Job != nil {
			view.JobId, view.Operation = string(l.Job.ID), l.Job.Operation
		}
		list.Locks[i] = view
	}
	return ListLocks200JSONResponse(list), nil
}

// ListRepositorySizes shows how a repository has grown.
func (h *Handlers) ListRepositorySizes(ctx context.Context, r ListRepositorySizesRequestObject) (ListRepositorySizesResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	if _, err := h.store.Repository(ctx, id); err != nil {
		return nil, err
	}
	days, err := h.store.RepositoryDays(ctx, id, fleet.DayOf(fleet.At(h.store.Now()))-int64(cmp.Or(r.Params.Days, 90))+1)
	if err != nil {
		return nil, err
	}
	sizes := RepositorySizes{Days: make([]RepositoryDay, len(days))}
	for i, d := range days {
		sizes.Days[i] = RepositoryDay{
			Day:         openapi_types.Date{Time: time.Unix(d.Day*24*60*60, 0).UTC()},
			StoredBytes: d.StoredBytes, PlainBytes: d.PlainBytes, SourceBytes: d.SourceBytes, Snapshots: d.Snapshots,
		}
	}
	return ListRepositorySizes200JSONResponse(sizes), nil
}
