package policy

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Summary is what the server learns of a policy. It cannot be turned into one.
type Summary struct {
	State    string // "ok" or "locked"
	Code     string // of a locked agent, with Message and NextStep
	Message  string
	NextStep string

	Profile string
	Digest  string // of the file, so that a change is seen
	Rules   []Rule

	Maintained []Maintenance // what this host maintains, floors filled in
	Restore    RestoreSummary
}

// Rule is a line for people to read.
type Rule struct{ Name, Value string }

// States of a policy.
const (
	StateOK     = "ok"
	StateLocked = "locked"
)

// What the contract takes. A policy may say more than that; the digest covers all.
const (
	maxRules = 100
	maxValue = 2000
)

// SummaryOf renders what Load returned.
func SummaryOf(p *Policy, err error) Summary {
	var l *Locked
	switch {
	case errors.As(err, &l):
		return Summary{State: StateLocked, Code: l.Code, Message: l.What, NextStep: l.Next}
	case err != nil || p == nil:
		return Summary{State: StateLocked, Code: CodeInvalid, Message: "there is no policy", NextStep: "run: " + command("show")}
	}
	return p.Summary()
}

// Summary renders the policy, with what it leaves to defaults.
func (p *Policy) Summary() Summary {
	s := Summary{State: StateOK, Profile: string(p.Profile), Digest: p.digest, Maintained: p.maintained(), Restore: p.RestoreRules()}
	add := func(name, value string) {
		if len(s.Rules) < maxRules {
			s.Rules = append(s.Rules, Rule{name, shorten(value)})
		}
	}
	add("Operations", p.describeOperations())
	add("Repositories", p.describeRepos())
	add("Folders that may be backed up", orElse(p.Backup.AllowRoots, "the whole machine"))
	add("Folders that are never backed up", orElse(append(p.own[:len(p.own):len(p.own)], p.Backup.Deny...), "none"))
	add("Folders that no backup may leave out", orElse(p.Backup.MustInclude, "none"))
	add("Patterns that a backup may exclude", strconv.Itoa(p.maxExcludes()))
	add("Restores go to", orElse(slices.DeleteFunc([]string{p.StagingDir()}, func(s string) bool { return s == "" }), "nowhere"))
	add("Restores leave free", p.describeKeepFree())
	add("Restore in place", p.describeRestore())
	add("Hooks", p.describeScripts(hooks))
	add("Named sources", p.describeScripts(sources))
	add("While the server is away", choice(p.Schedule.Offline == "pause", "schedules pause", "schedules go on"))
	add("Limits", p.describeLimits())
	add("Maintenance host of", p.describeMaintenance())
	for _, a := range p.Allowances {
		until := "for good"
		if a.Until != "" {
			until = choice(a.inForce(p.clock()), "until ", "ended ") + a.Until
		}
		add("Allowed by root", a.What+" under "+a.Under+", "+until)
	}
	return s
}

func (p *Policy) describeOperations() string {
	if p.Operations == nil {
		return "all that cannot delete"
	}
	return orElse(p.Operations, "none")
}

func (p *Policy) describeRepos() string {
	if p.Profile == Trusting {
		return "any location"
	}
	return orElse(p.Repos.Allow, "none")
}

func (p *Policy) describeRestore() string {
	if p.Profile == Trusting {
		return "anywhere"
	}
	return orElse(append(p.Restore.InPlaceAllow[:len(p.Restore.InPlaceAllow):len(p.Restore.InPlaceAllow)], p.allowed(WhatRestoreInPlace)...), "nowhere")
}

func (p *Policy) describeScripts(k kind) string {
	rules := k.rules(p)
	if rules.Allow == nil {
		return "what root puts into " + p.scriptDir(k)
	}
	var names []string
	for _, s := range rules.Allow {
		names = append(names, s.Name)
	}
	return orElse(names, "none")
}

func (p *Policy) describeLimits() string {
	var parts []string
	if p.Limits.UploadKiB > 0 {
		parts = append(parts, "upload "+strconv.Itoa(p.Limits.UploadKiB)+" KiB/s")
	}
	if p.Limits.DownloadKiB > 0 {
		parts = append(parts, "download "+strconv.Itoa(p.Limits.DownloadKiB)+" KiB/s")
	}
	if p.Limits.Window != "" {
		parts = append(parts, "starts within "+p.Limits.Window)
	}
	return orElse(parts, "none")
}

func shorten(value string) string {
	if len(value) <= maxValue {
		return value
	}
	return strings.ToValidUTF8(value[:maxValue-len("…")], "") + "…"
}

func orElse(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

func choice(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}
