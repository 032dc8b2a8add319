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
// added to the repository changes it, and no server has a say in it.
func suspicion(s Snapshot, now time.Time) string {
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
	}
	return ""
}

// unusual marks the members of a schedule's series that are odd beside the others, and
// returns which members of any series are. The series is in order. To take a member out
// makes rules and floors keep more of the others, never less; so it does not matter that
// what is added can make a good one look odd, or that a server can say so: that may not be
// believed when it calls something good, and cannot cost anything when it doubts. What
// must not happen is the reverse, that something odd passes for good because of what was
// added: so where a crowd lies among those that a size would be compared with, the size is
// not judged, and the snapshot is a suspect like the crowd. What is of no schedule is
// nobody's to judge: it counts for nothing, and is no suspect.
func unusual(series []*Decision) func(*Decision) bool {
	day := func(d *Decision) int64 { return dayNumber(d.FirstSeen.UTC()) }
	perDay := map[int64]int{}
	for _, d := range series {
		perDay[day(d)]++
	}
	crowded := func(d *Decision) bool { return perDay[day(d)] > PerDay }
	odd := map[*Decision]string{}
	for i, d := range series {
		before := series[max(0, i-medianOf):i]
		switch {
		case d.Doubted: //guard:retention-doubted
			odd[d] = "its host has not told of it"
		case crowded(d): //guard:retention-crowd
			odd[d] = fmt.Sprintf("its schedule made %d snapshots on that day", perDay[day(d)])
		case slices.ContainsFunc(before, crowded): //guard:retention-after-crowd
			odd[d] = "it follows a day with too many snapshots, so that its size says nothing"
		case small(d.Size, before): //guard:retention-small
			odd[d] = fmt.Sprintf("it has less than %d %% of the size that was usual before it", smallShare)
		}
	}
	for d, why := range odd {
		if d.Schedule != "" {
			d.suspect(why)
		}
	}
	return func(d *Decision) bool { return odd[d] != "" }
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
