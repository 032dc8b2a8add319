package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

type copyFacts struct {
	Copied  int `json:"copied"`
	Already int `json:"already"`
}

type copyRow struct {
	FromID   string    `json:"from_id"`
	NewID    string    `json:"new_id"`
	Hostname string    `json:"hostname"`
	Time     time.Time `json:"time"`
}

// CodeCopyIncomplete is of a copy that restic called done and that is not all there.
const CodeCopyIncomplete = "copy_incomplete"

// runCopy copies snapshots of another repository into this one.
func runCopy(ctx context.Context, t *Task) *Ending {
	there, e := t.copySource(ctx)
	if e != nil {
		return e
	}
	ids := t.Params.Strings("snapshot_ids")
	here := t.access
	t.access = there
	seen, e := perform(ctx, t, restic.CatConfig{})
	if e == nil && t.from.ResticID != "" && seen.Value.ID != t.from.ResticID { //guard:copy-pin
		e = failed(CodeRepositoryChanged, "the repository that is copied from is not the one it was", "find out who replaced it")
	}
	var listed restic.Result[[]restic.Snapshot]
	if e == nil {
		listed, e = perform(ctx, t, restic.Snapshots{})
	}
	t.access = here
	if e != nil {
		e.Message = clip("the repository "+t.from.Name+", to copy from: "+e.Message, 4000)
		return e
	}
	wanted, e := chosen(listed.Value, ids)
	if e != nil {
		return e
	}
	before, e := t.all(ctx)
	if e != nil {
		return e
	}
	if e := t.copyAs(there); e != nil {
		return e
	}
	t.access.From = &there
	_, e = perform(ctx, t, restic.Copy{SnapshotIDs: ids, Limits: t.limits})
	t.access = here
	if e != nil {
		return e
	}
	after, e := perform(ctx, t, restic.Snapshots{})
	if e != nil {
		return e
	}
	return t.copied(ctx, wanted, before, after.Value)
}

// permitCopy decides how the repository that is copied from is reached, and asks the policy
// about that: in its folder where this host maintains it, else like any host.
func permitCopy(t *Task, rules *policy.Policy) error {
	r := t.from
	m := r.Maintenance
	if m == nil || m.Location.Path() == "" {
		return t.permitOrigin(rules)
	}
	rule, maintained := rules.MaintenanceOf(m.Location)
	if !maintained { //guard:permit-copy-folder
		return t.permitOrigin(rules)
	}
	t.origin = reach{location: m.Location, maintained: true, rule: rule}
	return nil
}

// permitOrigin has a copy read like any host.
func (t *Task) permitOrigin(rules *policy.Policy) error {
	r := t.from
	t.origin = reach{location: r.Location, credential: r.Credential, usual: true}
	if err := rules.AllowRepository(r.Location.String()); err != nil { //guard:permit-copy
		return err
	}
	t.origin.rule, t.origin.maintained = rules.MaintenanceOf(r.Location)
	return nil
}

// copyAs has a copy run as the owner of the folder that it reads, where it writes to none;
// and as nobody where two folders have two owners: whoever may write to one of both would
// have the other's owner, or root, work where he chooses.
func (t *Task) copyAs(there restic.Access) *Ending {
	switch here := t.access.RunAs; {
	case there.RunAs == nil:
	case here == nil && t.access.Location.Path() == "":
		t.access.RunAs = there.RunAs
	case here == nil || here.UID != there.RunAs.UID: //guard:copy-owners
		return failed(string(restic.CodeRunAsRefused), "the folders of the two repositories belong to different users, and restic cannot work as both",
			"give both folders one owner, or have one of the repositories reached over a rest-server")
	}
	return nil
}

// copied compares what was to be copied with what is there.
func (t *Task) copied(ctx context.Context, wanted, before, after []restic.Snapshot) *Ending {
	rows, found, missing := t.rows(ctx), copyFacts{}, 0
	for _, s := range wanted {
		i := slices.IndexFunc(after, func(n restic.Snapshot) bool { return firstID(n) == firstID(s) && n.Time.Equal(s.Time) })
		if i < 0 { //guard:copy-facts
			missing++
			continue
		}
		if slices.ContainsFunc(before, func(b restic.Snapshot) bool { return b.ID == after[i].ID }) {
			found.Already++
		} else {
			found.Copied++
		}
		_ = rows.Add(copyRow{FromID: s.ID, NewID: after[i].ID, Hostname: s.Host, Time: s.Time.UTC()}) // told by into
	}
	e := outcomeOf(fmt.Sprintf("%s copied, %d there already", counted(int64(found.Copied), "snapshot", "snapshots"), found.Already))
	if missing > 0 {
		e = failed(CodeCopyIncomplete, fmt.Sprintf("restic ended without an error, but %d of %d snapshots are not there", missing, len(wanted)),
			"look at the job's log, and copy them again")
	}
	e.facts(found)
	return rows.into(e)
}

// copySource is how this host reaches the repository that is copied from.
func (t *Task) copySource(ctx context.Context) (restic.Access, *Ending) {
	r := t.from
	password, err := t.runner.secrets.Secret(ctx, r.Password)
	if err != nil {
		return restic.Access{}, t.noSecret(ctx, "password of the other side", err)
	}
	access := restic.Access{Location: t.origin.location, Password: password.Secret, KeyHint: r.KeyID}
	if t.origin.folder() != "" {
		as, _, err := t.origin.owner()
		switch {
		case errors.Is(err, fs.ErrNotExist): // restic says that there is no repository
		case err != nil:
			return restic.Access{}, refusedOwner(err)
		default:
			access.RunAs = &as //guard:copy-owner
		}
	}
	if t.origin.credential == (secret.Ref{}) {
		return access, nil
	}
	credential, err := t.runner.secrets.Secret(ctx, r.Credential)
	if err != nil {
		return restic.Access{}, t.noSecret(ctx, "credential of the other side", err)
	}
	access.Username, access.RESTPassword = credential.Username, credential.Secret
	return access, nil
}
