package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic"
)

// What a restore has left in its private folder: counted when restic has ended, and named
// when the agent died.

// examine looks at what is there, which is what counts, and takes privileges away.
func (r *restoring) examine(ctx context.Context, items restic.ItemList) *Ending {
	counts, err := r.folder.Examine(ctx, r.plan.paths, r.plan.rules.Restore.PreservePrivileged, r.tell)
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	if err != nil { // with privileges in it, perhaps
		return failed(CodeRestoreFolder, "what was restored could not be looked at, and was removed: "+err.Error(), "look at the disk of "+r.plan.parent)
	}
	r.count(counts, items)
	if r.facts.RestoredBytes <= 0 && r.facts.PlannedBytes > 0 { //guard:restore-empty
		why := "restic said nothing of it"
		if items.Count > 0 {
			why = items.First[0].Message
		}
		return failed(string(restic.CodeRestoreIncomplete), "no file could be restored: "+why,
			"see the rows of the result; run a check of the repository if it says that something is missing there")
	}
	if r.plan.inPlace && int64(items.Count)+counts.Failed > 0 { //guard:restore-whole
		r.keep = true
		r.facts.TargetPath = r.folder.Restored()
		return failed(string(restic.CodeRestoreIncomplete),
			fmt.Sprintf("not everything could be restored, so nothing in place was touched; what was restored lies in %s", r.folder.Restored()),
			"see the rows of the result; take what you need from that folder, then remove it")
	}
	return nil
}

// count compares what is there with what was planned. An entry that restic could not restore
// may be there all the same, a file with its full length, whatever is in it.
func (r *restoring) count(there stage.Counts, items restic.ItemList) {
	reported, absent := map[string]bool{}, int64(0)
	r.facts.RestoredFiles, r.facts.RestoredBytes = there.Entries-int64(items.Count), there.Bytes
	for _, item := range slices.Concat(items.First, items.Last) {
		reported[item.Path] = true
		r.row(item.Path, string(stage.Failed), item.Message)
		r.facts.RestoredBytes -= r.folder.Size(item.Path)
		if !r.folder.Has(item.Path) {
			absent++
		}
	}
	r.facts.RestoredFiles = max(0, r.facts.RestoredFiles+absent)
	if n := items.Omitted(); n > 0 {
		r.row("", string(stage.Failed), fmt.Sprintf("%d more entries with errors are in the job's log", n))
	}
	r.errors += int64(items.Count) + there.Failed
	unmade := r.facts.PlannedFiles - there.Entries - there.Removed - there.Failed - absent - int64(items.Omitted())
	if unmade > 0 { //guard:restore-count
		r.errors += unmade
		r.row("", "missing", r.entries(unmade)+" are not there, although restic says that it restored them")
	}
	for _, path := range r.plan.paths {
		if path != "/" && !reported[path] && !r.folder.Has(path) {
			r.errors++
			r.row(path, "missing", notInSnapshot)
		}
	}
}

// tell takes a finding.
func (r *restoring) tell(f stage.Finding) {
	if f.Kind == stage.Stripped {
		r.facts.Stripped++
	}
	r.row(f.Path, string(f.Kind), f.Detail)
}

func (r *restoring) row(path, what, detail string) {
	if err := r.rows.Add(restoreRow{strings.ToValidUTF8(path, "\uFFFD"), what, strings.ToValidUTF8(detail, "\uFFFD")}); err != nil {
		r.Say(fmt.Sprintf("%s %q: %s", what, path, detail))
	}
}

// restoreParents are the folders in which a restore may have made its private one: the one
// for all, and where it was to put files in place, one on their own file system.
func (t *Task) restoreParents() []string {
	parents := []string{t.restore.parent}
	if !t.restore.inPlace {
		return parents
	}
	paths := t.restore.paths
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	for _, path := range paths {
		real, err := stage.Resolve(path)
		if err != nil {
			continue
		}
		parent, err := stage.Beside([]stage.Target{{Path: path, Real: real}}, t.restore.rules.StagingDir())
		if err == nil && !slices.Contains(parents, parent) {
			parents = append(parents, parent)
		}
	}
	return parents
}

// leftByRestore names what a restore that the agent died under has left on this host. It is
// never begun again by itself.
func leftByRestore(t *Task) *Ending {
	e := end(spool.Interrupted, CodeAgentDied, "the agent or the machine died while it restored", "run it again")
	var folders []string
	for _, parent := range t.restoreParents() {
		folders = append(folders, stage.Left(parent, t.Job.ID)...)
	}
	if len(folders) == 0 {
		e.addMessage("its private folder is gone already")
		return &e
	}
	if t.restore.inPlace {
		e.addMessage("perhaps not everything is in place; each file is either as it was or as in the snapshot")
	}
	e.addMessage("what it restored until then, privileges perhaps included, lies in " + strings.Join(folders, ", "))
	e.NextStep = "run it again; take from that folder what you need, then remove it"
	return &e
}
