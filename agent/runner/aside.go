package runner

import (
	"errors"
	"fmt"
	"slices"

	"restic-manager/agent/upkeep"
)

// mostAside is how often a repository is kept aside at one time: a prune and a repair each
// day are half of it. Each copy has a name for every file of the repository, so that
// somebody who orders repairs without end could fill the disk.
const mostAside = 60

// CodeTooManyUndo is the failure of what would keep the repository aside once too often.
const CodeTooManyUndo = "too_many_undo_copies"

func wholeCopies(list []upkeep.Copy) []upkeep.Copy {
	return slices.DeleteFunc(list, func(c upkeep.Copy) bool { return !c.Whole })
}

// setAside makes an undo copy of the whole repository before something is changed in it
// that could go wrong. Where this host does not work in its folder there can be none, and
// the copy has no Path.
func (t *Task) setAside(folder *upkeep.Folder, before string) (upkeep.Copy, *Ending) {
	if folder == nil {
		return upkeep.Copy{}, nil
	}
	var made upkeep.Copy
	kept, err := folder.Copies()
	if err != nil {
		return made, failed(CodePruneNoUndo, "nothing was changed: "+err.Error(), "look at the rights beside the repository's folder")
	}
	if whole := len(wholeCopies(kept)); whole >= mostAside { //guard:aside-most
		return made, failed(CodeTooManyUndo, fmt.Sprintf("nothing was changed: the repository is kept aside %d times already", whole),
			"wait until the oldest copies end, or as root remove what nobody needs in the folder .rm-undo beside the repository")
	}
	made, err = folder.Keep(before, t.seen, nil, t.runner.now()) //guard:set-aside
	switch {
	case errors.Is(err, upkeep.ErrNoLinks):
		return made, failed(CodePruneNoUndo, "nothing was changed: the file system of the repository has no hard links, so that it cannot be kept aside",
			"move the repository to a file system that has them, such as ext4, XFS, Btrfs or ZFS")
	case err != nil:
		return made, failed(CodePruneNoUndo, "nothing was changed: "+err.Error(), "look at the room and the rights beside the repository's folder")
	}
	t.Say("the repository is kept aside in " + made.Path)
	return made, nil
}

// asideFor is setAside for a job that has not opened the folder.
func (t *Task) asideFor(before string) (upkeep.Copy, *Ending) {
	path := t.reach.folder()
	if path == "" {
		return upkeep.Copy{}, nil
	}
	folder, e := t.openFolder(path)
	if e != nil {
		return upkeep.Copy{}, e
	}
	defer folder.Close()
	return t.setAside(folder, before)
}

// tellUndo adds to an ending how what was changed can be brought back.
func (e *Ending) tellUndo(t *Task, made upkeep.Copy) {
	if made.Path == "" {
		e.addMessage("it cannot be undone: this host does not work in the repository's folder")
		return
	}
	e.addMessage("what it replaced or removed can be brought back until " +
		made.At.AddDate(0, 0, t.reach.rule.UndoDays).UTC().Format("2006-01-02") + " (" + t.undoWords() + ")")
}

func (t *Task) undoWords() string {
	return "as root: restic-manager-agent storage undo --path " + t.reach.folder() + "; the copy itself is a repository that plain restic reads"
}
