package runner

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic"
)

// CodeNotDumpable is an entry that is neither a file nor a folder.
const (
	CodeNotDumpable    = "not_a_file"
	CodeDumpIncomplete = "dump_incomplete"
)

// archiveHead is about what an archive takes for an entry beside its contents.
const archiveHead = 1536

// permitDump asks the policy where a dump may write.
func permitDump(t *Task, rules *policy.Policy) error {
	t.restore = restorePlan{rules: rules, parent: rules.StagingDir()}
	if t.restore.parent == "" {
		return &policy.Refusal{Code: policy.CodeRestoreTargetDenied, What: "this host has no folder for restores", Next: "set restore.staging_dir in the policy file as root"}
	}
	return nil
}

type dumpFacts struct {
	TargetPath string `json:"target_path"`
	Bytes      int64  `json:"bytes"`
	Entries    int64  `json:"entries"`
	Fenced     bool   `json:"fenced"`
}

// toDump is what is to be dumped.
type toDump struct {
	kind           string // file or dir
	entries, bytes int64
	archive        string // "" for a file
}

// runDump writes a file, or a folder as an archive, into a private folder.
func runDump(ctx context.Context, t *Task) *Ending {
	id, path := t.Params.String("snapshot_id"), t.Params.String("path")
	if e := t.chosen(ctx, id); e != nil {
		return e
	}
	d, e := t.lookAtDump(ctx, id, path)
	if e != nil {
		return e
	}
	folder, err := stage.Make(t.restore.parent, t.Job.ID, t.runner.now())
	if err != nil {
		return failed(CodeRestoreFolder, "the private folder for the dump could not be made: "+err.Error(),
			"look at "+t.restore.parent+" on the host: the agent must be able to write there")
	}
	if e := t.roomFor(folder, d); e != nil {
		t.runner.record("remove folder", t.Job, folder.Remove())
		return e
	}
	name := restic.DumpName(path, d.archive)
	watched, over := t.margin(folder).watch(ctx)
	_, e = perform(watched, t, restic.Dump{
		SnapshotID: id, Path: path, Archive: cmp.Or(d.archive, restic.ArchiveTar), File: name,
		Folder: folder.Open(), Fence: restic.CanFence(), Limits: t.limits,
	})
	target := filepath.Join(folder.Restored(), name)
	if e = over(e); e == nil {
		e = d.whole(target)
	}
	if e != nil {
		t.runner.record("remove folder", t.Job, folder.Remove())
		return e
	}
	t.runner.record("close folder", t.Job, folder.Close())
	info, err := os.Lstat(target)
	if err != nil {
		return failed(CodeDumpIncomplete, "what was dumped is gone: "+err.Error(), "run it again")
	}
	e = outcomeOf(fmt.Sprintf("%s written to %s", humanize.IBytes(uint64(info.Size())), target))
	e.facts(dumpFacts{TargetPath: target, Bytes: info.Size(), Entries: d.entries, Fenced: restic.CanFence()})
	return e
}

// lookAtDump finds out what is at a path, and how much it is.
func (t *Task) lookAtDump(ctx context.Context, id, path string) (toDump, *Ending) {
	d := toDump{}
	if path == "/" {
		d.kind = "dir"
	}
	_, e := perform(ctx, t, restic.List{SnapshotID: id, Paths: []string{path}, Recursive: true, Each: func(n restic.Node) error {
		if n.Path == path {
			d.kind = n.Type
		}
		d.entries++
		d.bytes += n.Size
		return nil
	}})
	switch {
	case e != nil:
		return d, e
	case d.kind == "dir":
		d.archive = cmp.Or(t.Params.String("archive"), restic.ArchiveTar)
	case d.kind != "file":
		return d, failed(CodeNotDumpable, "what the snapshot has at this path is neither a file nor a folder", "restore it instead")
	}
	return d, nil
}

// roomFor asks the policy and the disk.
func (t *Task) roomFor(folder *stage.Folder, d toDump) *Ending {
	if err := t.restore.rules.AllowBytes(d.bytes); err != nil { //guard:dump-bytes
		e := refusedByPolicy(err)
		e.Result = spool.Failed
		return e
	}
	need := d.bytes
	if d.archive != "" {
		need += d.entries * archiveHead
	}
	return t.margin(folder).fits("dump", need, 1)
}

// whole looks whether restic has written what it was to write.
func (d toDump) whole(target string) *Ending {
	info, err := os.Lstat(target)
	switch {
	case err != nil:
		return failed(CodeDumpIncomplete, "restic ended well and has written no file: "+err.Error(), "look at the job's log")
	case !info.Mode().IsRegular(), d.archive == "" && info.Size() != d.bytes, d.archive != "" && info.Size() == 0: //guard:dump-whole
		return failed(CodeDumpIncomplete, fmt.Sprintf("restic ended well, but the file has %d bytes of %d", info.Size(), d.bytes), "run a check, and try again")
	}
	return nil
}

// leftByDump tells where a dump that nobody saw the end of has left something.
func leftByDump(t *Task) *Ending {
	e := end(spool.Interrupted, CodeAgentDied, "the agent or the machine died while it dumped", "run it again")
	if folders := stage.Left(t.restore.parent, t.Job.ID); len(folders) > 0 {
		e.addMessage("what it wrote until then, which may not be whole, lies in " + strings.Join(folders, ", "))
		e.NextStep = "remove that folder, and run it again"
	}
	return &e
}
