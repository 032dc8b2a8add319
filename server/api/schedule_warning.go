package api

import (
	"slices"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/fleet"
)

// The codes of a schedule's warnings.
const (
	scriptNotOffered = "script_not_offered"
	scriptRefused    = "script_refused"
)

// warningsOf says which scripts a schedule names that its host does not offer, or would
// refuse. A host that has told nothing is not judged.
func warningsOf(s *Schedule, host *fleet.Host) ([]FieldProblem, error) {
	if host.Offers == "" {
		return nil, nil
	}
	var offers Offers
	if err := host.Offers.Read(&offers); err != nil {
		return nil, err
	}
	var list []FieldProblem
	hooks := s.Options.Hooks
	for _, use := range []struct {
		field, name, what string
		offered           []Offer
	}{
		{"/source", s.Source, "named source", offers.Sources},
		{"/options/hooks/before", hooks.Before, "hook", offers.Hooks},
		{"/options/hooks/after_success", hooks.AfterSuccess, "hook", offers.Hooks},
		{"/options/hooks/after_failure", hooks.AfterFailure, "hook", offers.Hooks},
	} {
		if use.name == "" {
			continue
		}
		at := slices.IndexFunc(use.offered, func(o Offer) bool { return o.Name == use.name })
		switch {
		case at < 0:
			list = append(list, FieldProblem{Field: use.field, Code: scriptNotOffered,
				Detail: "The host does not offer the " + use.what + " " + use.name + " yet; it offers " + namesOf(use.offered) + "."})
		case use.offered[at].Problem != "":
			list = append(list, FieldProblem{Field: use.field, Code: scriptRefused,
				Detail: "The host would refuse the " + use.what + " " + use.name + ": " + use.offered[at].Problem})
		}
	}
	return list, nil
}

// Nameable tells whether a schedule can name what the host publishes: files with other
// names are told with what is wrong.
func (o Offer) Nameable() bool { return restic.ScriptName(o.Name) }

// namesOf lists what a schedule could name.
func namesOf(offers []Offer) string {
	var names []string
	for _, o := range offers {
		if o.Nameable() {
			names = append(names, o.Name)
		}
	}
	const most = 10
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
