package restic

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// fenceWord is the first argument of a program that is to start a fenced restic: the
// places where it may write follow, then fenceEnd and the command.
const (
	fenceWord = "start-fenced"
	fenceEnd  = "--"
)

// CanFence reports whether the kernel can keep a restic from writing anywhere but where
// it is to (Landlock, since Linux 5.19). It holds for what opens, makes, moves or removes
// files, not for their modes, owners and times.
func CanFence() bool { return canFence() }

// confine hands a restic the folder of its restore, and where that is wanted puts the
// fence around it: beside that folder it may write to its cache, its temporary folder and
// the repository's locks.
func (r *Runner) confine(spec *childSpec, p plan, access Access) error {
	spec.folders = inherited(p.folder)
	if !p.fenced {
		return nil
	}
	starter, err := r.starter()
	if err != nil {
		return notStarted("the program that fences it is not found", err)
	}
	places := []string{targetFolder(p.folder), r.config.CacheDir, spec.dir, os.DevNull}
	if folder := access.Location.Path(); folder != "" && !p.reads {
		places = append(places, filepath.Join(folder, "locks"))
	}
	spec.args = slices.Concat([]string{fenceWord}, places, []string{fenceEnd, spec.path}, spec.args)
	spec.path = starter
	return nil
}

// startFenced becomes the command, once it can write to the places only.
func startFenced(args []string) int {
	end := slices.Index(args, fenceEnd)
	if end < 1 || len(args) < end+2 || !filepath.IsAbs(args[end+1]) {
		fmt.Fprintln(os.Stderr, fenceWord+" is for the agent itself")
		return starterUsage
	}
	err := becomeFenced(args[:end], args[end+1:])
	fmt.Fprintf(os.Stderr, "restic not started: it could not be fenced: %v\n", err)
	return starterRefused
}
