package model_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"restic-manager/agent/spool"
)

// Groups of what a run counts.
const (
	coveredWrites  = "agent's disk at"
	coveredAgent   = "agent killed at"
	coveredServer  = "server killed at"
	coveredNetwork = "network"
	coveredAnswers = "answer to an agent"
	coveredResults = "result"
	coveredActs    = "act"
	coveredSlots   = "slot"
)

// coverage counts what the histories of a run have hit, so that nothing is silently
// never tried.
type coverage struct {
	mu     sync.Mutex
	counts map[string]map[string]int
	most   map[string]float64
}

func newCoverage() *coverage {
	return &coverage{counts: map[string]map[string]int{}, most: map[string]float64{}}
}

func (c *coverage) hit(group, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[group] == nil {
		c.counts[group] = map[string]int{}
	}
	c.counts[group][name]++
}

// high notes a figure whose highest value is worth knowing.
func (c *coverage) high(what string, value float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most[what] = max(c.most[what], value)
}

// expected lists what a whole run must have hit at least once.
func expected() map[string][]string {
	var faults []string
	for _, f := range allFaults() {
		faults = append(faults, f.name)
	}
	return map[string][]string{
		coveredAgent:   append(spool.Steps(), killedIdle, killedWorking),
		coveredServer:  {killedBeforeCommit, killedAfterCommit, killedIdle},
		coveredNetwork: append(faults, dialRefused, dialSwallowed),
		coveredAnswers: answersOfInterest(),
		coveredResults: {"succeeded", "warning", "failed", "cancelled", "interrupted", "rejected", "expired", "skipped", "missed"},
	}
}

// rare is what a whole run may miss, since a history seldom comes there; a proof, ten
// times as long, must hit it.
func rare() []string {
	return []string{
		coveredAgent + " budget:before", coveredAgent + " budget:after",
		coveredAgent + " cancel:before", coveredAgent + " cancel:after",
		coveredAgent + " reject:before", coveredAgent + " reject:after",
		coveredAgent + " open:before", coveredAgent + " open:after",
		coveredResults + " rejected",
		coveredAgent + " wait:before", coveredAgent + " wait:after",
		coveredAnswers + ` "code":"artifact_offset"`, coveredAnswers + ` "outcome":"diverged"`,
	}
}

// missed names what so many histories should have hit and did not.
func (c *coverage) missed(histories int64) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for group, names := range expected() {
		for _, name := range names {
			what := group + " " + name
			if c.counts[group][name] == 0 && (histories >= proofRun || !slices.Contains(rare(), what)) {
				list = append(list, what)
			}
		}
	}
	slices.Sort(list)
	return list
}

// table prints all counts.
func (c *coverage) table() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, group := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&b, "%s\n", group)
		for _, name := range slices.Sorted(maps.Keys(c.counts[group])) {
			fmt.Fprintf(&b, "  %-28s %8d\n", name, c.counts[group][name])
		}
	}
	fmt.Fprintln(&b, "highest")
	for _, what := range slices.Sorted(maps.Keys(c.most)) {
		fmt.Fprintf(&b, "  %-28s %8.1f\n", what, c.most[what])
	}
	return b.String()
}
