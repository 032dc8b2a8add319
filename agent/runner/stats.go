package runner

import (
	"cmp"
	"context"
	"fmt"

	"github.com/dustin/go-humanize"

	"restic-manager/restic"
)

type statsFacts struct {
	Mode             string   `json:"mode"`
	Snapshots        int64    `json:"snapshots_count"`
	Size             int64    `json:"total_size"`
	Files            int64    `json:"total_file_count,omitempty"`
	Blobs            int64    `json:"total_blob_count,omitempty"`
	UncompressedSize int64    `json:"total_uncompressed_size,omitempty"`
	Ratio            string   `json:"compression_ratio,omitempty"`
	Progress         *float64 `json:"compression_progress,omitempty"`
	Saving           *float64 `json:"compression_space_saving,omitempty"`
}

// runStats measures the repository or a snapshot of it.
func runStats(ctx context.Context, t *Task) *Ending {
	id := t.Params.String("snapshot_id")
	if e := t.chosen(ctx, id); e != nil {
		return e
	}
	mode := cmp.Or(t.Params.String("mode"), restic.StatsRestoreSize)
	measured, e := perform(ctx, t, restic.Stats{Mode: mode, SnapshotID: id})
	if e != nil {
		return e
	}
	m := measured.Value
	e = outcomeOf(fmt.Sprintf("%s: %s in %s", mode, humanize.IBytes(uint64(max(0, m.Size))), counted(m.Snapshots, "snapshot", "snapshots")))
	e.facts(statsFacts{
		Mode: mode, Snapshots: m.Snapshots, Size: m.Size, Files: m.Files, Blobs: m.Blobs, UncompressedSize: m.UncompressedSize,
		Ratio: m.RatioText(), Progress: shareOf(m.Progress), Saving: shareOf(m.Saving),
	})
	return e
}

// shareOf makes a part of 1 of a percentage.
func shareOf(percent *float64) *float64 {
	if percent == nil {
		return nil
	}
	share := min(1, max(0, *percent/100))
	return &share
}
