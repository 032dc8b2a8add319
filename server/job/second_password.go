package job

import (
	"context"
	"encoding/json"
	"fmt"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// findSecondPassword fills in which version of the repository's second password an
// operation is to add: that one and no later one is handed over for the job.
func (w *wish) findSecondPassword(ctx context.Context, tx *store.Tx, op restic.Operation, given map[string]any) error {
	if !takes(op, fieldSecret) {
		return nil
	}
	c, err := tx.Credential(ctx, w.repository.ID, "", fleet.SecondPasswordSlot)
	if fleet.Is(err, fleet.NotFound) {
		return fleet.Errorf(fleet.InvalidField, "%s has no second password that could be added; set one first.", w.repository.Name).At("/operation")
	}
	if err != nil {
		return err
	}
	for field, value := range map[string]string{fieldSecret: string(c.ID), fieldSecretVersion: fmt.Sprint(c.Version)} {
		if named, ok := given[field]; ok && fmt.Sprint(named) != value {
			return fleet.Errorf(fleet.InvalidField, "This is not the repository's second password as it is now; leave it out.").At("/params/" + field)
		}
	}
	given[fieldSecret], given[fieldSecretVersion] = c.ID, json.Number(fmt.Sprint(c.Version))
	return nil
}

// secondPassword is the password that a job in hand adds to its repository, at the host
// that maintains that, in the version that the job was ordered with; nobody else is ever
// given one.
func secondPassword(ctx context.Context, q store.Queries, j *fleet.Job) ([]fleet.Credential, error) {
	op, known := restic.OperationNamed(j.Operation)
	if !known || !takes(op, fieldSecret) { // no params of others name it
		return nil, nil
	}
	var params struct {
		ID      fleet.CredentialID `json:"secret_id"`
		Version int64              `json:"secret_version"`
	}
	if err := j.Params.Read(&params); err != nil {
		return nil, fmt.Errorf("read the params of job %s: %w", j.ID, err)
	}
	r, err := q.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.MaintenanceHost != j.HostID { //guard:second-password-host
		return nil, nil
	}
	c, err := q.Credential(ctx, r.ID, "", fleet.SecondPasswordSlot)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if c.ID != params.ID || c.Version != params.Version { //guard:second-password-version
		return nil, nil
	}
	return []fleet.Credential{*c}, nil
}
