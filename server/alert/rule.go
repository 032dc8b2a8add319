package alert

import (
	"fmt"
	"slices"

	"restic-manager/server/fleet"
)

// CheckRules tells every mistake in rules, with pointers into the contract's body.
func CheckRules(r *fleet.AlertRules) error {
	var found fleet.Fields
	for i, rule := range r.Rules {
		at := func(field, format string, args ...any) {
			found = append(found, fleet.Errorf(fleet.InvalidField, format, args...).At(fmt.Sprintf("/rules/%d/%s", i, field)))
		}
		kind := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Code == rule.Code })
		switch {
		case kind < 0:
			at("code", "There is no kind of alert of this code; reading the rules lists them.")
		case rule.Threshold != nil && Kinds[kind].Unit == "":
			at("threshold", "This kind of alert has no threshold; leave it out.")
		case rule.Threshold != nil && Kinds[kind].Unit == "percent" && *rule.Threshold > 100:
			at("threshold", "Percent are at most 100.")
		}
		switch {
		case rule.Scope == "tag" && rule.Tag == "":
			at("tag", "Name the tag that the rule is for.")
		case rule.Scope == "host" && rule.Host == "":
			at("host_id", "Name the host that the rule is for.")
		case rule.Scope != "tag" && rule.Tag != "":
			at("tag", "A tag belongs to the scope tag.")
		case rule.Scope != "host" && rule.Host != "":
			at("host_id", "A host belongs to the scope host.")
		}
		if rule.Enabled == nil && rule.Severity == "" && rule.Threshold == nil {
			at("enabled", "Say what the rule changes: enabled, severity or threshold.")
		}
	}
	return found.Err()
}

// setting is what holds for a kind at a host.
type setting struct {
	enabled   bool
	severity  fleet.Severity
	fixed     bool // a rule set the severity: it is not raised by circumstances
	threshold int64
}

// ruleBook finds the setting of a kind for a host.
type ruleBook map[string][]fleet.AlertRule // by code, the winning ones last

func newRuleBook(rules []fleet.AlertRule) ruleBook {
	scopes := []string{"fleet", "tag", "host"}
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b fleet.AlertRule) int {
		return slices.Index(scopes, a.Scope) - slices.Index(scopes, b.Scope)
	})
	book := ruleBook{}
	for _, r := range sorted {
		book[r.Code] = append(book[r.Code], r)
	}
	return book
}

// awayDefault is how many minutes a host that comes and goes may be away.
const awayDefault = 14 * 24 * 60

// of gives what holds for a kind at a host, or for the fleet when host is nil. Each
// thing that a rule says wins over what the rules before it say.
func (b ruleBook) of(k *Kind, host *fleet.Host) setting {
	s := setting{enabled: true, severity: k.Severity, threshold: k.Threshold}
	comes := host != nil && host.Availability == fleet.ComeAndGo && k.Code == HostSilent
	if comes {
		s.threshold = awayDefault
	}
	for _, r := range b[k.Code] {
		if !applies(&r, host) {
			continue
		}
		if r.Enabled != nil {
			s.enabled = *r.Enabled
		}
		if r.Severity != "" {
			s.severity, s.fixed = r.Severity, true
		}
		if r.Threshold != nil && !(comes && r.Scope == "fleet") {
			s.threshold = *r.Threshold
		}
	}
	return s
}

func applies(r *fleet.AlertRule, host *fleet.Host) bool {
	switch r.Scope {
	case "fleet":
		return true
	case "tag":
		return host != nil && slices.Contains(host.Tags.Items(), r.Tag)
	case "host":
		return host != nil && host.ID == r.Host
	}
	return false
}
