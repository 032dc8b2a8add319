package api

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"time"

	"restic-manager/restic/listing"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ReadSnapshot reads a snapshot and whether it can be browsed; with wait, once its index
// has another version than the one given.
func (h *Handlers) ReadSnapshot(ctx context.Context, r ReadSnapshotRequestObject) (ReadSnapshotResponseObject, error) {
	var view SnapshotDetail
	err := h.wait(ctx, r.Params.Wait, topicOf(fleet.TopicSnapshots, r.SnapshotId), func() (done bool, err error) {
		view, err = h.snapshotDetail(ctx, fleet.RepositoryID(r.RepositoryId), r.SnapshotId)
		return view.Version != r.Params.IfVersion, err
	})
	return ReadSnapshot200JSONResponse(view), err
}

// IndexSnapshot sees to it that a snapshot can be browsed.
func (h *Handlers) IndexSnapshot(ctx context.Context, r IndexSnapshotRequestObject) (IndexSnapshotResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	if err := h.jobs.Index(ctx, actor(ctx), id, r.SnapshotId); err != nil {
		return nil, err
	}
	view, err := h.snapshotDetail(ctx, id, r.SnapshotId)
	return IndexSnapshot200JSONResponse(view), err
}

func (h *Handlers) snapshotDetail(ctx context.Context, repository fleet.RepositoryID, id string) (SnapshotDetail, error) {
	snapshot, err := h.store.Snapshot(ctx, repository, id)
	if err != nil {
		return SnapshotDetail{}, err
	}
	shown, err := h.snapshots(ctx, []fleet.Snapshot{*snapshot})
	if err != nil {
		return SnapshotDetail{}, err
	}
	view := SnapshotDetail{Snapshot: shown[0], Index: SnapshotIndex{State: SnapshotIndexState(fleet.IndexNone)}, Version: 1}
	l, err := h.store.Index(ctx, repository, id)
	if fleet.Is(err, fleet.NotFound) {
		return view, nil
	}
	if err != nil {
		return view, err
	}
	view.Version = l.Version
	if l.State != fleet.IndexDropped {
		view.Index = SnapshotIndex{
			State: SnapshotIndexState(l.State), JobId: string(l.JobID), Message: l.Message, Entries: l.Entries, Bytes: l.Bytes, MadeAt: l.MadeAt.Time(),
		}
	}
	return view, nil
}

// ListSnapshotEntries lists a folder of a snapshot, a page at a time.
func (h *Handlers) ListSnapshotEntries(ctx context.Context, r ListSnapshotEntriesRequestObject) (ListSnapshotEntriesResponseObject, error) {
	folder := cmp.Or(r.Params.Path, "/")
	where := []string{r.RepositoryId, r.SnapshotId, folder}
	page := store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken}
	view, err := h.browse(ctx, fleet.RepositoryID(r.RepositoryId), r.SnapshotId, page, "entries", where, "path",
		func(index *listing.Reader, at string) ([]listing.Entry, string, error) {
			return index.List(ctx, folder, at, page.Limit())
		})
	return ListSnapshotEntries200JSONResponse(view), err
}

// A search that has found nothing goes on to the end of the index, but for no longer than a
// proxy waits for: of an index far above a million entries a page may be empty and have a
// next one. Searches cost processor time, so few go on at the same time and the others wait.
const (
	searchFor   = 15 * time.Second
	maxSearches = 2
)

// SearchSnapshot finds files of a snapshot by name.
func (h *Handlers) SearchSnapshot(ctx context.Context, r SearchSnapshotRequestObject) (SearchSnapshotResponseObject, error) {
	query := listing.Query{Text: r.Params.Q, Under: r.Params.Under}
	where := []string{r.RepositoryId, r.SnapshotId, query.Text, query.Under}
	page := store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken}
	view, err := h.browse(ctx, fleet.RepositoryID(r.RepositoryId), r.SnapshotId, page, "search", where, "under",
		func(index *listing.Reader, at string) (found []listing.Entry, next string, err error) {
			select {
			case h.searches <- struct{}{}:
				defer func() { <-h.searches }()
			case <-ctx.Done():
				return nil, "", ctx.Err()
			}
			begin := time.Now()
			for next = at; ; {
				found, next, err = index.Search(ctx, query, next, page.Limit())
				if err != nil || len(found) > 0 || next == "" || time.Since(begin) > searchFor {
					return found, next, err
				}
			}
		})
	return SearchSnapshot200JSONResponse(view), err
}

// browse reads a page of the index of a snapshot. The page's token is a position of that
// list, which where names; field is the parameter that a missing folder came in.
func (h *Handlers) browse(ctx context.Context, repository fleet.RepositoryID, id string, page store.Page, kind string, where []string, field string,
	read func(*listing.Reader, string) ([]listing.Entry, string, error)) (EntryPage, error) {
	l, err := h.listed(ctx, repository, id)
	if err != nil {
		return EntryPage{}, err
	}
	at, err := page.Position(kind, where...)
	if err != nil {
		return EntryPage{}, err
	}
	index, err := listing.Open(ctx, &indexSource{store: h.store, blocks: h.blocks, index: l})
	var found []listing.Entry
	var next string
	if err == nil {
		found, next, err = read(index, at)
	}
	switch {
	case errors.Is(err, listing.ErrNoFolder):
		return EntryPage{}, fleet.Errorf(fleet.NotFound, "The snapshot has no such folder.").At(field)
	case errors.Is(err, listing.ErrPosition):
		return EntryPage{}, fleet.Errorf(fleet.InvalidPageToken, "The page token belongs to another list; begin again without one.").At("page_token")
	case errors.Is(err, listing.ErrDamaged): //guard:browse-damaged
		return EntryPage{}, errors.Join(notIndexed("The index of this snapshot was damaged or has just been dropped: have it made again."), h.jobs.Spoilt(ctx, l))
	case err != nil:
		return EntryPage{}, err
	}
	view := EntryPage{Entries: make([]Entry, len(found))}
	for i := range found {
		view.Entries[i] = toEntry(&found[i])
	}
	view.NextPageToken, err = store.PositionToken(next, kind, where...)
	return view, err
}

func notIndexed(text string) error { return fleet.Errorf(fleet.SnapshotNotIndexed, "%s", text) }

// listed reads the index of a snapshot where it can be read, and notes that it is used.
func (h *Handlers) listed(ctx context.Context, repository fleet.RepositoryID, id string) (*fleet.Index, error) {
	l, err := h.store.Index(ctx, repository, id)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return nil, err
	}
	if err == nil && l.State == fleet.IndexReady {
		return l, h.jobs.Used(ctx, l)
	}
	if _, err := h.store.Snapshot(ctx, repository, id); err != nil {
		return nil, err
	}
	if err == nil && l.State == fleet.IndexBuilding {
		return nil, notIndexed("The snapshot is being made browsable; wait for that.")
	}
	return nil, notIndexed("The snapshot was not made browsable yet, or not used for long: have its index made first.")
}

func toEntry(e *listing.Entry) Entry {
	view := Entry{
		Path: e.Path(), Name: e.Name, Type: EntryType(e.Type.String()), Size: e.Size, Files: e.Files, Mtime: e.ModTime, Lossy: e.Lossy,
	}
	mode := e.Mode &^ fs.ModeType
	switch e.Type {
	case listing.Dir:
		mode |= fs.ModeDir
	case listing.Symlink:
		mode |= fs.ModeSymlink
	case listing.Other:
		mode |= e.Mode & fs.ModeType &^ (fs.ModeDir | fs.ModeSymlink)
	}
	view.Mode = mode.String()
	return view
}
