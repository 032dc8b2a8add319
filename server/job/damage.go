package job

import (
	"context"
	"slices"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// checked keeps which part of the data a check has read. One that found damage is held
// against the repository until a check of the same data, or of all, finds none.
func checked(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	h, j := f.health, f.job
	damaged := found.Errors > 0 || found.PacksBroken > 0 || restic.Code(f.out.Code) == restic.CodeRepoDamaged
	if j.Result != fleet.Succeeded && j.Result != fleet.Failed {
		return nil
	}
	late, err := f.olderThan(ctx, tx, h.LastCheck)
	if err != nil {
		return err
	}
	if !late {
		h.LastCheck = j.ID
	}
	if j.Result == fleet.Failed && !damaged {
		return nil // it could not look
	}
	if j.Result == fleet.Succeeded {
		h.LastGoodCheck = max(h.LastGoodCheck, j.FinishedAt)
		if part, parts := checkedPart(j.Params); parts > 0 {
			h.NoteRead(part, parts, j.FinishedAt)
		}
		return clearCheckFailed(ctx, tx, j)
	}
	_, err = tx.RaiseCondition(ctx, fleet.Condition{
		ObjectType: store.ObjectRepository, ObjectID: string(j.RepositoryID), Code: CodeCheckFailed, Severity: fleet.Critical, JobID: j.ID,
		Message:  "A check found the repository damaged: " + orElse(f.out.Message, "see its log."),
		NextStep: orElse(f.out.NextStep, "Look at the job's log, and repair at the maintenance host; do not prune before."),
	})
	return err
}

// clearCheckFailed ends the condition where a good check has looked at what the failed
// one found, from where that counts.
func clearCheckFailed(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	held, err := tx.Conditions(ctx, store.ObjectRepository, string(j.RepositoryID))
	if err != nil {
		return err
	}
	for _, c := range held {
		if c.Code != CodeCheckFailed {
			continue
		}
		failed, err := tx.Job(ctx, c.JobID)
		if err != nil && !fleet.Is(err, fleet.NotFound) {
			return err
		}
		if failed != nil && !looksAtAll(j.Params, failed.Params) { //guard:check-other-part
			continue
		}
		if failed != nil && j.FinishedAt < failed.FinishedAt { //guard:check-before
			continue // it looked before, and its report came late
		}
		may, err := mayDisprove(ctx, tx, j, failed)
		if err != nil {
			return err
		}
		if !may { //guard:check-elsewhere
			continue
		}
		if _, err := tx.ClearCondition(ctx, c.ObjectType, c.ObjectID, c.Code); err != nil {
			return err
		}
	}
	return nil
}

// looksAtAll tells whether a check looks at everything that another one looks at.
func looksAtAll(good, failed fleet.Doc) bool {
	part, parts := checkedPart(good)
	failedPart, failedParts := checkedPart(failed)
	return parts == 1 || failedParts == 0 || part == failedPart && parts == failedParts
}

// checkedPart is which part of how many a check reads by its params; 0 of 0: none.
func checkedPart(params fleet.Doc) (part, parts int) {
	var given struct {
		All   bool `json:"read_data"`
		Part  int  `json:"part"`
		Parts int  `json:"parts"`
	}
	if params.Read(&given) != nil {
		return 0, 0
	}
	switch {
	case given.All:
		return 1, 1
	case given.Parts > 0:
		return given.Part, given.Parts
	}
	return 0, 0
}

// disprovesDamage tells whether a job that ended well shows that what another one found
// damaged is not: it has looked at the whole, or done what failed. foundBy is nil where
// that one is gone.
func disprovesDamage(ctx context.Context, tx *store.Tx, j, foundBy *fleet.Job) (bool, error) {
	looked := j.Operation == OperationBackup || j.Operation == OperationCheck || foundBy != nil && j.Operation == foundBy.Operation
	if !looked { //guard:damage-unlooked
		return false, nil
	}
	return mayDisprove(ctx, tx, j, foundBy)
}

// mayDisprove tells whether a host's word ends damage that a job found: it is the host
// that found it, or the one that maintains the repository. Another one sees the storage
// through a server or a credential of its own, and may be the very one that damaged it. Where nobody
// maintains the repository, and who found it does not back up there any more, any host's
// word does.
func mayDisprove(ctx context.Context, tx *store.Tx, j, foundBy *fleet.Job) (bool, error) {
	r, err := tx.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch {
	case j.HostID == r.MaintenanceHost, foundBy != nil && foundBy.HostID == j.HostID:
		return true, nil
	case r.MaintenanceHost != "" || foundBy == nil:
		return r.MaintenanceHost == "", nil
	}
	hosts, err := tx.HostsOfRepository(ctx, r.ID)
	return !slices.ContainsFunc(hosts, func(h fleet.Host) bool { return h.ID == foundBy.HostID }), err
}
