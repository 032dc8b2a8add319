package runner

import (
	"context"
	"fmt"

	"restic-manager/restic"
)

type diffFacts struct {
	ChangedFiles     int64 `json:"changed_files"`
	AddedFiles       int64 `json:"added_files"`
	AddedDirs        int64 `json:"added_dirs"`
	AddedOthers      int64 `json:"added_others"`
	AddedDataBlobs   int64 `json:"added_data_blobs"`
	AddedTreeBlobs   int64 `json:"added_tree_blobs"`
	AddedBytes       int64 `json:"added_bytes"`
	RemovedFiles     int64 `json:"removed_files"`
	RemovedDirs      int64 `json:"removed_dirs"`
	RemovedOthers    int64 `json:"removed_others"`
	RemovedDataBlobs int64 `json:"removed_data_blobs"`
	RemovedTreeBlobs int64 `json:"removed_tree_blobs"`
	RemovedBytes     int64 `json:"removed_bytes"`
}

type diffRow struct {
	Path     string `json:"path"`
	Modifier string `json:"modifier"`
	Change   string `json:"change"`
}

// runDiff compares two snapshots.
func runDiff(ctx context.Context, t *Task) *Ending {
	from, to := t.Params.String("from"), t.Params.String("to")
	if e := t.chosen(ctx, from, to); e != nil {
		return e
	}
	rows := t.rows(ctx)
	compared, e := perform(ctx, t, restic.Diff{
		From: from, To: to, Metadata: t.Params.Bool("metadata"),
		Each: func(c restic.Change) error { return rows.Add(diffRow{c.Path, c.Modifier, c.Words()}) },
	})
	if e != nil {
		return rows.instead(e)
	}
	s := compared.Value
	e = rows.into(outcomeOf(fmt.Sprintf("%s added, %d removed, %d changed", counted(s.Added.Files, "file", "files"), s.Removed.Files, s.ChangedFiles)))
	if len(e.Code) == 0 {
		e.facts(diffFacts{
			s.ChangedFiles,
			s.Added.Files, s.Added.Dirs, s.Added.Others, s.Added.DataBlobs, s.Added.TreeBlobs, s.Added.Bytes,
			s.Removed.Files, s.Removed.Dirs, s.Removed.Others, s.Removed.DataBlobs, s.Removed.TreeBlobs, s.Removed.Bytes,
		})
	}
	return e
}
