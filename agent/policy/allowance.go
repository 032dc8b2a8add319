package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"restic-manager/agent/custody"
	"restic-manager/restic"
)

// The kinds of allowance, and what each is given under.
const (
	WhatRepository     = "repository"       // a prefix of locations
	WhatSource         = "source"           // a folder
	WhatOmission       = "omission"         // a folder of backup.must_include
	WhatExcludes       = "excludes"         // a number of patterns
	WhatOperation      = "operation"        // the name of one
	WhatMaintenance    = "maintenance"      // the folder of a repository, or its location on a REST server
	WhatRestoreInPlace = "restore-in-place" // a folder
)

// Allowance is an exception that root has made. Whatever the clock says, one with a
// time ends; a clock that is set back prolongs it.
type Allowance struct {
	What  string `yaml:"what"`
	Under string `yaml:"under"`
	Until string `yaml:"until,omitempty"` // RFC 3339; absent is for good
}

// Until writes the time at which an allowance ends.
func Until(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// Kinds lists what can be allowed, for the command's help.
func Kinds() []string {
	return []string{WhatRepository, WhatSource, WhatOmission, WhatExcludes, WhatOperation, WhatMaintenance, WhatRestoreInPlace}
}

// inForce reports whether the allowance has not ended. The YAML library turns a time
// that it cannot read into none, which would mean for good: so it is read here.
func (a Allowance) inForce(now time.Time) bool {
	if a.Until == "" {
		return true
	}
	until, err := time.Parse(time.RFC3339, a.Until)
	return err == nil && now.Before(until)
}

func (a Allowance) validate() error {
	if _, err := time.Parse(time.RFC3339, a.Until); err != nil && a.Until != "" {
		return errors.New("until must be a time such as 2026-11-22T08:00:00Z")
	}
	switch a.What {
	case WhatRepository:
		_, err := restic.ParseLocation(a.Under)
		return err
	case WhatSource, WhatOmission, WhatMaintenance, WhatRestoreInPlace:
		if a.What == WhatMaintenance && strings.HasPrefix(a.Under, "rest:") {
			_, err := restic.ParseLocation(a.Under)
			return err
		}
		if !filepath.IsAbs(a.Under) || filepath.Clean(a.Under) != a.Under || checkForm(a.Under) != nil {
			return fmt.Errorf("what is allowed for %s must be under an absolute path without dot segments", a.What)
		}
	case WhatExcludes:
		if n, err := strconv.Atoi(a.Under); err != nil || n < 1 {
			return errors.New("what is allowed for excludes must be under a number")
		}
	case WhatOperation:
		if _, known := restic.OperationNamed(a.Under); !known {
			return errors.New("there is no operation of that name")
		}
	default:
		return errors.New("what must be one of: " + strings.Join(Kinds(), ", "))
	}
	return nil
}

// allowed returns what is allowed for a kind at this moment.
func (p *Policy) allowed(what string) []string {
	var under []string
	for _, a := range p.Allowances {
		if a.What == what && a.inForce(p.clock()) {
			under = append(under, a.Under)
		}
	}
	return under
}

// allowCommand is the command by which root would allow something.
func allowCommand(what, under string) string {
	if !printable(under) {
		return "edit the policy file: the name cannot be written in a command"
	}
	return "run as root, and leave --for out for what is to last longer than a day: " + command("allow", what, "--under", under, "--for", "24h")
}

func command(words ...string) string {
	text := "restic-manager-agent policy"
	for _, w := range words {
		text += " " + custody.Quote(w)
	}
	return text
}

// printable refuses what a terminal would act upon. A command is offered to root
// for copying, and part of it was written at the server.
func printable(s string) bool {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
