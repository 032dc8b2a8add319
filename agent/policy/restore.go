package policy

import (
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize"
)

// RestoreSummary is what the server learns of where restores may write.
type RestoreSummary struct {
	StagingDir         string
	InPlace            []string // folders; "/" is everywhere
	PreservePrivileged bool
	MaxBytes           int64 // 0 is no limit
}

// RestoreRules tells what the policy says about restores.
func (p *Policy) RestoreRules() RestoreSummary {
	r := RestoreSummary{
		StagingDir: p.StagingDir(), PreservePrivileged: p.Restore.PreservePrivileged, MaxBytes: p.Restore.MaxBytes,
		InPlace: slices.Concat(p.Restore.InPlaceAllow, p.allowed(WhatRestoreInPlace)),
	}
	if p.Profile == Trusting {
		r.InPlace = []string{everywhere}
	}
	return r
}

// everywhere is the folder that has all others.
const everywhere = "/"

// StageIn says where the private folders of restores are made if the file does not. It is
// called before the policy is shared.
func (p *Policy) StageIn(folder string) { p.staging = folder }

// StagingDir is where the private folders of restores are made.
func (p *Policy) StagingDir() string {
	if p.Restore.StagingDir != "" {
		return p.Restore.StagingDir
	}
	return p.staging
}

// AllowInPlace returns a *Refusal unless the policy lets a restore write to a path of this
// host and below it. The path is absolute, and the links above it are followed already.
func (p *Policy) AllowInPlace(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || checkForm(path) != nil { //guard:policy-restore-form
		return &Refusal{CodeRestoreTargetDenied, "a path to restore to is not a plain absolute path", "choose another path, or restore to a fresh folder"}
	}
	if withinAny(path, p.OwnFolders()) { //guard:policy-restore-own
		return &Refusal{CodeRestoreTargetDenied, "the path " + path + " lies in a folder of the agent itself, which decides what the server may do here",
			"restore to a fresh folder: no command allows this"}
	}
	if p.Profile == Trusting {
		return nil
	}
	folders := slices.Concat(p.Restore.InPlaceAllow, p.allowed(WhatRestoreInPlace))
	allowed := slices.ContainsFunc(folders, func(folder string) bool {
		real, err := resolve(folder)
		return err == nil && within(path, real)
	})
	if !allowed { //guard:policy-restore-place
		return &Refusal{CodeRestoreTargetDenied, "this host's policy does not allow a restore in place to " + path,
			"restore to a fresh folder, or " + allowCommand(WhatRestoreInPlace, path)}
	}
	return nil
}

// OwnFolders are those of the agent itself, which no restore in place touches: its state,
// and the folder of the policy file with its scripts.
func (p *Policy) OwnFolders() []string {
	own := slices.Clone(p.own)
	if p.folder != "" {
		own = append(own, p.folder, p.scriptDir(hooks), p.scriptDir(sources))
	}
	var all []string
	for _, folder := range own {
		all = append(all, folder)
		if real, err := resolve(folder); err == nil && real != folder {
			all = append(all, real)
		}
	}
	return all
}

// AllowBytes returns a *Refusal unless the policy lets one restore write so much.
func (p *Policy) AllowBytes(n int64) error {
	if most := p.Restore.MaxBytes; most > 0 && n > most { //guard:policy-restore-bytes
		return &Refusal{CodeRestoreTooLarge, "it is " + humanize.IBytes(uint64(n)) + ", and this host's policy lets one restore write " + humanize.IBytes(uint64(most)),
			"choose less, or raise restore.max_bytes in the policy file as root"}
	}
	return nil
}

// What restores leave free of a file system where the file does not say: a hundredth
// within these bounds, but never more than a quarter of a small one. It is what a system
// needs to go on, not more: who wants one file back often has a disk that is nearly full.
const (
	freeShare = 100
	leastFree = 1 << 30
	mostFree  = 16 << 30
	smallPart = 4
)

// KeepFree is how many bytes restores and dumps leave free of a file system that has so
// many in all. It is never nothing: whoever owns the server could fill the disk with one
// restore after the other.
func (p *Policy) KeepFree(total int64) int64 {
	if p.Restore.KeepFree > 0 { //guard:policy-keep-free
		return p.Restore.KeepFree
	}
	return min(total/smallPart, max(leastFree, min(mostFree, total/freeShare)))
}

func (p *Policy) describeKeepFree() string {
	if free := p.Restore.KeepFree; free > 0 {
		return humanize.IBytes(uint64(free))
	}
	return "1 % of the file system, at least 1 GiB (at most a quarter), at most 16 GiB"
}
