package api

import (
	"context"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ListSnapshots lists snapshots, newest first.
func (h *Handlers) ListSnapshots(ctx context.Context, r ListSnapshotsRequestObject) (ListSnapshotsResponseObject, error) {
	p := r.Params
	filter := store.SnapshotFilter{
		Host: fleet.HostID(p.HostId), Repository: fleet.RepositoryID(p.RepositoryId), Schedule: fleet.ScheduleID(p.ScheduleId),
		Hostname: p.Hostname, From: fleet.At(p.From), To: fleet.At(p.To),
	}
	list, next, err := h.store.Snapshots(ctx, filter, store.Page{Size: p.PageSize, Token: p.PageToken})
	if err != nil {
		return nil, err
	}
	known := newNames()
	for i := range list {
		known.want(list[i].HostID, list[i].RepositoryID, "")
	}
	if err := known.read(ctx, h.store); err != nil {
		return nil, err
	}
	page := SnapshotPage{Snapshots: make([]Snapshot, len(list)), NextPageToken: next}
	for i := range list {
		page.Snapshots[i] = toSnapshot(&list[i], known)
	}
	return ListSnapshots200JSONResponse(page), nil
}

func toSnapshot(s *fleet.Snapshot, known *names) Snapshot {
	return Snapshot{
		Id: s.ID, RepositoryId: string(s.RepositoryID), RepositoryName: known.repositories[s.RepositoryID],
		HostId: string(s.HostID), HostName: known.hosts[s.HostID], ScheduleId: string(s.ScheduleID), JobId: string(s.JobID),
		Time: s.Time.Time(), FirstSeenAt: s.FirstSeen.Time(), Hostname: s.Hostname, Username: s.Username,
		Paths: s.Paths.Items(), Tags: s.Tags.Items(), Files: s.Files, Bytes: s.Bytes, BytesAdded: s.BytesAdded,
	}
}
