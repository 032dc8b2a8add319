package runner

import (
	"context"
	"fmt"

	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// open gets what opens the repository, and looks once at each version of a
// credential: one that can delete does not belong on a host.
func (t *Task) open(ctx context.Context) *Ending {
	if e := t.unseal(ctx); e != nil {
		return e
	}
	return t.proveCredential(ctx)
}

// unseal fills in the access from the secrets that the configuration names.
func (t *Task) unseal(ctx context.Context) *Ending {
	get := t.runner.secrets.Secret
	if t.foreign {
		get = t.runner.secrets.Once //guard:foreign-secret
	}
	password, err := get(ctx, t.Repository.Password)
	if err != nil {
		return t.noSecret(ctx, "password", err)
	}
	t.access = restic.Access{
		Location: t.reach.location,
		Password: password.Secret,
		KeyHint:  t.Repository.KeyID,
	}
	if e := t.become(); e != nil {
		return e
	}
	if t.reach.credential == (secret.Ref{}) {
		return nil
	}
	credential, err := t.credential(ctx, get)
	if err != nil {
		return t.noSecret(ctx, "credential", err)
	}
	t.access.Username, t.access.RESTPassword = credential.Username, credential.Secret
	return nil
}

func (t *Task) noSecret(ctx context.Context, what string, err error) *Ending {
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	return failed(CodeSecretUnavailable, fmt.Sprintf("the %s of the repository is not kept on this host and could not be fetched: %s", what, err),
		"look whether the agent reaches its server, and run the job again")
}

// proveCredential refuses a credential that can delete, unless an admin has allowed
// it. A storage that gives no clear answer is asked again the next time.
func (t *Task) proveCredential(ctx context.Context) *Ending {
	if t.runner.storage == nil || !t.access.Location.REST() || t.reach.handed {
		return nil
	}
	key := provenKey{t.access.Location.String(), t.reach.credential}
	found, known := t.runner.proven.get(key)
	if !known || t.recipe.Operation == "init" || t.recipe.Operation == "identify" {
		var err error
		if found, err = probeDeletion(ctx, t.runner.storage, t.access); err != nil {
			t.Say(err.Error())
		}
		t.runner.proven.put(key, found)
		t.probed = found
	}
	if found == CanDelete && !t.Repository.AllowDeletingCredential { //guard:credential-deletes
		return rejected(CodeCredentialCanDelete, "this credential could delete backups, so this host does not use it",
			"create an append-only one (rest-server --append-only) and set it for the repository; "+
				"an admin may allow this one there, against advice")
	}
	return nil
}

// observed puts into the outcome what the task found out about the repository, whatever
// came of the operation itself.
func (e *Ending) observed(t *Task) {
	e.RepositorySeen = t.seen
	switch t.probed {
	case CanDelete:
		e.CanDelete = "yes"
	case CannotDelete:
		e.CanDelete = "no"
	case DeletionUnknown:
		e.CanDelete = "unknown"
	}
}
