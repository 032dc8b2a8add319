package runner

import (
	"context"
	"fmt"
	"time"

	"restic-manager/restic"
)

// chosen makes sure that the repository is the one that it has been, and that it has each
// of the snapshots: of one that it does not have, several commands of restic say nothing
// and end well.
func (t *Task) chosen(ctx context.Context, ids ...string) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if _, e := perform(ctx, t, restic.Snapshots{ID: id}); e != nil { //guard:snapshot-chosen
			return e
		}
	}
	return nil
}

// nodeRow is a row about an entry of a snapshot.
type nodeRow struct {
	SnapshotID string     `json:"snapshot_id,omitempty"`
	Path       string     `json:"path"`
	Type       string     `json:"type"`
	Size       *int64     `json:"size,omitempty"` // of files
	Mode       string     `json:"mode"`
	ModTime    *time.Time `json:"mtime,omitempty"`
}

func rowOf(n restic.Node) nodeRow {
	row := nodeRow{Path: n.Path, Type: n.Type, Mode: n.Mode.String()}
	if n.Type == "file" {
		row.Size = &n.Size
	}
	if year := n.ModTime.Year(); year >= 1 && year <= 9999 && !n.ModTime.IsZero() { // what JSON can write
		at := n.ModTime.UTC()
		row.ModTime = &at
	}
	return row
}

type lsFacts struct {
	Entries int64 `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// runLs lists a snapshot or a part of it.
func runLs(ctx context.Context, t *Task) *Ending {
	id := t.Params.String("snapshot_id")
	if e := t.chosen(ctx, id); e != nil {
		return e
	}
	rows, facts := t.rows(ctx), lsFacts{}
	var paths []string
	if path := t.Params.String("path"); path != "" {
		paths = []string{path}
	}
	listed, e := perform(ctx, t, restic.List{
		SnapshotID: id, Paths: paths, Recursive: t.Params.Bool("recursive"),
		Each: func(n restic.Node) error {
			facts.Entries++
			if n.Type == "file" {
				facts.Bytes += n.Size
			}
			return rows.Add(rowOf(n))
		},
	})
	if e != nil {
		return rows.instead(e)
	}
	e = rows.into(outcomeOf(fmt.Sprintf("%s listed", counted(listed.Value, "entry", "entries"))))
	e.facts(facts)
	return e
}

// instead is the ending of a job whose restic was stopped because its rows could not be
// kept or handed over, or ended badly by itself.
func (r *rows) instead(e *Ending) *Ending {
	if r.err != nil {
		return r.notTaken(r.err)
	}
	return e
}

// counted says how many there are of something.
func counted(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
