package alert

import (
	"slices"

	"restic-manager/server/fleet"
)

// accepts tells whether a channel is told of a notice. tags are those of the hosts
// that the alert touches.
func accepts(c *fleet.Channel, r *fleet.ChannelRoute, n *fleet.Notice, about *fleet.Alert, tags map[string]bool) bool {
	least := r.MinSeverity
	if least == "" {
		least = fleet.Warn
	}
	switch {
	case !c.Enabled, n.Severity.Order() < least.Order():
		return false
	case about.SubjectType == fleet.ObjectChannel && about.SubjectID == string(c.ID):
		return false // it would be told through what fails
	case n.Kind == fleet.DeliverResolved && r.Resolved != nil && !*r.Resolved:
		return false
	}
	return len(r.Tags) == 0 || slices.ContainsFunc(r.Tags, func(t string) bool { return tags[t] })
}
