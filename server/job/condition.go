package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// outcomeConditions raises and clears what follows from how a job ended.
func outcomeConditions(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	if j.RepositoryID != "" {
		if err := noteDeletion(ctx, tx, j, o); err != nil {
			return err
		}
		if err := repositoryConditions(ctx, tx, j, o); err != nil {
			return err
		}
	}
	return hostConditions(ctx, tx, j)
}

// hostConditions raises and clears what follows for its host from how a job ended.
func hostConditions(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	if j.Operation != OperationBackup {
		return nil
	}
	return backupConditions(ctx, tx, j)
}

// noteDeletion keeps what a probe saw of the repository's credential.
func noteDeletion(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	switch o.CanDelete {
	case "yes", "no", "unknown":
		return tx.SetCanDelete(ctx, j.RepositoryID, o.CanDelete)
	}
	return nil
}

// repositoryConditions raises the trouble that a failure names, and clears what a
// success disproves, or a job that failed after it had seen the repository.
func repositoryConditions(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	failed := j.Result == fleet.Failed || j.Result == fleet.Rejected
	if message, raised := troubleOf(j, o); raised {
		if err := raiseTrouble(ctx, tx, j, o, message); err != nil {
			return err
		}
	}
	if !j.Result.Good() && o.RepositorySeen == "" {
		return nil
	}
	held, err := tx.Conditions(ctx, store.ObjectRepository, string(j.RepositoryID))
	if err != nil {
		return err
	}
	for _, c := range held {
		if c.Code == o.Code && failed { // it was seen, and then this happened
			continue
		}
		disproved, err := disproves(ctx, tx, j, o, &c)
		if err != nil {
			return err
		}
		if !disproved {
			continue
		}
		if _, err := tx.ClearCondition(ctx, c.ObjectType, c.ObjectID, c.Code); err != nil {
			return err
		}
	}
	return nil
}

// troubleOf is what a job's end says to be wrong with its repository, where that becomes a
// condition of the repository by the outcome's code.
func troubleOf(j *fleet.Job, o Outcome) (message string, raised bool) {
	message, _, known := repositoryTrouble(o.Code)
	failed := j.Result == fleet.Failed || j.Result == fleet.Rejected
	checks := j.Operation == OperationCheck && restic.Code(o.Code) == restic.CodeRepoDamaged // has a condition of its own
	return message, failed && known && !checks
}

func raiseTrouble(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome, message string) error {
	names, err := tx.HostNames(ctx, []fleet.HostID{j.HostID})
	if err != nil {
		return err
	}
	if o.Code == CodeCredentialCanDelete {
		if err := tx.SetCanDelete(ctx, j.RepositoryID, "yes"); err != nil {
			return err
		}
	}
	severity := fleet.Critical
	if o.Code == CodeMaintenanceFolder { // backups go their own way
		severity = fleet.Warn
	}
	_, err = tx.RaiseCondition(ctx, fleet.Condition{
		ObjectType: store.ObjectRepository, ObjectID: string(j.RepositoryID), Code: o.Code, Severity: severity, JobID: j.ID,
		Message:  fmt.Sprintf("%s Seen by %s%s", message, names[j.HostID], inDetail(o.Message)),
		NextStep: o.NextStep,
	})
	return err
}

// inDetail is what an agent says of a failure beyond the plain words, which the condition
// has of its own: restic's own words, or all of it where it holds none.
func inDetail(said string) string {
	at := strings.Index(said, " (restic: ")
	switch {
	case at >= 0:
		return said[at:] + "."
	case said == "":
		return "."
	}
	return ": " + said
}

// disproves tells whether a job that ended well, or got as far as to see the
// repository, shows that a condition of it holds no more.
func disproves(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome, c *fleet.Condition) (bool, error) {
	_, whole, known := repositoryTrouble(c.Code)
	if known && !j.Result.Good() { //guard:repository-seen
		seen, err := seeingDisproves(ctx, tx, j, o, c.Code)
		if err != nil || !seen {
			return false, err
		}
	}
	switch {
	case !known:
		return false, nil
	case c.Code == "repository_full", c.Code == "repo_locked": // reading proves nothing
		return j.Operation == OperationBackup, nil
	case ofFolder(c.Code) && !inFolder(j): //guard:folder-elsewhere
		return false, nil
	}
	seenBy, err := tx.Job(ctx, c.JobID)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return false, err
	}
	switch {
	case restic.Code(c.Code) == restic.CodeRepoDamaged:
		return disprovesDamage(ctx, tx, j, seenBy)
	case restic.Code(c.Code) == restic.CodeRepoUploadRefused && seenBy != nil && j.Operation != seenBy.Operation: // reading proves nothing
		return false, nil
	case whole, seenBy == nil:
		return true, nil
	}
	return seenBy.HostID == j.HostID, nil
}

// ofFolder tells whether trouble of a code is that of the folder where a repository is
// maintained: what reaches the repository another way says nothing about it.
func ofFolder(code string) bool {
	return code == CodeMaintenanceFolder || code == CodeMaintenanceFolderGone
}

// inFolder tells whether a job that ended well has worked where the repository is
// maintained: what else runs there may have gone the way of all hosts.
func inFolder(j *fleet.Job) bool {
	op, known := restic.OperationNamed(j.Operation)
	return known && !op.At(restic.PlaceHost)
}

// seeingDisproves tells whether trouble of a code cannot be where the repository was
// opened and told its id. That the storage has room, that restic may write, and that
// the data is whole is not shown by it.
func seeingDisproves(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome, code string) (bool, error) {
	switch restic.Code(code) {
	case restic.CodeRepoUnreachable, restic.CodeRepoTLS, restic.CodeRepoCredentialsRejected,
		restic.CodeWrongPassword, restic.CodeRepoNotFound, CodeRepoMissing, CodeRepositoryChanged, CodeMaintenanceFolderGone:
	default:
		return false, nil
	}
	r, err := tx.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return false, nil
	}
	if err == nil && r.ResticID != o.RepositorySeen { //guard:repository-seen-id
		return false, nil
	}
	return err == nil, err
}

// endings are the results that say something about a schedule's backups: a person
// cancelled the others, or they never began.
func endings() []fleet.Result {
	return []fleet.Result{fleet.Succeeded, fleet.Warning, fleet.Failed, fleet.Interrupted, fleet.Rejected, fleet.Lost, fleet.Missed}
}

// backupConditions looks at how the last backup of each of a host's schedules ended.
// One condition names all that failed: one schedule's success says nothing about
// another's failure. It is as grave as the alert about it, a warning: what is critical is
// an objective that is missed, which the passing of time says and not the end of a job.
func backupConditions(ctx context.Context, tx *store.Tx, ended *fleet.Job) error {
	schedules, err := tx.Schedules(ctx, ended.HostID)
	if err != nil {
		return err
	}
	var failed, unconfirmed, next []string
	var about fleet.JobID
	for i := range schedules {
		last, err := lastBackup(ctx, tx, schedules[i].ID, ended)
		if err != nil {
			return err
		}
		switch {
		case last == nil:
		case !last.Result.Good():
			failed = append(failed, fmt.Sprintf("%s (%s)", schedules[i].Name, last.Result))
			about = last.ID
			var o Outcome
			if err := last.Outcome.Read(&o); err != nil {
				return fmt.Errorf("read the outcome of job %s: %w", last.ID, err)
			}
			next = append(next, o.NextStep)
		case last.Unconfirmed:
			unconfirmed = append(unconfirmed, schedules[i].Name)
		}
	}
	err = hold(ctx, tx, len(failed) > 0, fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(ended.HostID), Code: CodeBackupFailed, Severity: fleet.Warn, JobID: about,
		Message:  "The last backup did not succeed: " + strings.Join(failed, ", ") + ".",
		NextStep: fleet.NextOf(next),
	})
	if err != nil {
		return err
	}
	return hold(ctx, tx, len(unconfirmed) > 0, fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(ended.HostID), Code: CodeUnconfirmed, Severity: fleet.Warn,
		Message:  "The agent reports a backup that nobody has seen in the repository: " + strings.Join(unconfirmed, ", ") + ".",
		NextStep: "List the repository's snapshots; if the backup is not among them, run it again.",
	})
}

// lastBackup is the newest backup of a schedule that says something, the one that
// ends in this transaction included; nil when there is none.
func lastBackup(ctx context.Context, tx *store.Tx, id fleet.ScheduleID, ended *fleet.Job) (*fleet.Job, error) {
	last, err := tx.LastBackup(ctx, id, endings()...)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return nil, err
	}
	if fleet.Is(err, fleet.NotFound) {
		last = nil
	}
	if ended.ScheduleID != id {
		return last, nil
	}
	if slices.Contains(endings(), ended.Result) && (last == nil || last.ID == ended.ID || !ended.CreatedAt.Time().Before(last.CreatedAt.Time())) {
		return ended, nil
	}
	return last, nil
}
