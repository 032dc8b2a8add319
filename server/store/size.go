package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// HostSize is how much a host's backups are.
type HostSize struct {
	Source   int64 // what the newest snapshots of its schedules would restore to, together
	Stored   int64 // what their repositories take
	Measured bool  // each of those repositories was measured
	Shared   bool  // one of them holds other hosts' backups too
}

// HostSizes tells the sizes of hosts by id; one without a schedule is left out.
func (q Queries) HostSizes(ctx context.Context, ids []fleet.HostID) (map[fleet.HostID]HostSize, error) {
	byID := make(map[fleet.HostID]HostSize, len(ids))
	if len(ids) == 0 {
		return byID, nil
	}
	var list []struct {
		HostID     fleet.HostID       `db:"host_id"`
		Repository fleet.RepositoryID `db:"repository_id"`
		Hosts      int                `db:"hosts"`
		Health     fleet.Doc          `db:"health"`
		Bytes      int64              `db:"bytes"`
	}
	err := q.allIn(ctx, &list, `SELECT c.host_id, c.repository_id, r.hosts, r.health,
		COALESCE((SELECT s.bytes FROM snapshots s WHERE s.schedule_id = c.id AND s.bytes > 0 ORDER BY s.time_at DESC, s.id DESC LIMIT 1), 0) AS bytes
		FROM schedules c JOIN repositories r ON r.id = c.repository_id WHERE c.host_id IN (?) ORDER BY c.host_id, c.repository_id`, ids)
	if err != nil {
		return nil, fmt.Errorf("read the sizes of hosts: %w", err)
	}
	for i, row := range list {
		size, seen := byID[row.HostID]
		size.Source += row.Bytes
		if again := i > 0 && list[i-1].HostID == row.HostID && list[i-1].Repository == row.Repository; !again {
			var health fleet.RepositoryHealth
			if err := row.Health.Read(&health); err != nil {
				return nil, fmt.Errorf("read the health of repository %s: %w", row.Repository, err)
			}
			size.Stored += health.StoredBytes
			size.Shared = size.Shared || row.Hosts > 1
			size.Measured = !health.MeasuredAt.IsZero() && (size.Measured || !seen)
		}
		byID[row.HostID] = size
	}
	return byID, nil
}
