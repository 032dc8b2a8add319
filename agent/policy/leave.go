package policy

import (
	"os"
	"path/filepath"
	"slices"
)

// LeavingOut is what a backup leaves out by other means than patterns.
type LeavingOut struct {
	IfPresent     []string // of folders that have a file of this name
	LargerThan    int64    // bytes; 0 is none
	Caches        bool     // folders with a CACHEDIR.TAG
	OneFileSystem bool     // other file systems than a source's own
}

// leastLimit is the smallest limit to the size of files that does not stand for leaving
// out nearly all.
const leastLimit = 1 << 20

// AllowLeavingOut returns a *Refusal unless everything that no backup may leave out stays
// in, whatever a schedule chooses. As with patterns, single names below may go.
func (p *Policy) AllowLeavingOut(sources []string, o LeavingOut) error {
	names := slices.Clone(o.IfPresent)
	if o.Caches {
		names = append(names, "CACHEDIR.TAG")
	}
	for _, required := range p.Backup.MustInclude {
		if withinAny(required, p.allowed(WhatOmission)) {
			continue
		}
		if o.LargerThan > 0 && o.LargerThan < leastLimit || marked(required, names) || o.OneFileSystem && elsewhere(required, sources) { //guard:policy-leaving
			return &Refusal{CodePathRequired, "this host's policy says that no backup may leave out " + required + ", and an option of the schedule would",
				allowCommand(WhatOmission, required)}
		}
	}
	return nil
}

// AllowRead returns a *Refusal unless the policy lets a file be read as a source may be.
func (p *Policy) AllowRead(path string) error { return p.allowSource(path) }

// marked reports whether a folder, or one above it, has a file of one of these names.
func marked(folder string, names []string) bool {
	for {
		for _, name := range names {
			if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
				return true
			}
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return false
		}
		folder = parent
	}
}

// elsewhere reports whether a folder lies on another file system than the source that it
// is in, or whether that cannot be found out.
func elsewhere(folder string, sources []string) bool {
	own, known := device(folder)
	for _, source := range sources {
		if source = filepath.Clean(source); !within(folder, source) {
			continue
		}
		if theirs, ok := device(source); ok && known && theirs == own {
			return false
		}
	}
	return true
}
