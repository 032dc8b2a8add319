package ui

import (
	"fmt"
	"net/url"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// protections are the words and shapes of how hosts stand, in the order that they
// need a person.
var protections = []struct {
	state api.ProtectionState
	look  web.State
	count func(api.ProtectionCounts) int
}{
	{api.ProtectionStateUnprotected, web.State{Tone: web.Risk, Glyph: "risk", Word: "Unprotected"}, func(c api.ProtectionCounts) int { return c.Unprotected }},
	{api.ProtectionStateAtRisk, web.State{Tone: web.Warn, Glyph: "warn", Word: "At risk"}, func(c api.ProtectionCounts) int { return c.AtRisk }},
	{api.ProtectionStateNever, web.State{Tone: web.Warn, Glyph: "none", Word: "Never backed up"}, func(c api.ProtectionCounts) int { return c.Never }},
	{api.ProtectionStateNotScheduled, web.State{Tone: web.Idle, Glyph: "none", Word: "Not scheduled"}, func(c api.ProtectionCounts) int { return c.NotScheduled }},
	{api.ProtectionStateAsleep, web.State{Tone: web.Idle, Glyph: "idle", Word: "Asleep"}, func(c api.ProtectionCounts) int { return c.Asleep }},
	{api.ProtectionStateProtected, web.State{Tone: web.OK, Glyph: "ok", Word: "Protected"}, func(c api.ProtectionCounts) int { return c.Protected }},
}

func protectionLook(state api.ProtectionState) web.State {
	for _, p := range protections {
		if p.state == state {
			return p.look
		}
	}
	return web.State{Tone: web.Idle, Glyph: "lost", Word: "Not known"}
}

// hostState is how a host stands: out of service first, else how it is protected.
func hostState(h api.Host) web.State {
	switch h.Presence {
	case api.PresenceDisabled:
		return web.State{Tone: web.Idle, Glyph: "stop", Word: "Disabled"}
	case api.PresenceNever:
		return web.State{Tone: web.Idle, Glyph: "wait", Word: "Waiting for its agent"}
	}
	return protectionLook(h.Protection.State)
}

// counted is the number of hosts in service, whose protection is known.
func counted(c api.ProtectionCounts) (n int) {
	for _, p := range protections {
		n += p.count(c)
	}
	return n
}

// tallied is a part of the fleet, with the way to its hosts.
type tallied struct {
	State web.State
	Href  string
}

func tally(c api.Overview) []tallied {
	var list []tallied
	for _, p := range protections {
		if n := p.count(c.Protection); n > 0 {
			state := p.look
			state.Word = fmt.Sprintf("%d %s", n, lower(state.Word))
			list = append(list, tallied{state, "/hosts?" + url.Values{"protection": {string(p.state)}}.Encode()})
		}
	}
	return list
}

// headline is the first sentence of the dashboard. It names one host and one time at
// most, so that both can be links and stay fresh.
type headline struct {
	Start string
	Host  *api.Host
	Then  string
	At    time.Time
	End   string
}

// sentence says how the fleet stands. worst is a host of the worst state there is,
// nil where it could not be read.
func sentence(c api.Overview, worst *api.Host) headline {
	total := counted(c.Protection)
	switch {
	case c.Hosts == 0:
		return headline{Start: "No hosts yet."}
	case total == 0:
		return headline{Start: fmt.Sprintf("Whether your %s protected is not known.", plural(c.Hosts, "host is", "hosts are"))}
	}
	h := headline{Start: share(c.Protection.Protected, total)}
	state, n := worstOf(c.Protection)
	if n == 0 {
		h.Start += "."
		return h
	}
	h.Start += "; "
	if n == 1 && worst != nil {
		h.Host = worst
		h.Then, h.At, h.End = saysOfOne(state, worst.Protection)
		return h
	}
	h.Start += saysOfMany(state, n) + "."
	return h
}

// share tells how many are protected, for every mix.
func share(good, total int) string {
	switch {
	case good == total && total == 1:
		return "The host is protected"
	case good == total:
		return fmt.Sprintf("All %d hosts are protected", total)
	case good == 0 && total == 1:
		return "The host is not protected"
	case good == 0:
		return fmt.Sprintf("None of %d hosts is protected", total)
	case good == 1:
		return fmt.Sprintf("1 of %d hosts is protected", total)
	}
	return fmt.Sprintf("%d of %d hosts are protected", good, total)
}

func worstOf(c api.ProtectionCounts) (state api.ProtectionState, n int) {
	for _, p := range protections {
		if p.state != api.ProtectionStateProtected && p.count(c) > 0 {
			return p.state, p.count(c)
		}
	}
	return "", 0
}

// saysOfOne goes on after a host's name.
func saysOfOne(state api.ProtectionState, p api.Protection) (then string, at time.Time, end string) {
	switch state {
	case api.ProtectionStateUnprotected:
		if p.BreachAt.IsZero() {
			return " misses its objective.", time.Time{}, ""
		}
		return " missed its objective ", p.BreachAt, "."
	case api.ProtectionStateAtRisk:
		return " is at risk.", time.Time{}, ""
	case api.ProtectionStateNever:
		return " has no good backup yet.", time.Time{}, ""
	case api.ProtectionStateNotScheduled:
		return " has no schedule with a time.", time.Time{}, ""
	}
	return " is asleep, its objectives met.", time.Time{}, ""
}

func saysOfMany(state api.ProtectionState, n int) string {
	switch state {
	case api.ProtectionStateUnprotected:
		return plural(n, "misses its objective", "miss their objective")
	case api.ProtectionStateAtRisk:
		return plural(n, "is at risk", "are at risk")
	case api.ProtectionStateNever:
		return plural(n, "has no good backup yet", "have no good backup yet")
	case api.ProtectionStateNotScheduled:
		return plural(n, "has no schedule with a time", "have no schedule with a time")
	}
	return plural(n, "is asleep, its objectives met", "are asleep, their objectives met")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// due tells when an objective is, or was, missed.
type due struct {
	Missed bool
	At     time.Time
}

// breach tells when the next objective of a host is missed if nothing happens, nil
// where it has none.
func (v *visit) breach(at time.Time) *due {
	if at.IsZero() {
		return nil
	}
	return &due{Missed: !at.After(v.u.now()), At: at}
}

// pressing are hosts of one state that need a person, as many as are shown.
type pressing struct {
	State web.State
	Hosts []pressed
	More  int
	Href  string // of all of them
}

type pressed struct {
	Host   api.Host
	Breach *due
	Run    runButton
}

// needing reads the hosts that need a person, the worst state first and a few of each;
// skip leaves out hosts whose trouble an alert above has named already. worst is the first host
// of the worst state.
func (v *visit) needing(c api.Overview, viewer web.Account, skip map[string]bool) (list []pressing, worst *api.Host, err error) {
	const few = 6
	for _, p := range protections {
		n := p.count(c.Protection)
		if n == 0 || p.state == api.ProtectionStateProtected {
			continue
		}
		asleep := p.state == api.ProtectionStateAsleep
		if asleep && worst != nil {
			continue
		}
		q := url.Values{"protection": {string(p.state)}, "page_size": {"50"}}
		page, ok, err := part[api.HostPage](v, "/api/v1/hosts", q)
		if err != nil {
			return nil, nil, err
		}
		if !ok || len(page.Hosts) == 0 {
			continue
		}
		if worst == nil {
			worst = &page.Hosts[0]
		}
		if asleep {
			continue
		}
		group := pressing{State: p.look, Href: "/hosts?" + url.Values{"protection": {string(p.state)}}.Encode()}
		told := 0
		for _, h := range page.Hosts {
			switch {
			case skip[string(h.Id)] && (p.state == api.ProtectionStateUnprotected || p.state == api.ProtectionStateAtRisk):
				told++
			case len(group.Hosts) < few:
				group.Hosts = append(group.Hosts, pressed{Host: h, Breach: v.breach(h.Protection.BreachAt), Run: runOf(h, viewer)})
			}
		}
		if group.More = n - told - len(group.Hosts); group.More < 0 {
			group.More = 0
		}
		if len(group.Hosts) > 0 || group.More > 0 {
			list = append(list, group)
		}
	}
	return list, worst, nil
}
