package policy

import (
	"errors"
	"slices"

	"restic-manager/restic"
)

// AllowOperation returns a *Refusal unless the policy lets an operation run on the
// repository at a location. What can delete, or needs the credential that can, runs
// only where the policy makes this the repository's maintenance host.
func (p *Policy) AllowOperation(op restic.Operation, location string) error {
	if op.Deletes || op.Slot == restic.SlotMaintenance || !slices.Contains(op.Places, restic.PlaceHost) { //guard:policy-deletes
		return p.allowMaintenance(op, location)
	}
	if p.Operations == nil || slices.Contains(p.Operations, op.Name) || slices.Contains(p.allowed(WhatOperation), op.Name) {
		return nil
	}
	return &Refusal{CodeOperationNotAllowed, "the operation " + op.Name + " is not among those that this host's policy lists",
		allowCommand(WhatOperation, op.Name)}
}

// AllowRepository returns a *Refusal unless the policy lets data go to a location.
func (p *Policy) AllowRepository(location string) error {
	l, err := restic.ParseLocation(location)
	if err != nil {
		return notALocation(err)
	}
	if aside(l) { //guard:policy-aside-repository
		return refuseAside(l)
	}
	if p.Profile == Trusting {
		return nil
	}
	prefixes := slices.Concat(p.Repos.Allow, p.allowed(WhatRepository))
	allowed := slices.ContainsFunc(prefixes, func(prefix string) bool {
		return under(l, prefix) && (l.Path() == "" || followed(l.Path(), prefix))
	})
	if !allowed { //guard:policy-repository
		return &Refusal{CodeRepoNotAllowed, "the repository " + l.String() + " is not under a location that this host's policy allows",
			allowCommand(WhatRepository, l.String())}
	}
	return nil
}

// notALocation does not repeat the text: it is not even known to be one line.
func notALocation(err error) error {
	r := &Refusal{CodeRepoNotAllowed, "the repository's location is not understood", "correct it at the server"}
	var why *restic.Error
	if errors.As(err, &why) {
		r.What += ": " + why.Message
		r.Next += ": " + why.Next
	}
	return r
}

func under(l restic.Location, prefix string) bool {
	p, err := restic.ParseLocation(prefix)
	return err == nil && l.Under(p)
}

// followed reports whether a folder on the disk is still below another when links
// are followed: a link below an allowed folder must not lead out of it.
func followed(path, root string) bool {
	real, err := resolve(path)
	if err != nil {
		return false
	}
	realRoot, err := resolve(root)
	return err == nil && within(real, realRoot)
}
