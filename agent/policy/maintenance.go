package policy

import (
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

// Covers reports whether a repository at l is among those of the entry: at its place or
// below it, also when links are followed.
func (e Maintenance) Covers(l restic.Location) bool {
	return under(l, e.place()) && (l.Path() == "" || followed(l.Path(), e.place()))
}

// maintained lists what this host maintains, floors filled in, allowances included.
func (p *Policy) maintained() []Maintenance {
	var all []Maintenance
	for _, e := range p.Maintenance {
		all = append(all, e.withDefaults())
	}
	for _, under := range p.allowed(WhatMaintenance) {
		e := Maintenance{Path: under}
		if strings.HasPrefix(under, "rest:") {
			e = Maintenance{Location: under}
		}
		all = append(all, e.withDefaults())
	}
	return all
}

// MaintenanceOf returns the entry that makes this host maintain the repository at a
// location: of several the one with the longest place.
func (p *Policy) MaintenanceOf(l restic.Location) (Maintenance, bool) {
	var found Maintenance
	for _, e := range p.maintained() {
		if e.Covers(l) && len(e.place()) > len(found.place()) {
			found = e
		}
	}
	return found, found.place() != ""
}

// allowMaintenance is AllowOperation for what can delete.
func (p *Policy) allowMaintenance(op restic.Operation, location string) error {
	l, err := restic.ParseLocation(location)
	if err != nil {
		return notALocation(err)
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
