package runner

import (
	"context"
	"fmt"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// runIdentify opens a repository that exists and says which one it is.
func runIdentify(ctx context.Context, t *Task) *Ending {
	identity, e := t.identity(ctx)
	if e != nil {
		return e
	}
	rows := t.rows(ctx)
	for _, key := range t.listed {
		_ = rows.Add(keyRow{key.ID, key.Current, key.User, key.Host, key.Created}) // told by into
	}
	e = outcomeOf(fmt.Sprintf("repository %.10s, format %d, %d keys", identity.ResticId, identity.FormatVersion, identity.KeyCount))
	e.Repository = identity
	e.facts(identifyFacts{identity.ResticId, identity.FormatVersion, identity.KeyCount, keyIDs(t.listed)})
	if told := rows.into(e); told != e && ctx.Err() == nil {
		e.addMessage("its list of keys could not be handed over") // what it is matters more
		return e
	}
	return e
}

type identifyFacts struct {
	ResticID      string `json:"restic_id"`
	FormatVersion int    `json:"format_version"`
	Keys          int    `json:"keys"`

	KeyIDs []string `json:"key_ids"`
}

// maxKeyIDs is how many keys are named among facts, which have to be short; whoever may
// add to a repository can add keys.
const maxKeyIDs = 100

// keyIDs names keys, the first hundred of them.
func keyIDs(keys []restic.Key) []string {
	var ids []string
	for _, k := range keys[:min(len(keys), maxKeyIDs)] {
		ids = append(ids, k.ID)
	}
	return ids
}

// keyRow is a key of the repository.
type keyRow struct {
	ID       string `json:"id"`
	Current  bool   `json:"current"`
	Username string `json:"username"`
	Hostname string `json:"hostname"`
	Created  string `json:"created"`
}

// pinned makes sure that the repository at the location is the one that it has been.
// Whatever the job comes to afterwards, its outcome then tells that it was seen.
func (t *Task) pinned(ctx context.Context) (restic.RepositoryConfig, *Ending) {
	result, e := perform(ctx, t, restic.CatConfig{})
	if e != nil {
		return restic.RepositoryConfig{}, e
	}
	if known := t.Repository.ResticID; known != "" && known != result.Value.ID { //guard:repository-pin
		return result.Value, t.another(result.Value.ID)
	}
	if e := t.reach.pin(result.Value.ID); e != nil { //guard:maintenance-pin
		return result.Value, e
	}
	t.seen = result.Value.ID
	return result.Value, nil
}

// another is the failure of a job that found another repository than the one that it knows.
// In a folder that this host is to maintain it may never have been that one.
func (t *Task) another(found string) *Ending {
	known := t.Repository.ResticID
	there := fmt.Sprintf("the repository in %s is not the one that this host is to maintain there: its id is %.12s…, and that one's is %.12s…", t.reach.folder(), found, known)
	switch t.orFolder(CodeRepositoryChanged) {
	case CodeMaintenanceFolder:
		return failed(CodeMaintenanceFolder, there, nextFolder+"find out who replaced it")
	case CodeMaintenanceFolderGone:
		return failed(CodeMaintenanceFolderGone, there, nextMount+"find out who replaced it")
	}
	return failed(CodeRepositoryChanged,
		fmt.Sprintf("the repository at this location is not the one it was: its id is %.12s…, and was %.12s…", found, known),
		"find out who replaced it; if that was meant, add it as a repository of its own")
}

// identity reads the repository's id and which of its keys is ours.
func (t *Task) identity(ctx context.Context) (*spool.RepositoryIdentity, *Ending) {
	config, e := t.pinned(ctx)
	if e != nil {
		return nil, e
	}
	keys, e := perform(ctx, t, restic.ListKeys{})
	if e != nil {
		return nil, e
	}
	t.listed = keys.Value
	identity := &spool.RepositoryIdentity{ResticId: config.ID, FormatVersion: config.Version, KeyCount: len(keys.Value)}
	for _, key := range keys.Value {
		if key.Current {
			identity.KeyId = key.ID
		}
	}
	return identity, nil
}
