package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// replacedRow is a snapshot that became another.
type replacedRow struct {
	OldID    string    `json:"old_id"`
	NewID    string    `json:"new_id,omitempty"`
	Removed  bool      `json:"removed"`
	Hostname string    `json:"hostname"`
	Time     time.Time `json:"time"`
}

type replacedFacts struct {
	Changed   int  `json:"changed"`
	Unchanged int  `json:"unchanged"`
	Removed   int  `json:"removed"`
	DryRun    bool `json:"dry_run,omitempty"`
}

// CodeNotReplaced is of a restic that ended well, although the repository does not show
// what it was to change.
const CodeNotReplaced = "snapshots_not_changed"

// all lists the repository's snapshots.
func (t *Task) all(ctx context.Context) ([]restic.Snapshot, *Ending) {
	if _, e := t.pinned(ctx); e != nil {
		return nil, e
	}
	listed, e := perform(ctx, t, restic.Snapshots{})
	return listed.Value, e
}

// chosen picks the snapshots of these ids out of a list; all of them where none is named.
func chosen(list []restic.Snapshot, ids []string) ([]restic.Snapshot, *Ending) {
	if len(ids) == 0 {
		return list, nil
	}
	var picked []restic.Snapshot
	for _, id := range ids {
		i := slices.IndexFunc(list, func(s restic.Snapshot) bool { return s.ID == id })
		if i < 0 { //guard:replace-known
			return nil, failed(string(restic.CodeSnapshotNotFound), fmt.Sprintf("the repository has no snapshot %.12s…, so nothing was changed", id),
				"choose again from the list of snapshots: this one may have been removed, or its tags changed, which changes the id")
		}
		picked = append(picked, list[i])
	}
	return picked, nil
}

// firstID is what a snapshot was before anything changed it.
func firstID(s restic.Snapshot) string {
	if s.Original != "" {
		return s.Original
	}
	return s.ID
}

// compared says what became of the chosen snapshots, by the lists before and after: a new
// one is known by what it was made of.
func compared(before, list, after []restic.Snapshot) (rows []replacedRow, found replacedFacts) {
	old := map[string]bool{}
	for _, s := range list {
		old[s.ID] = true
	}
	there, made := map[string]bool{}, map[string][]restic.Snapshot{}
	for _, s := range after {
		there[s.ID] = true
		if !old[s.ID] && s.Original != "" {
			made[s.Original] = append(made[s.Original], s)
		}
	}
	for _, s := range before {
		row := replacedRow{OldID: s.ID, Removed: !there[s.ID], Hostname: s.Host, Time: s.Time.UTC()}
		of := s.ID // rewrite and repair name what they read, tag what that was first
		if len(made[of]) == 0 {
			of = firstID(s)
		}
		if from := made[of]; len(from) > 0 {
			i := max(0, slices.IndexFunc(from, func(n restic.Snapshot) bool { return n.Time.Equal(s.Time) }))
			row.NewID = from[i].ID
			made[of] = slices.Delete(slices.Clone(from), i, i+1)
		}
		switch {
		case row.NewID != "":
			found.Changed++
		case !row.Removed:
			found.Unchanged++
		}
		if row.Removed {
			found.Removed++
		}
		if row.NewID != "" || row.Removed {
			rows = append(rows, row)
		}
	}
	return rows, found
}

// replace runs a restic that makes new snapshots of old ones, and tells by the
// repository's own lists what became of them.
func replace[T any](ctx context.Context, t *Task, ids []string, op restic.Op[T], changes func(T) int, forget, dry bool) *Ending {
	list, e := t.all(ctx)
	if e != nil {
		return e
	}
	before, e := chosen(list, ids)
	if e != nil {
		return e
	}
	if !dry {
		_, repairs := any(op).(restic.RepairSnapshots)
		if e := t.readyToReplace(ctx, before, repairs, forget); e != nil {
			return e
		}
	}
	result, e := perform(ctx, t, op)
	if e != nil {
		t.cutOff(ctx)
		return e
	}
	if dry {
		n := changes(result.Value)
		e := outcomeOf(fmt.Sprintf("%d of %d snapshots would be changed", n, len(before)))
		e.facts(replacedFacts{Changed: n, Unchanged: len(before) - n, DryRun: true})
		return e
	}
	after, e := perform(ctx, t, restic.Snapshots{})
	if e != nil {
		return e
	}
	t.settled(after.Value)
	changed, found := compared(before, list, after.Value)
	return t.replaced(ctx, changed, found, changes(result.Value), forget)
}

// mostLost is how many names of what is lost stand in a message; the log has all.
const mostLost = 10

// tellLost says which files and folders a repair has left out.
func (e *Ending) tellLost(names []string) {
	if len(names) == 0 {
		return
	}
	text := "lost is what these had: " + strings.Join(names[:min(len(names), mostLost)], ", ")
	if more := len(names) - mostLost; more > 0 {
		text += fmt.Sprintf(" and %d more, which are in the log", more)
	}
	e.addMessage(text)
}

// readyToReplace keeps aside what could go, and writes down whose places are taken. A
// repair takes out only what is lost, so the floors are not asked; but it relies on an index
// that may be wrong, so everything is kept aside.
func (t *Task) readyToReplace(ctx context.Context, before []restic.Snapshot, repairs, forget bool) *Ending {
	if repairs {
		if _, e := t.asideFor("repair"); e != nil {
			return e
		}
	}
	if !forget {
		return nil
	}
	if e := t.spare(ctx, before, !repairs); e != nil {
		return e
	}
	return t.announce(before, false)
}

// replaced is the ending of a job that was to change snapshots, by facts: as many as
// restic said, and with the old ones gone where they were to go.
func (t *Task) replaced(ctx context.Context, changed []replacedRow, found replacedFacts, said int, forget bool) *Ending {
	rows := t.rows(ctx)
	for _, row := range changed {
		_ = rows.Add(row) // told by into
	}
	e := outcomeOf(fmt.Sprintf("%d of %d snapshots changed", found.Changed, found.Changed+found.Unchanged))
	lost := slices.ContainsFunc(changed, func(r replacedRow) bool { return r.NewID == "" })
	switch {
	case lost: //guard:replace-lost
		e = failed(CodeNotReplaced, "a snapshot is gone and the repository lists none in its place", "see the rows of the result; it may have become empty, or the storage may have lost it")
	case forget && found.Removed < found.Changed: //guard:replace-removed
		e = failed(CodeNotReplaced, fmt.Sprintf("%d of the old snapshots are still there beside the new ones", found.Changed-found.Removed),
			"see the job's log: the storage did not let this host remove them")
	case found.Changed < said:
		e = failed(CodeNotReplaced, fmt.Sprintf("restic said that it changed %d snapshots, and the repository shows %d", said, found.Changed),
			"check the storage: what it has taken it must keep; then run it again")
	}
	e.facts(found)
	return rows.into(e)
}

// runRewrite takes what patterns match out of snapshots.
func runRewrite(ctx context.Context, t *Task) *Ending {
	op := restic.Rewrite{
		SnapshotIDs: t.Params.Strings("snapshot_ids"), Excludes: t.Params.Strings("excludes"),
		Forget: t.Params.Bool("forget"), DryRun: t.Params.Bool("dry_run"),
	}
	return replace(ctx, t, op.SnapshotIDs, op, func(d restic.Done) int { return d.Changed }, op.Forget, op.DryRun)
}

// runRepairSnapshots makes snapshots anew that lack data.
func runRepairSnapshots(ctx context.Context, t *Task) *Ending {
	op := restic.RepairSnapshots{
		SnapshotIDs: t.Params.Strings("snapshot_ids"), Forget: t.Params.Bool("forget"), DryRun: t.Params.Bool("dry_run"),
	}
	var done restic.Done
	e := replace(ctx, t, op.SnapshotIDs, op, func(d restic.Done) int { done = d; return d.Changed }, op.Forget, op.DryRun)
	if op.DryRun || e.Result != spool.Succeeded || done.Changed == 0 {
		return e
	}
	e.tellLost(done.Lost)
	if !op.Forget {
		e.NextStep = "the damaged ones are there still, and each check finds them: look at what the new ones lack, then remove the damaged ones"
	}
	return e
}

// runTag changes tags, but for ours. restic is not believed: it ends with 0 also where the
// storage refused.
func runTag(ctx context.Context, t *Task) *Ending {
	list, e := t.all(ctx)
	if e != nil {
		return e
	}
	before, e := chosen(list, t.Params.Strings("snapshot_ids"))
	if e != nil {
		return e
	}
	add, remove := t.Params.Strings("add"), t.Params.Strings("remove")
	if set := t.Params.Strings("set"); len(set) > 0 {
		add, remove = set, otherTags(before, set)
	}
	if e := t.spare(ctx, before, false); e != nil {
		return e
	}
	if e := t.announce(before, true); e != nil {
		return e
	}
	if _, e := perform(ctx, t, restic.Tag{SnapshotIDs: t.Params.Strings("snapshot_ids"), Add: add, Remove: remove}); e != nil {
		t.cutOff(ctx)
		return e
	}
	after, e := perform(ctx, t, restic.Snapshots{})
	if e != nil {
		return e
	}
	t.settled(after.Value)
	changed, found := compared(before, list, after.Value)
	if s := missed(before, changed, after.Value, add, remove); s != "" { //guard:tag-facts
		return failed(CodeNotReplaced, fmt.Sprintf("restic ended without an error, but snapshot %.12s… has not the tags that it should have", s),
			"see the job's log: does the storage let this host replace a snapshot?")
	}
	return t.replaced(ctx, changed, found, 0, true)
}

// otherTags lists the tags of snapshots that are neither ours nor to stay.
func otherTags(snapshots []restic.Snapshot, stay []string) []string {
	var others []string
	for _, s := range snapshots {
		for _, tag := range s.Tags {
			if tag != "" && !strings.HasPrefix(strings.ToLower(tag), "rm:") && !slices.Contains(stay, tag) && !slices.Contains(others, tag) {
				others = append(others, tag)
			}
		}
	}
	return others
}

// missed returns the first snapshot that has not become what it should have, "" for none.
func missed(before []restic.Snapshot, changed []replacedRow, after []restic.Snapshot, add, remove []string) string {
	for _, s := range before {
		id := s.ID
		if i := slices.IndexFunc(changed, func(r replacedRow) bool { return r.OldID == s.ID && r.NewID != "" }); i >= 0 {
			id = changed[i].NewID
		}
		i := slices.IndexFunc(after, func(n restic.Snapshot) bool { return n.ID == id })
		if i < 0 {
			return s.ID
		}
		tags := after[i].Tags
		if slices.ContainsFunc(add, func(tag string) bool { return !slices.Contains(tags, tag) }) ||
			slices.ContainsFunc(remove, func(tag string) bool { return slices.Contains(tags, tag) }) {
			return s.ID
		}
	}
	return ""
}
