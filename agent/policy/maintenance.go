package policy

import (
	"slices"
	"strconv"
	"strings"

	"restic-manager/restic"
)

// Floors of a maintained repository where the policy file says nothing, or 0.
const (
	DefaultKeepDays          = 14
	DefaultKeepLast          = 3
	DefaultMaxDeleteFraction = 0.3
	DefaultUndoDays          = 14
)

// place is the text of where the repositories of an entry are.
func (e Maintenance) place() string {
	if e.Path != "" {
		return e.Path
	}
	return e.Location
}

// withDefaults fills in the floors that the file leaves out.
func (e Maintenance) withDefaults() Maintenance {
	orElse := func(n, standard int) int {
		if n == 0 {
			return standard
		}
		return n
	}
	e.KeepDays = orElse(e.KeepDays, DefaultKeepDays)
	e.KeepLast = orElse(e.KeepLast, DefaultKeepLast)
	e.UndoDays = orElse(e.UndoDays, DefaultUndoDays)
	if e.MaxDeleteFraction == 0 {
		e.MaxDeleteFraction = DefaultMaxDeleteFraction
	}
	return e
}

// asideSuffixes are of the folders beside a repository that hold what was removed from it.
var asideSuffixes = []string{".rm-undo", ".rm-quarantine"}

// KeptAside reports whether a path, or one of its folders, has the name of what is kept
// aside of a repository.
func KeptAside(path string) bool {
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if slices.ContainsFunc(asideSuffixes, func(suffix string) bool { return strings.HasSuffix(strings.ToLower(segment), suffix) }) {
			return true
		}
	}
	return false
}

// aside reports whether a location is within what is kept aside of a repository, as
// written or when links are followed. An undo copy is a repository to restic: who could
// order a prune in one would take away what is to undo his orders.
func aside(l restic.Location) bool {
	if l.Path() == "" || KeptAside(l.String()) {
		return KeptAside(l.String())
	}
	real, err := resolve(l.Path())
	return err == nil && KeptAside(real)
}

func refuseAside(l restic.Location) error {
	return &Refusal{CodeRepoNotAllowed, "the location " + l.String() + " is within what is kept aside of a repository, where no order works",
		"use plain restic there, as root on this host: no command allows this"}
}

// Covers reports whether a repository at l is among those of the entry: at its place or
// below it, also when links are followed, and not within what is kept aside.
func (e Maintenance) Covers(l restic.Location) bool {
	if aside(l) { //guard:policy-aside
		return false
	}
	return under(l, e.place()) && (l.Path() == "" || followed(l.Path(), e.place()))
}

// entries lists what the file says that this host maintains, floors filled in.
func (p *Policy) entries() []Maintenance {
	var all []Maintenance
	for _, e := range p.Maintenance {
		all = append(all, e.withDefaults())
	}
	return all
}

// exceptions lists what allowances add to that, with the default floors.
func (p *Policy) exceptions() []Maintenance {
	var all []Maintenance
	for _, under := range p.allowed(WhatMaintenance) {
		e := Maintenance{Path: under}
		if strings.HasPrefix(under, "rest:") {
			e = Maintenance{Location: under}
		}
		all = append(all, e.withDefaults())
	}
	return all
}

// maintained lists both.
func (p *Policy) maintained() []Maintenance { return append(p.entries(), p.exceptions()...) }

// closest returns the entry with the longest place of those that cover a location.
func closest(entries []Maintenance, l restic.Location) (found Maintenance, ok bool) {
	for _, e := range entries {
		if e.Covers(l) && len(e.place()) > len(found.place()) {
			found, ok = e, true
		}
	}
	return found, ok
}

// MaintenanceOf returns the entry that makes this host maintain the repository at a
// location: of the file's the one with the longest place, else an allowance. Where both
// cover it, the file's entry has the stricter floors of the two.
func (p *Policy) MaintenanceOf(l restic.Location) (Maintenance, bool) {
	entry, listed := closest(p.entries(), l)
	exception, allowed := closest(p.exceptions(), l)
	switch {
	case listed && allowed: //guard:policy-stricter
		return entry.stricter(exception), true
	case allowed:
		return exception, true
	}
	return entry, listed
}

// stricter has the floors of both that keep more.
func (e Maintenance) stricter(other Maintenance) Maintenance {
	e.KeepDays = max(e.KeepDays, other.KeepDays)
	e.KeepLast = max(e.KeepLast, other.KeepLast)
	e.UndoDays = max(e.UndoDays, other.UndoDays)
	e.MaxDeleteFraction = min(e.MaxDeleteFraction, other.MaxDeleteFraction)
	return e
}

// allowMaintenance is AllowOperation for what can delete.
func (p *Policy) allowMaintenance(op restic.Operation, location string) error {
	l, err := restic.ParseLocation(location)
	if err != nil {
		return notALocation(err)
	}
	if aside(l) {
		return refuseAside(l)
	}
	if _, ok := p.MaintenanceOf(l); ok {
		return nil
	}
	return &Refusal{CodeOperationNotAllowed,
		"the operation " + op.Name + " can delete, and this host's policy does not make it the maintenance host of " + l.String(),
		"order it at the maintenance host of the repository; to make this one it, " + allowCommand(WhatMaintenance, l.String())}
}

func (p *Policy) describeMaintenance() string {
	var entries []string
	for _, e := range p.maintained() {
		entries = append(entries, e.place()+" (keeps "+strconv.Itoa(e.KeepDays)+" days and the last "+strconv.Itoa(e.KeepLast)+")")
	}
	return orElse(entries, "none")
}
