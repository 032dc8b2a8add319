package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

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

// codeKeyNotAdded is of a key-add after which the password opens nothing.
const codeKeyNotAdded = "key_not_added"

// keyAdded keeps which key the second password opens the repository with, as the job told
// that was ordered for just that version of it. A later one that did not add it has seen
// that the password opens nothing; one that failed otherwise proves nothing.
func keyAdded(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	c, err := secondOf(ctx, tx, f)
	if c == nil || err != nil {
		return err
	}
	var params struct {
		ID      fleet.CredentialID `json:"secret_id"`
		Version int64              `json:"secret_version"`
	}
	if err := f.job.Params.Read(&params); err != nil {
		return fmt.Errorf("read the params of job %s: %w", f.job.ID, err)
	}
	if c.ID != params.ID || c.Version != params.Version { //guard:key-proof-version
		return nil
	}
	if f.older(c.KeyAt) || f.job.StartedAt.IsZero() {
		return nil
	}
	key := found.KeyID
	switch {
	case f.job.Result != fleet.Succeeded && f.out.Code != codeKeyNotAdded: // it did not come to look, or not to the end
		return nil
	case f.job.Result != fleet.Succeeded || !resticIDForm.MatchString(key): //guard:key-proof-result
		key = ""
	}
	return tx.SetKey(ctx, c, key, f.job.FinishedAt)
}

// keysListed believes the maintenance host that the second password's key is not there any
// more. That one is there again only a key-add proves.
func keysListed(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	if f.job.HostID != f.maintainer || !f.job.Result.Good() { //guard:key-listed-where
		return nil
	}
	if found.Keys == nil || *found.Keys != len(found.KeyIDs) || *found.Keys == 0 { // not all are told
		return nil
	}
	c, err := secondOf(ctx, tx, f)
	if c == nil || err != nil || slices.Contains(found.KeyIDs, c.KeyID) || f.job.StartedAt <= c.KeyAt {
		return err
	}
	return tx.SetKey(ctx, c, "", f.job.FinishedAt)
}

// keyRemoved forgets the key that a key-remove took away.
func keyRemoved(ctx context.Context, tx *store.Tx, f *finding, _ *facts) error {
	var params struct {
		Key string `json:"key_id"`
	}
	if !f.job.Result.Good() || f.job.Params.Read(&params) != nil {
		return nil
	}
	c, err := secondOf(ctx, tx, f)
	if c == nil || err != nil || c.KeyID != params.Key {
		return err
	}
	return tx.SetKey(ctx, c, "", f.job.FinishedAt)
}

// secondOf is the second password of the repository that a job was about; nil where there
// is none.
func secondOf(ctx context.Context, tx *store.Tx, f *finding) (*fleet.Credential, error) {
	c, err := tx.Credential(ctx, f.job.RepositoryID, "", fleet.SecondPasswordSlot)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	return c, err
}

// formerPassword is the password that hosts used before a credential, a repository's
// password, was exchanged for the second one: in the version that they knew it by, for a
// job that was sent before. It opens the repository, too, while it is kept. Nil where that
// version is none.
func formerPassword(ctx context.Context, q store.Queries, c fleet.Credential, version int64) (*fleet.Credential, error) {
	if c.Slot != fleet.PasswordSlot {
		return nil, nil
	}
	former, err := q.Credential(ctx, c.RepositoryID, "", fleet.SecondPasswordSlot)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if former.Former != version || version == 0 { //guard:former-password
		return nil, nil
	}
	return former, nil
}
