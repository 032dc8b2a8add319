package fleet

import "restic-manager/restic"

// MaintenanceRule is what a host's own policy file says about a repository that it
// maintains.
type MaintenanceRule struct {
	KeepDays          int     `json:"keep_days,omitempty"`
	KeepLast          int     `json:"keep_last,omitempty"`
	Location          string  `json:"location"` // a folder, or the location of a repository
	MaxDeleteFraction float64 `json:"max_delete_fraction,omitempty"`
	RunAs             string  `json:"run_as,omitempty"`
	UndoDays          int     `json:"undo_days,omitempty"`
}

// Allowed is what a host's policy file says of something.
type Allowed string

const (
	AllowedYes     Allowed = "yes"
	AllowedNo      Allowed = "no"
	AllowedUnknown Allowed = "unknown" // its agent has not told
)

// Maintains tells whether a host's policy file, as its agent told of it, lets it
// maintain the repository at a location, and by which rule: of several the one that
// says most about where.
func (h *Host) Maintains(location string) (Allowed, *MaintenanceRule) {
	var policy struct {
		State       string            `json:"state"`
		Maintenance []MaintenanceRule `json:"maintenance"`
	}
	if h.Policy == "" || h.Policy.Read(&policy) != nil {
		return AllowedUnknown, nil
	}
	l, err := restic.ParseLocation(location)
	if err != nil || policy.State != "ok" {
		return AllowedNo, nil
	}
	var found *MaintenanceRule
	for i := range policy.Maintenance {
		rule := &policy.Maintenance[i]
		place, err := restic.ParseLocation(rule.Location)
		if err == nil && l.Under(place) && (found == nil || len(rule.Location) > len(found.Location)) {
			found = rule
		}
	}
	if found == nil {
		return AllowedNo, nil
	}
	return AllowedYes, found
}

// MaintainedAt is the location by which the maintenance host reaches the repository:
// its folder, or where the credential that can delete holds; empty without a host.
func (r *Repository) MaintainedAt(credential *Credential) string {
	switch {
	case r.MaintenanceHost == "":
		return ""
	case r.MaintenanceLocation != "":
		return r.MaintenanceLocation
	case credential != nil && credential.Location != "":
		return credential.Location
	}
	return r.Location
}
