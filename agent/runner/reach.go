package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// reach is how a job gets at its repository: like any host, or as its maintenance host,
// which does what deletes, and where it can works in the repository's folder.
type reach struct {
	location   restic.Location
	credential secret.Ref
	maintained bool               // by this host, as its policy says
	rule       policy.Maintenance // then its entry, floors filled in
	handed     bool               // the credential can delete, and is not kept
	usual      bool               // as any host would
}

// choose decides how the job reaches its repository.
func (t *Task) choose(rules *policy.Policy) error {
	own := reach{location: t.Repository.Location, credential: t.Repository.Credential, usual: true}
	t.reach = own
	m := t.Repository.Maintenance
	deletes := t.Operation.Deletes || t.Operation.Slot == restic.SlotMaintenance || !slices.Contains(t.Operation.Places, restic.PlaceHost)
	switch {
	case deletes && m != nil:
		t.reach = reach{location: m.Location, credential: m.Credential, handed: m.Credential != (secret.Ref{})}
	case m != nil && m.Location.Path() != "" && t.Operation.Name != "backup" && t.Operation.Name != "init":
		t.reach = reach{location: m.Location}
	}
	if deletes || !t.reach.usual {
		t.reach.rule, t.reach.maintained = rules.MaintenanceOf(t.reach.location)
	}
	switch {
	case !deletes && !t.reach.maintained:
		t.reach = own // not this host's to look after, as its policy has it
	case deletes && t.reach.maintained && t.reach.location.REST() && !t.reach.handed:
		return &policy.Refusal{
			Code: policy.CodeOperationNotAllowed,
			What: "the operation " + t.Operation.Name + " can delete, and no credential for that was handed to this host",
			Next: "set the repository's maintenance credential at the server, or let its maintenance host work in its folder",
		}
	}
	return nil
}

// folder is the repository's folder, "" where the job does not work in it as its
// maintenance host.
func (r reach) folder() string {
	if !r.maintained {
		return ""
	}
	return r.location.Path()
}

// become has restic run as the owner of the folder that the job works in, or as whom the
// policy names: a file of root's would lock rest-server out. What only reads for a restore
// keeps root's rights.
func (t *Task) become() *Ending {
	folder := t.reach.folder()
	if folder == "" || t.Operation.Name == "restore" || t.Operation.Name == "dump" {
		return nil
	}
	as, real, err := t.reach.owner()
	switch {
	case errors.Is(err, fs.ErrNotExist) && real == "":
		return nil // there is no folder, and restic says that there is no repository
	case err != nil:
		return refusedOwner(err)
	}
	t.access.RunAs = &as //guard:maintenance-owner
	t.stands, t.owner = real, as
	return nil
}

func refusedOwner(err error) *Ending {
	var refused *restic.Error
	if errors.As(err, &refused) {
		return failed(string(refused.Code), refused.Message, refused.Next)
	}
	return failed(string(restic.CodeRunAsRefused), "restic cannot run as the owner of the repository's folder: "+err.Error(),
		"correct run_as in the host's policy file")
}

// owner is as whom restic works in the folder, and where that really is. Whoever may write
// above a folder could put a link in its place: it has to be one that the policy covers,
// and root works in none that is reached by a link below what the policy names.
func (r reach) owner() (as restic.RunAs, real string, err error) {
	folder := r.location.Path()
	if real, err = filepath.EvalSymlinks(folder); err != nil {
		return as, "", err
	}
	if !r.rule.Covers(r.location) { //guard:become-covers
		return as, "", &restic.Error{
			Code: restic.CodeRunAsRefused, Message: "the repository's folder now leads to " + real + ", which the maintenance section of this host's policy file does not cover",
			Next: "find out who put a link there; if that was meant, add the real folder to the policy file",
		}
	}
	if r.rule.RunAs != "" {
		as, err = restic.UserNamed(r.rule.RunAs)
		return as, real, err
	}
	if as, err = restic.OwnerOf(real); err != nil {
		return as, "", err
	}
	if as.UID == 0 && r.linked(real) { //guard:become-root
		return as, "", &restic.Error{
			Code: restic.CodeRunAsRefused, Message: "the repository's folder is a link to " + real + ", which is root's: whoever made the link would have root work where they choose",
			Next: "name the folder by its real path, or set run_as in the host's policy file",
		}
	}
	return as, real, nil
}

// linked reports whether a link below the place that the policy names leads to the folder.
// Links above it are root's own word.
func (r reach) linked(real string) bool {
	place, err := filepath.EvalSymlinks(r.rule.Path)
	if err != nil {
		return true
	}
	below, err := filepath.Rel(r.rule.Path, r.location.Path())
	return err != nil || filepath.Join(place, below) != real
}

// stay looks, before each restic, whether the folder is still where and whose it was.
func (t *Task) stay() *Ending {
	if t.stands == "" {
		return nil
	}
	as, real, err := t.reach.owner()
	if err != nil {
		return refusedOwner(err)
	}
	if as.UID != t.owner.UID || real != t.stands { //guard:become-stay
		return failed(string(restic.CodeRunAsRefused), "the repository's folder has another owner, or lies elsewhere, than when the job began: it was "+t.stands+
			" of "+t.owner.String()+", and is "+real+" of "+as.String(), "find out who changes it while jobs run")
	}
	return nil
}

// pin refuses a repository that is not the one that the policy's entry names.
func (r reach) pin(id string) *Ending {
	if r.rule.RepositoryID == "" || r.rule.RepositoryID == id {
		return nil
	}
	return failed(CodeRepositoryChanged,
		fmt.Sprintf("the repository has the id %.12s…, and this host's policy maintains only %.12s… there", id, r.rule.RepositoryID),
		"find out who replaced it; if that was meant, change repository_id in the host's policy file")
}

// credential fetches what the storage asks for. One that can delete is fetched for this
// job alone.
func (t *Task) credential(ctx context.Context, usual func(context.Context, secret.Ref) (secret.Value, error)) (secret.Value, error) {
	if t.reach.handed {
		usual = t.runner.secrets.Once //guard:maintenance-once
	}
	return usual(ctx, t.reach.credential)
}
