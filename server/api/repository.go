package api

import (
	"context"
	"crypto/rand"
	"fmt"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// Sealer seals what must not be read in the database, and opens it. The binding
// says where a sealed text lies; it opens nowhere else.
type Sealer interface {
	job.Sealer
	Seal(table, id, column string, version int64, secret restic.Secret) (string, error)
}

// ListRepositories lists repositories by name.
func (h *Handlers) ListRepositories(ctx context.Context, r ListRepositoriesRequestObject) (ListRepositoriesResponseObject, error) {
	list, next, err := h.store.Repositories(ctx, store.RepositoryFilter{Query: r.Params.Q, Attention: r.Params.Attention},
		store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken})
	if err != nil {
		return nil, err
	}
	views, err := h.viewRepositories(ctx, list)
	if err != nil {
		return nil, err
	}
	return ListRepositories200JSONResponse{Repositories: views, NextPageToken: next}, nil
}

// CreateRepository adds a repository; a password that was left out is made here.
func (h *Handlers) CreateRepository(ctx context.Context, r CreateRepositoryRequestObject) (CreateRepositoryResponseObject, error) {
	repository, password, err := newRepository(r.Body, fleet.At(h.store.Now()))
	if err != nil {
		return nil, err
	}
	err = h.store.Update(ctx, auth.Audit(ctx, "repository.create"), func(tx *store.Tx) error {
		about(tx, store.ObjectRepository, string(repository.ID), repository.Name)
		tx.Audit.Detail = fmt.Sprintf("location %s; existing %t; password made here %t",
			repository.Location, repository.Existing, repository.PasswordMadeHere)
		if err := tx.CreateRepository(ctx, repository); err != nil {
			return err
		}
		c := fleet.Credential{RepositoryID: repository.ID, Slot: fleet.PasswordSlot}
		if err := h.putCredential(ctx, tx, c, password); err != nil {
			return err
		}
		if r.Body.Username == "" {
			return nil
		}
		c = fleet.Credential{RepositoryID: repository.ID, Slot: fleet.AppendSlot, Username: r.Body.Username}
		return h.putCredential(ctx, tx, c, restic.NewSecret(r.Body.AppendSecret))
	})
	if err != nil {
		return nil, err
	}
	h.prepare(ctx, repository.ID)
	view, err := h.readRepository(ctx, repository.ID)
	return CreateRepository201JSONResponse(view), err
}

// prepare gives a new repository its chance. What the request made stands even when
// this fails: the loop that prepares repositories tries again.
func (h *Handlers) prepare(ctx context.Context, id fleet.RepositoryID) {
	if err := h.jobs.Prepare(ctx, id); err != nil {
		h.log.ErrorContext(ctx, "repository not prepared yet", "repository", string(id), "err", err)
	}
}

// newRepository checks what people gave, every mistake at once.
func newRepository(body *RepositoryCreate, now fleet.Time) (*fleet.Repository, restic.Secret, error) {
	var found fleet.Fields
	location, wrong := checkLocation(body.Location, "/location")
	if wrong != nil {
		found = append(found, wrong)
	}
	if body.Existing && body.Password == "" {
		found = append(found, fleet.Errorf(fleet.InvalidField, "Give the password of the repository that exists; it cannot be made here.").At("/password"))
	}
	found = append(found, checkUser(location, body.Username, body.AppendSecret, "/append_secret")...)
	r := &fleet.Repository{
		ID: fleet.NewID[fleet.RepositoryID](), Name: body.Name, Location: location, Existing: body.Existing,
		State: fleet.RepositoryNew, PasswordMadeHere: body.Password == "",
	}
	if err := r.SetPlan(fleet.DefaultPlan(r.ID), now); err != nil {
		return nil, restic.Secret{}, err
	}
	password := restic.NewSecret(body.Password)
	if r.PasswordMadeHere {
		password = restic.NewSecret(rand.Text() + rand.Text()) // 52 letters and digits, 260 bits
	}
	return r, password, found.Err()
}

// checkUser checks name and secret for a location's backend: both or none, and none
// for a path on a disk.
func checkUser(location, username, secret, pointer string) fleet.Fields {
	l, err := restic.ParseLocation(location)
	switch {
	case err == nil && !l.REST() && (username != "" || secret != ""):
		return fleet.Fields{fleet.Errorf(fleet.InvalidField, "A path on a disk asks for no name and secret; leave both empty.").At("/username")}
	case username != "" && secret == "":
		return fleet.Fields{fleet.Errorf(fleet.InvalidField, "Give the secret that belongs to this name.").At(pointer)}
	case username == "" && secret != "":
		return fleet.Fields{fleet.Errorf(fleet.InvalidField, "Give the name that this secret belongs to.").At("/username")}
	}
	return nil
}

// putCredential seals a secret and writes it as the next version of its slot.
func (h *Handlers) putCredential(ctx context.Context, tx *store.Tx, c fleet.Credential, secret restic.Secret) error {
	before, err := tx.Credential(ctx, c.RepositoryID, c.HostID, c.Slot)
	switch {
	case fleet.Is(err, fleet.NotFound):
		c.ID, c.Version = fleet.NewID[fleet.CredentialID](), 1
	case err != nil:
		return err
	default:
		c.ID, c.Version = before.ID, before.Version+1
	}
	if c.Sealed, err = h.sealer.Seal("credentials", string(c.ID), "sealed", c.Version, secret); err != nil {
		return fmt.Errorf("seal a credential of repository %s: %w", c.RepositoryID, err)
	}
	return tx.PutCredential(ctx, &c)
}

// ReadRepository reads a repository, and waits for another version of it where that
// is asked for.
func (h *Handlers) ReadRepository(ctx context.Context, r ReadRepositoryRequestObject) (ReadRepositoryResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	var view Repository
	err := h.wait(ctx, r.Params.Wait, topicOf(fleet.TopicRepositories, id), func() (done bool, err error) {
		view, err = h.readRepository(ctx, id)
		return view.Version != r.Params.IfVersion, err
	})
	return ReadRepository200JSONResponse(view), err
}

// UpdateRepository renames a repository or allows a credential that can delete.
func (h *Handlers) UpdateRepository(ctx context.Context, r UpdateRepositoryRequestObject) (UpdateRepositoryResponseObject, error) {
	view, err := h.changeRepository(ctx, r.RepositoryId, "repository.update", func(repository *fleet.Repository) (detail string) {
		if name := r.Body.Name; name != nil && *name != repository.Name {
			detail += fmt.Sprintf("name to %q; ", *name)
			repository.Name = *name
		}
		if allow := r.Body.AllowDeletingCredential; allow != nil && *allow != repository.AllowDeletingCredential {
			detail += fmt.Sprintf("allow a credential that can delete %t; ", *allow)
			repository.AllowDeletingCredential = *allow
		}
		return detail
	})
	return UpdateRepository200JSONResponse(view), err
}

// MarkRecoverySheetSaved notes that somebody has the recovery sheet.
func (h *Handlers) MarkRecoverySheetSaved(ctx context.Context, r MarkRecoverySheetSavedRequestObject) (MarkRecoverySheetSavedResponseObject, error) {
	view, err := h.changeRepository(ctx, r.RepositoryId, "repository.sheet-saved", func(repository *fleet.Repository) string {
		repository.SheetSaved = true
		return ""
	})
	return MarkRecoverySheetSaved200JSONResponse(view), err
}

func (h *Handlers) changeRepository(ctx context.Context, id Id, action string, change func(*fleet.Repository) string) (Repository, error) {
	err := h.store.Update(ctx, auth.Audit(ctx, action), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, fleet.RepositoryID(id))
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(repository.ID), repository.Name)
		tx.Audit.Detail = change(repository)
		return tx.UpdateRepository(ctx, repository)
	})
	if err != nil {
		return Repository{}, err
	}
	return h.readRepository(ctx, fleet.RepositoryID(id))
}

// DeleteRepository forgets a repository that no schedule uses; its data stays.
func (h *Handlers) DeleteRepository(ctx context.Context, r DeleteRepositoryRequestObject) (DeleteRepositoryResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	repository, err := h.store.Repository(ctx, id)
	if err == nil && repository.Schedules == 0 { // else it stays
		err = h.jobs.GiveUpIndexes(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	err = h.store.Update(ctx, auth.Audit(ctx, "repository.delete"), func(tx *store.Tx) error {
		repository, err := tx.Repository(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(id), repository.Name)
		return tx.DeleteRepository(ctx, id)
	})
	return DeleteRepository204Response{}, err
}

// SetAppendCredential sets what the backend asks hosts for; the value before it is
// gone.
func (h *Handlers) SetAppendCredential(ctx context.Context, r SetAppendCredentialRequestObject) (SetAppendCredentialResponseObject, error) {
	c := fleet.Credential{
		RepositoryID: fleet.RepositoryID(r.RepositoryId), HostID: fleet.HostID(r.Body.HostId), Slot: fleet.AppendSlot, Username: r.Body.Username,
	}
	if r.Body.Location != "" {
		location, err := checkLocation(r.Body.Location, "/location")
		if err != nil {
			return nil, err
		}
		c.Location = location
	}
	err := h.store.Update(ctx, auth.Audit(ctx, "repository.credential"), func(tx *store.Tx) error {
		repository, err := tx.Repository(ctx, c.RepositoryID)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(repository.ID), repository.Name)
		tx.Audit.Detail = fmt.Sprintf("append; host %q; user %q; location %q", c.HostID, c.Username, c.Location)
		if c.HostID != "" {
			if _, err := tx.Host(ctx, c.HostID); err != nil {
				return err
			}
		}
		location := repository.Location
		if c.Location != "" {
			location = c.Location
		}
		if err := checkUser(location, c.Username, r.Body.Secret, "/secret").Err(); err != nil {
			return err
		}
		return h.putCredential(ctx, tx, c, restic.NewSecret(r.Body.Secret))
	})
	return SetAppendCredential204Response{}, err
}

func (h *Handlers) readRepository(ctx context.Context, id fleet.RepositoryID) (Repository, error) {
	repository, err := h.store.Repository(ctx, id)
	if err != nil {
		return Repository{}, err
	}
	views, err := h.viewRepositories(ctx, []fleet.Repository{*repository})
	if err != nil {
		return Repository{}, err
	}
	return views[0], nil
}

func (h *Handlers) viewRepositories(ctx context.Context, list []fleet.Repository) ([]Repository, error) {
	names, ids := make([]string, len(list)), make([]fleet.RepositoryID, len(list))
	for i := range list {
		names[i], ids[i] = string(list[i].ID), list[i].ID
	}
	conditions, err := h.conditionsOf(ctx, store.ObjectRepository, names)
	if err != nil {
		return nil, err
	}
	credentials, err := h.store.Credentials(ctx, ids...)
	if err != nil {
		return nil, err
	}
	of, deleting := map[fleet.RepositoryID][]fleet.Credential{}, map[fleet.RepositoryID]*fleet.Credential{}
	for i, c := range credentials {
		of[c.RepositoryID] = append(of[c.RepositoryID], c)
		if c.Slot == fleet.MaintenanceSlot {
			deleting[c.RepositoryID] = &credentials[i]
		}
	}
	healths := make([]fleet.RepositoryHealth, len(list))
	for i := range list {
		if err := list[i].Health.Read(&healths[i]); err != nil {
			return nil, fmt.Errorf("read the health of repository %s: %w", ids[i], err)
		}
	}
	around, err := h.readAround(ctx, list, healths)
	if err != nil {
		return nil, err
	}
	views := make([]Repository, len(list))
	for i := range list {
		views[i] = toRepository(&list[i], of[ids[i]])
		views[i].Conditions = orEmpty(conditions[names[i]])
		if err := around.complete(&views[i], &list[i], &healths[i], deleting[ids[i]], fleet.At(h.store.Now())); err != nil {
			return nil, err
		}
		around.passwords(&views[i], &list[i], of[ids[i]], deleting[ids[i]])
	}
	return views, nil
}

func toRepository(r *fleet.Repository, credentials []fleet.Credential) Repository {
	view := Repository{
		Id: string(r.ID), Name: r.Name, Location: r.Location, Existing: r.Existing, State: RepositoryState(r.State),
		ResticId: r.ResticID, KeyId: r.KeyID, PasswordMadeHere: r.PasswordMadeHere, SheetSaved: r.SheetSaved,
		AllowDeletingCredential: r.AllowDeletingCredential, Credentials: []CredentialInfo{},
		Hosts: r.Hosts, Schedules: r.Schedules, Snapshots: r.Snapshots, LastSnapshotAt: r.LastSnapshot.Time(),
		InitJobId: string(r.InitJob), Version: r.Version, CreatedAt: r.CreatedAt.Time(),
	}
	for _, c := range credentials {
		if c.Slot == fleet.PasswordSlot {
			view.HasPassword = true
			continue
		}
		info := CredentialInfo{
			Slot: CredentialInfoSlot(c.Slot), HostId: string(c.HostID), Username: c.Username, Location: c.Location,
			Version: c.Version, UpdatedAt: c.UpdatedAt.Time(),
		}
		if c.Slot == fleet.AppendSlot {
			info.CanDelete = CredentialInfoCanDelete(r.CanDelete)
		}
		info.KeyId, info.Former = c.KeyID, c.Former > 0
		view.Credentials = append(view.Credentials, info)
	}
	return view
}
