package api

import (
	"context"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
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
	page := SnapshotPage{NextPageToken: next}
	page.Snapshots, err = h.snapshots(ctx, list)
	return ListSnapshots200JSONResponse(page), err
}

// snapshots shows rows, with what nobody confirms of them.
func (h *Handlers) snapshots(ctx context.Context, list []fleet.Snapshot) ([]Snapshot, error) {
	doubts, err := job.Doubts(ctx, h.store.Queries, list)
	if err != nil {
		return nil, err
	}
	known := newNames()
	for i := range list {
		known.want(list[i].HostID, list[i].RepositoryID, "")
		known.want(doubts[i].Host, "", "")
	}
	if err := known.read(ctx, h.store); err != nil {
		return nil, err
	}
	shown := make([]Snapshot, len(list))
	for i := range list {
		shown[i] = toSnapshot(&list[i], known)
		if d, doubted := doubts[i]; doubted {
			shown[i].Doubt = &SnapshotDoubt{Code: d.Code, Message: d.Message, JobId: string(d.Job), HostId: string(d.Host), HostName: known.hosts[d.Host]}
		}
	}
	return shown, nil
}

func toSnapshot(s *fleet.Snapshot, known *names) Snapshot {
	return Snapshot{
		Id: s.ID, RepositoryId: string(s.RepositoryID), RepositoryName: known.repositories[s.RepositoryID],
		HostId: string(s.HostID), HostName: known.hosts[s.HostID], ScheduleId: string(s.ScheduleID), JobId: string(s.JobID),
		Time: s.Time.Time(), FirstSeenAt: s.FirstSeen.Time(), Hostname: s.Hostname, Username: s.Username,
		Paths: s.Paths.Items(), Tags: s.Tags.Items(), Files: s.Files, Bytes: s.Bytes, BytesAdded: s.BytesAdded, Original: s.Original,
	}
}
