package spool

import (
	"regexp"

	"restic-manager/agent/control"
)

// What a server says is kept here, and told again to whichever server this host has
// next: what is against the contract, from a server in the wrong hands, must not stay
// behind and make every session and report of this host invalid.

// The contract's bounds on what a server sends.
const (
	maxSeq         = 1 << 52 // above any number that a counter reaches, and half of what a server takes
	maxAhead       = 1 << 20 // of a command's number, beyond that
	maxWord        = 40      // of kinds, operations and triggers, in characters
	maxParams      = 256 << 10
	maxStartWithin = 30 * 24 * 60 * 60 // seconds
)

// mostCommanded is how many jobs of commands may be here that the server has not got
// whole: whoever sends more gets no acknowledgement until it takes what there is.
const mostCommanded = 2000

// mostFilled is how many numbers of a stream are filled one by one.
const mostFilled = 10_000

var idForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func isID(text string) bool { return idForm.MatchString(text) }

// malformed reports whether a command names itself or its job in a way that no
// server could be told of.
func malformed(c control.Command) bool {
	return !isID(c.Id) || !isID(c.JobId) || plausible(c.Epoch) != c.Epoch
}

// plausible is a number of a stream or an epoch as it is; 0, which says nothing, where
// it is none.
func plausible(n int64) int64 {
	if n < 0 || n > maxSeq { //guard:verdict-number
		return 0
	}
	return n
}

// commanded counts the jobs of commands that are not wholly reported.
func (s *Spool) commanded() int {
	n := 0
	for _, j := range s.jobs {
		if j.CommandID != "" {
			n++
		}
	}
	return n
}
