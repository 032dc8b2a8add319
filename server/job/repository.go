package job

import (
	"context"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Codes of conditions of repositories, beside restic's own.
const (
	CodeInitFailed          = "repository_init_failed"
	CodeRepositoryChanged   = "repository_changed" // another one lies at its location
	CodeRepoMissing         = "repo_missing"       // it was there and is gone
	CodeCredentialCanDelete = "credential_can_delete"
	CodeMaintenanceFolder   = "maintenance_folder" // where it is maintained it is not, or cannot be worked on

	CodeMaintenanceFolderGone = "maintenance_folder_gone" // where it was maintained it is no more
)

// settleRepository ends the claim of the job that makes a repository usable. What
// counts is whether the repository was opened and said who it is: also an init whose
// agent died, and a result that comes late, may say so.
func (s *Service) settleRepository(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	if j.RepositoryID == "" || j.Operation != OperationInit && j.Operation != OperationIdentify {
		return nil
	}
	r, err := tx.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.Repository != nil && o.Repository.ResticID != "" {
		return identified(ctx, tx, r, j, o.Repository)
	}
	if r.State != fleet.RepositoryInitialising || r.InitJob != j.ID {
		return nil
	}
	unseen, err := neverSeen(ctx, tx.Queries, j)
	if err != nil {
		return err
	}
	again := j.Result == fleet.Expired && unseen
	if j.Operation == OperationIdentify { // which changes nothing
		again = j.Result == fleet.Expired || j.Result == fleet.Interrupted || j.Result == fleet.Lost
	}
	if again {
		_, err := tx.FinishInit(ctx, r.ID, j.ID, fleet.RepositoryNew, "", "") // another host may try
		return err
	}
	if _, err := tx.FinishInit(ctx, r.ID, j.ID, fleet.RepositoryFailed, "", ""); err != nil {
		return err
	}
	_, err = tx.RaiseCondition(ctx, initFailed(r, j, o))
	return err
}

// initFailed says that a repository could not be made usable, and why, unless a condition of
// its own says that.
func initFailed(r *fleet.Repository, j *fleet.Job, o Outcome) fleet.Condition {
	c := fleet.Condition{
		ObjectType: store.ObjectRepository, ObjectID: string(r.ID), Code: CodeInitFailed, Severity: fleet.Critical, JobID: j.ID,
		Message:  "The repository could not be made usable: " + orElse(o.Message, "the job ended as "+o.Result+"."),
		NextStep: orElse(o.NextStep, "Look at the job, correct what it names, and start it again."),
	}
	switch trouble, told := troubleOf(j, o); {
	case told:
		c.Severity, c.Message, c.NextStep = fleet.Warn, "The repository could not be made usable. "+trouble, "Mend that, and try again. A location cannot be changed: where that is wrong, forget the repository here and add it anew."
	case j.Operation == OperationInit && (j.Result == fleet.Expired || j.Result == fleet.Lost):
		c.Message = "The host that was to initialise the repository fell silent; it may or may not have done so."
		c.NextStep = "Wait for the host, or identify the repository from another one to see whether it is there."
	}
	return c
}

// identified keeps who a repository said it is.
func identified(ctx context.Context, tx *store.Tx, r *fleet.Repository, j *fleet.Job, id *Identity) error {
	switch r.State {
	case fleet.RepositoryReady:
		return hold(ctx, tx, r.ResticID != id.ResticID, fleet.Condition{
			ObjectType: store.ObjectRepository, ObjectID: string(r.ID), Code: CodeRepositoryChanged, Severity: fleet.Critical, JobID: j.ID,
			Message:  "Another repository lies at this location than before.",
			NextStep: "Find out who replaced it; if that was meant, add it as a repository of its own.",
		})
	case fleet.RepositoryInitialising:
		if r.InitJob != j.ID {
			return nil // that job will tell
		}
	case fleet.RepositoryFailed:
		if _, err := tx.RetryInit(ctx, r.ID); err != nil {
			return err
		}
		fallthrough
	case fleet.RepositoryNew:
		if _, err := tx.ClaimInit(ctx, r.ID, j.ID); err != nil {
			return err
		}
	}
	won, err := tx.FinishInit(ctx, r.ID, j.ID, fleet.RepositoryReady, id.ResticID, id.KeyID)
	if err != nil || !won {
		return err
	}
	if _, err := tx.ClearCondition(ctx, store.ObjectRepository, string(r.ID), CodeInitFailed); err != nil {
		return err
	}
	if !r.Existing && j.Operation == OperationInit && j.Result == fleet.Succeeded {
		return nil // it is empty
	}
	return list(ctx, tx, r, j.HostID)
}

// list queues a listing of the snapshots that were in a repository before us.
func list(ctx context.Context, tx *store.Tx, r *fleet.Repository, id fleet.HostID) error {
	host, err := tx.Host(ctx, id)
	if err != nil {
		return err
	}
	w := &wish{
		host: host, repository: r, operation: OperationSnapshots, trigger: fleet.ByMaintenance, startWithin: maxStartWithin,
	}
	if w.params, err = fleet.NewDoc(map[string]any{fieldRepository: r.ID}); err != nil {
		return err
	}
	_, err = w.enqueue(ctx, tx)
	return err
}

// neverSeen tells whether no agent can have seen a job's command.
func neverSeen(ctx context.Context, q store.Queries, j *fleet.Job) (bool, error) {
	commands, err := q.CommandsOf(ctx, j.ID)
	for _, c := range commands {
		if c.OfferedCount > 0 {
			return false, err
		}
	}
	return len(commands) > 0, err
}

// repositoryTrouble tells what a failure says of its repository; empty when it says
// nothing. whole is trouble that is the same for every host, so that any host's
// success ends it; other trouble is between one host and the repository.
func repositoryTrouble(code string) (message string, whole, known bool) {
	switch restic.Code(code) {
	case restic.CodeWrongPassword:
		return "The password does not open the repository.", true, true
	case restic.CodeRepoNotFound:
		return "There is no repository at its location.", true, true
	case CodeRepoMissing:
		return "The repository is gone from its location.", true, true
	case CodeRepositoryChanged:
		return "Another repository lies at this location than before.", true, true
	case restic.CodeRepoDamaged:
		return "The repository is damaged.", true, true
	case restic.CodeRepositoryFull:
		return "The repository's storage is full.", true, true
	case restic.CodeRepoLocked:
		return "The repository is locked.", true, true
	case CodeCredentialCanDelete:
		return "The credential that hosts use could delete backups.", true, true
	case CodeMaintenanceFolder:
		return "The repository cannot be maintained in the folder that is named for it.", false, true
	case CodeMaintenanceFolderGone:
		return "The repository is gone from the folder where it is maintained, which may be on a disk that is not mounted.", false, true
	case restic.CodeRepoUnreachable:
		return "The repository's storage cannot be reached.", false, true
	case restic.CodeRepoTLS:
		return "The certificate of the repository's storage is not trusted.", false, true
	case restic.CodeRepoCredentialsRejected:
		return "The repository's storage rejects the credential.", false, true
	case restic.CodeRepoForbidden:
		return "The repository's storage forbids what restic needs to do.", false, true
	case restic.CodeRepoUploadRefused:
		return "Something on the way to the repository's storage refuses large uploads.", false, true
	}
	return "", false, false
}
