package runner

import (
	"context"
	"fmt"

	"restic-manager/restic"
)

type findFacts struct {
	Snapshots int64 `json:"snapshots"`
	Hits      int64 `json:"hits"`
}

// runFind looks for entries by name.
func runFind(ctx context.Context, t *Task) *Ending {
	id := t.Params.String("snapshot_id")
	if e := t.chosen(ctx, id); e != nil {
		return e
	}
	rows, facts, crowded := t.rows(ctx), findFacts{}, int64(0)
	_, e := perform(ctx, t, restic.Find{
		Patterns: t.Params.Strings("patterns"), IgnoreCase: t.Params.Bool("ignore_case"), SnapshotID: id,
		Each: func(m restic.Matches) error {
			facts.Snapshots++
			facts.Hits += m.Hits
			if m.Hits > int64(len(m.Nodes)) {
				crowded++
			}
			for _, n := range m.Nodes {
				row := rowOf(n)
				row.SnapshotID = m.SnapshotID
				if err := rows.Add(row); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if e != nil {
		return rows.instead(e)
	}
	e = outcomeOf(fmt.Sprintf("%s in %s", counted(facts.Hits, "match", "matches"), counted(facts.Snapshots, "snapshot", "snapshots")))
	if crowded > 0 {
		e.addMessage(fmt.Sprintf("the list has not all matches of %s: look for less", counted(crowded, "snapshot", "snapshots")))
	}
	if e = rows.into(e); len(e.Code) == 0 {
		e.facts(facts)
	}
	return e
}
