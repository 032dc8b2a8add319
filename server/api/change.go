package api

import (
	"context"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/wake"
)

// ReadOverview counts what the dashboard shows.
func (h *Handlers) ReadOverview(ctx context.Context, _ ReadOverviewRequestObject) (ReadOverviewResponseObject, error) {
	o, err := h.store.Overview(ctx)
	if err != nil {
		return nil, err
	}
	view := ReadOverview200JSONResponse{
		Hosts: o.Hosts, Online: o.Online, Offline: o.Offline, Never: o.Never, NotScheduled: o.NotScheduled,
		ActiveJobs: o.ActiveJobs, Snapshots: o.Snapshots, Repositories: o.Repositories,
		RepositoriesReady: o.RepositoriesReady, Conditions: o.Conditions, DueNext: make([]Due, len(o.DueNext)), Score: o.Score(),
		StoredBytes: o.StoredBytes, SourceBytes: o.SourceBytes, GrowthBytesPerDay: o.GrowthPerDay, RepositoriesMeasured: o.Measured, RepositoriesHeld: o.Held, DiskFull: h.store.DiskFull(),
		Protection: ProtectionCounts{
			Protected: o.Protected, AtRisk: o.AtRisk, Unprotected: o.Unprotected, Asleep: o.Asleep,
			NotScheduled: o.Unscheduled, Never: o.NeverBacked,
		},
	}
	if view.Alerts, err = h.store.OpenAlerts(ctx); err != nil {
		return nil, err
	}
	for i := range o.DueNext {
		view.DueNext[i] = toDue(&o.DueNext[i])
	}
	if o.NextBreach != nil {
		view.NextBreach = toDue(o.NextBreach)
	}
	return view, nil
}

func toDue(d *store.Due) Due {
	return Due{
		HostId: string(d.HostID), HostName: d.HostName, ScheduleId: string(d.ScheduleID), ScheduleName: d.ScheduleName, At: d.At.Time(),
	}
}

// ListChanges tells what changed after a cursor, and waits for it where that is
// asked for. Without a cursor it gives the one of now.
func (h *Handlers) ListChanges(ctx context.Context, r ListChangesRequestObject) (ListChangesResponseObject, error) {
	if r.Params.Since == nil {
		cursor, err := h.store.FeedCursor(ctx)
		return ListChanges200JSONResponse{Cursor: cursor, Changes: []Change{}}, err
	}
	topics := make([]fleet.Topic, len(r.Params.Topics))
	for i, t := range r.Params.Topics {
		topics[i] = fleet.Topic(t)
	}
	feed := store.Feed{Cursor: *r.Params.Since}
	err := h.wait(ctx, r.Params.Wait, wake.Changes, func() (bool, error) {
		var err error
		feed, err = h.store.Feed(ctx, feed.Cursor, topics...) // what others wait for moves the cursor too
		return feed.Reset || len(feed.Changes) > 0, err
	})
	if err != nil {
		return nil, err
	}
	view := ListChanges200JSONResponse{Cursor: feed.Cursor, Reset: feed.Reset, Changes: make([]Change, len(feed.Changes))}
	for i, c := range feed.Changes {
		view.Changes[i] = Change{Topic: Topic(c.Topic), Id: c.ID}
	}
	return view, nil
}
