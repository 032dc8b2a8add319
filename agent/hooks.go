package agent

import (
	"fmt"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/runner"
	"restic-manager/restic"
)

// StartScript is the step between an agent and a hook or named source, in a process of
// its own. A program that serves as an agent must call it first with its arguments,
// and end with the code where it returns true.
func StartScript(args []string) (code int, is bool) { return restic.StartScript(args) }

// offersOf is what this host publishes by name: what lies in its folders, and why the
// agent would refuse it now. A locked agent offers nothing.
func offersOf(p *policy.Policy) control.Offers {
	offers := control.Offers{Hooks: []control.Offer{}, Sources: []control.Offer{}} // not nil: that would say nothing
	if p == nil {
		return offers
	}
	hooks, sources := p.Published()
	for _, h := range hooks {
		offers.Hooks = append(offers.Hooks, control.Offer{Name: h.Name, Problem: clip(h.Problem, 500)})
	}
	for _, s := range sources {
		offers.Sources = append(offers.Sources, control.Offer{Name: s.Name, Problem: clip(s.Problem, 500)})
	}
	return offers
}

// hooksOf are the hooks of a schedule's options. Whether this host has them, and would
// run them, is asked when it is their turn.
func hooksOf(o *control.ScheduleOptions) runner.Hooks {
	if o == nil {
		return runner.Hooks{}
	}
	h := o.Hooks
	return runner.Hooks{
		Before: h.Before, GoOn: h.BeforeFailure == control.GoOn,
		AfterSuccess: h.AfterSuccess, AfterFailure: h.AfterFailure,
		Timeout: time.Duration(min(max(h.TimeoutS, 0), maxHookSeconds)) * time.Second,
	}
}

// maxHookSeconds is the contract's.
const maxHookSeconds = 24 * 60 * 60

// scripts looks at the folders of this host's scripts.
func (x *examination) scripts() {
	rules, err := x.config.loadPolicy()
	if err != nil {
		return // said already
	}
	hooks, sources := rules.Published()
	for _, kind := range []struct {
		subject, dir string
		found        []policy.Published
	}{{"hooks", rules.HookDir(), hooks}, {"sources", rules.SourceDir(), sources}} {
		fit := 0
		for _, s := range kind.found {
			if s.Problem == "" {
				fit++
				continue
			}
			x.found(Warning, kind.subject, s.Name+" would not be run: "+s.Problem, "")
		}
		if fit > 0 {
			x.found(Good, kind.subject, fmt.Sprintf("%d that would be run, in %s", fit, kind.dir), "")
		}
	}
}
