package retention

import (
	"fmt"
	"slices"
	"time"
)

const (
	// maxSkew is how far what a snapshot claims may be from when it was first seen.
	maxSkew = time.Hour

	// longest is how long a backup can have taken: a snapshot's file appears at its end.
	longest = 8 * 24 * time.Hour

	// PerDay is how many snapshots a schedule makes in a day at most. It is more than one
	// every five minutes.
	PerDay = 300

	medianOf   = 7  // snapshots before it that a snapshot's size is compared with
	smallShare = 50 // percent of their median
)

// suspicion is what is wrong with a snapshot by itself, "" for nothing. Nothing that is
// added to the repository changes it.
func suspicion(s Snapshot, schedule Schedule, ours bool, now time.Time) string {
	earliest, latest := s.Claimed, s.Claimed
	if s.Ended.After(latest) {
		latest = s.Ended
	}
	switch {
	case s.Unread: //guard:retention-unread
		return "it cannot be read with the repository's password"
	case s.FirstSeen.IsZero():
		return "nobody knows when it was first seen"
	case s.Adopted && s.Claimed.After(now.Add(maxSkew)),
		!s.Adopted && s.FirstSeen.Before(earliest.Add(-maxSkew)): //guard:retention-future
		return "it claims to be of " + s.Claimed.UTC().Format(time.RFC3339) + ", later than it was first seen"
	case !s.Adopted && s.FirstSeen.After(latest.Add(maxSkew)): //guard:retention-backdated
		return "it claims to be of " + s.Claimed.UTC().Format(time.RFC3339) + ", long before it was first seen"
	case latest.Sub(earliest) > longest: //guard:retention-longest
		return "it claims a backup of more than a week"
	case s.Schedule != "" && !ours: //guard:retention-unknown
		return "it is of a schedule that nobody here knows"
	case ours && s.Host != schedule.Host: //guard:retention-host
		return "it claims another host than its schedule has"
	}
	return ""
}

// unusual marks the members of a schedule's group that are odd beside the others, and
// returns the rest. The group is in order. To take a member out of a group makes the rules
// keep more of the others, never less; so it does not matter that what is added can make
// a good one look odd. What must not happen is the reverse, that something odd passes for
// good because of what was added: so where a crowd lies among those that a size would be
// compared with, the size is not judged, and the snapshot is a suspect like the crowd.
func unusual(group []*Decision, zone *time.Location) []*Decision {
	day := func(d *Decision) int64 { return dayNumber(d.FirstSeen.In(zone)) }
	perDay := map[int64]int{}
	for _, d := range group {
		perDay[day(d)]++
	}
	crowded := func(d *Decision) bool { return perDay[day(d)] > PerDay }
	var rest []*Decision
	for i, d := range group {
		before := group[max(0, i-medianOf):i]
		switch {
		case crowded(d): //guard:retention-crowd
			d.suspect(fmt.Sprintf("its schedule made %d snapshots on that day", perDay[day(d)]))
		case slices.ContainsFunc(before, crowded): //guard:retention-after-crowd
			d.suspect("it follows a day with too many snapshots, so that its size says nothing")
		case small(d.Size, before): //guard:retention-small
			d.suspect(fmt.Sprintf("it has less than %d %% of the size that was usual before it", smallShare))
		default:
			rest = append(rest, d)
		}
	}
	return rest
}

// small reports whether a size is far below the median of those before it.
func small(size int64, before []*Decision) bool {
	if size <= 0 || len(before) < medianOf {
		return false
	}
	var sizes []int64
	for _, d := range before {
		if d.Size <= 0 {
			return false
		}
		sizes = append(sizes, d.Size)
	}
	slices.Sort(sizes)
	return size < sizes[medianOf/2]/100*smallShare
}
