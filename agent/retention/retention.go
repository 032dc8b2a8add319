package retention

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rules are how many snapshots of a schedule to keep. All zero keeps everything.
type Rules struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
	WithinDays                                   int // before the newest candidate
}

// Limits of the contract.
const (
	maxCount = 10_000
	maxDays  = 36_500
)

// Validate refuses numbers that no rule can have.
func (r Rules) Validate() error {
	for _, n := range []int{r.Last, r.Hourly, r.Daily, r.Weekly, r.Monthly, r.Yearly} {
		if n < 0 || n > maxCount {
			return fmt.Errorf("a rule keeps from 0 to %d snapshots", maxCount)
		}
	}
	if r.WithinDays < 0 || r.WithinDays > maxDays {
		return fmt.Errorf("a rule keeps what was seen within 0 to %d days", maxDays)
	}
	return nil
}

// Schedule is one whose snapshots are thinned out.
type Schedule struct {
	ID    string
	Host  string         // of its snapshots; any other is a suspect
	Zone  *time.Location // where its days begin; nil is UTC
	Rules Rules
}

// Floors are what a host's own policy keeps.
type Floors struct {
	KeepDays          int     // what was seen within so many days before the newest of its series
	KeepLast          int     // the newest of each series
	MaxDeleteFraction float64 // of all candidates, what a day's runs may remove; at least one
}

// Validate refuses floors that are none: a plan with them would be a mistake of ours.
func (f Floors) Validate() error {
	if f.KeepDays < 1 || f.KeepLast < 1 || f.MaxDeleteFraction <= 0 || f.MaxDeleteFraction > 1 {
		return errors.New("floors keep at least one day and one snapshot, and let a run remove at most all")
	}
	return nil
}

// Snapshot is what a plan needs to know of one.
type Snapshot struct {
	ID        string
	Claimed   time.Time // when it says that its backup began
	Ended     time.Time // and ended; zero where it does not say
	FirstSeen time.Time
	Adopted   bool // it was there before anybody watched: FirstSeen is what it claims
	Host      string
	Paths     []string
	Schedule  string // of its tag, "" if none
	Size      int64  // of what it would restore; 0 where it does not say
	Unread    bool   // it cannot be decrypted or parsed
	Doubted   bool   // a server says that its host has not told of it
}

// Verdict is what becomes of a snapshot.
type Verdict string

// The verdicts.
const (
	Keep    Verdict = "keep"
	Remove  Verdict = "remove"
	Later   Verdict = "later"   // no rule keeps it, and this run removes enough others
	Suspect Verdict = "suspect" // kept, and looked at by a person
)

// Decision is a snapshot with what becomes of it, and why.
type Decision struct {
	Snapshot
	Verdict Verdict
	Reasons []string
}

// Plan is what becomes of all snapshots of a repository.
type Plan struct {
	Decisions  []Decision // in the order in which they were first seen
	Candidates int
	MostNow    int // how many a run may remove

	floored map[string]string // ids that a floor keeps, and by which
	floors  Floors
	lately  int // snapshots that went within the last day
}

// Make plans. It removes nothing where floors are none. Lately is how many snapshots went
// within the last day: they count for what a run may still remove.
//
// What the host keeps of its own accord is settled before any schedule is looked at,
// because schedules are a server's word.
func Make(snapshots []Snapshot, schedules []Schedule, floors Floors, lately int, now time.Time) Plan {
	p := Plan{floored: map[string]string{}, floors: floors, lately: lately}
	for _, s := range snapshots {
		p.Decisions = append(p.Decisions, Decision{Snapshot: s, Verdict: Keep})
	}
	slices.SortStableFunc(p.Decisions, func(a, b Decision) int {
		return cmp.Or(a.FirstSeen.Compare(b.FirstSeen), cmp.Compare(a.ID, b.ID))
	})
	p.settle(now)
	groups := map[string][]*Decision{} // candidates by schedule, in order
	known := map[string]Schedule{}
	for _, s := range schedules {
		known[s.ID] = s
	}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		schedule, ours := known[d.Schedule]
		switch {
		case d.Verdict == Suspect:
		case d.Schedule == "":
			d.Reasons = []string{"of no schedule"}
		case !ours: //guard:retention-unknown
			d.suspect("it is of a schedule that nobody here knows")
		case d.Host != schedule.Host: //guard:retention-host
			d.suspect("it claims another host than its schedule has")
		default:
			groups[d.Schedule] = append(groups[d.Schedule], d)
		}
	}
	for id, group := range groups {
		p.Candidates += len(group)
		p.judge(group, known[id], now)
	}
	p.limit()
	return p
}

// settle finds what is odd about the snapshots themselves, and notes what the floors keep.
func (p *Plan) settle(now time.Time) {
	all := map[string][]*Decision{} // by series, in order
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if why := suspicion(d.Snapshot, now); why != "" { //guard:retention-suspect
			d.suspect(why)
			continue
		}
		series := d.series()
		all[series] = append(all[series], d)
	}
	for _, group := range all {
		p.floor(group, now) // also of what is odd, which costs nothing
		usual := slices.DeleteFunc(slices.Clone(group), unusual(group))
		p.floor(usual, now)
	}
	p.floorOthers(now)
}

// series names what a snapshot is one of, by its own word alone: its schedule on its host,
// or what was backed up where.
func (s Snapshot) series() string {
	if s.Schedule != "" {
		return fmt.Sprintf("%q %q", s.Schedule, s.Host)
	}
	return fmt.Sprintf("%q %q", s.Host, slices.Sorted(slices.Values(s.Paths))) // no two that differ read the same
}

func (s Schedule) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

func (d *Decision) suspect(why string) { d.Verdict, d.Reasons = Suspect, []string{why} }

func (d *Decision) keep(why string) {
	d.Verdict = Keep
	d.Reasons = append(d.Reasons, why)
}

// judge applies the rules to the candidates of a schedule, and then what the floors keep.
func (p *Plan) judge(group []*Decision, s Schedule, now time.Time) {
	if s.Rules == (Rules{}) {
		for _, d := range group {
			d.keep("the schedule keeps everything")
		}
		return
	}
	for _, d := range group {
		d.Verdict = Remove
	}
	keepLast(group, s.Rules.Last)
	zone := s.zone()
	for _, rule := range []struct {
		n      int
		bucket func(time.Time) bucket
	}{
		{s.Rules.Hourly, hourOf}, {s.Rules.Daily, dayOf}, {s.Rules.Weekly, weekOf}, {s.Rules.Monthly, monthOf}, {s.Rules.Yearly, yearOf},
	} {
		left, last := rule.n, bucket{}
		for _, d := range slices.Backward(group) {
			if left == 0 {
				break
			}
			if b := rule.bucket(d.FirstSeen.In(zone)); b != last {
				d.keep("newest of the " + b.String())
				left, last = left-1, b
			}
		}
	}
	for _, d := range within(group, s.Rules.WithinDays, now) {
		d.keep(fmt.Sprintf("seen within %d days", s.Rules.WithinDays))
	}
	for _, d := range group {
		if why, kept := p.floored[d.ID]; kept && d.Verdict == Remove { //guard:retention-floored
			d.keep(why)
		}
	}
}

func keepLast(group []*Decision, n int) {
	for _, d := range group[max(0, len(group)-n):] {
		d.keep(fmt.Sprintf("one of the last %d", n))
	}
}

// within returns the members of a group that were seen within days before its newest one:
// a host that is away for long, or a clock that jumps ahead, makes nothing older.
func within(group []*Decision, days int, now time.Time) []*Decision {
	if days == 0 || len(group) == 0 {
		return nil
	}
	reference := group[len(group)-1].FirstSeen
	if reference.After(now) {
		reference = now
	}
	from := reference.Add(-time.Duration(days) * 24 * time.Hour)
	first := slices.IndexFunc(group, func(d *Decision) bool { return d.FirstSeen.After(from) })
	if first < 0 {
		return nil
	}
	return group[first:]
}

// floor notes what the host's own policy keeps of a series.
func (p *Plan) floor(series []*Decision, now time.Time) {
	for _, d := range within(series, p.floors.KeepDays, now) {
		p.floored[d.ID] = fmt.Sprintf("this host's policy keeps %d days", p.floors.KeepDays) //guard:retention-floor-days
	}
	for _, d := range series[max(0, len(series)-p.floors.KeepLast):] {
		if p.floored[d.ID] == "" {
			p.floored[d.ID] = fmt.Sprintf("this host's policy keeps the last %d of each series", p.floors.KeepLast) //guard:retention-floor-last
		}
	}
}

// floorOthers notes which suspects were seen so lately that not even a person's choice
// removes them.
func (p *Plan) floorOthers(now time.Time) {
	from := now.Add(-time.Duration(p.floors.KeepDays) * 24 * time.Hour)
	for _, d := range p.Decisions {
		if d.Verdict == Suspect && d.FirstSeen.After(from) {
			p.floored[d.ID] = fmt.Sprintf("this host's policy keeps %d days", p.floors.KeepDays)
		}
	}
}

// most is how many of so many snapshots may go now: one at least in a day, and no more
// than the largest part of what was there when the day began.
func (p *Plan) most(of int) int {
	if p.floors.Validate() != nil || of == 0 {
		return 0
	}
	most := max(1, int(float64(of+p.lately)*p.floors.MaxDeleteFraction))
	most -= p.lately //guard:retention-day
	return max(0, most)
}

// limit leaves to later runs what is beyond the largest part that may go, the newest.
func (p *Plan) limit() {
	p.MostNow = p.most(p.Candidates)
	removed := 0
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Verdict != Remove {
			continue
		}
		d.Reasons = []string{"no rule keeps it"}
		if removed == p.MostNow { //guard:retention-fraction
			d.Verdict = Later
			d.Reasons = append(d.Reasons, p.enough(p.Candidates))
			continue
		}
		removed++
	}
}

// enough says why no more may go now.
func (p *Plan) enough(of int) string {
	if p.lately > 0 {
		return fmt.Sprintf("a day's runs remove at most %g %%, and %d went within the last day", 100*p.floors.MaxDeleteFraction, p.lately)
	}
	return fmt.Sprintf("a day's runs remove at most %d of %d snapshots", p.most(of), of)
}

// IDs lists the snapshots with a verdict, oldest first.
func (p Plan) IDs(v Verdict) []string {
	var ids []string
	for _, d := range p.Decisions {
		if d.Verdict == v {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// Refused returns why snapshots that a person has chosen may not all be removed, by id:
// they are not there, a floor keeps them, or they are too many for one day, which is said
// of each beyond that.
func (p Plan) Refused(chosen []string) map[string]string {
	refused := map[string]string{}
	all := len(p.Decisions)
	most := p.most(all)
	there := map[string]bool{}
	for _, d := range p.Decisions {
		there[d.ID] = true
	}
	for i, id := range chosen {
		floor, kept := p.floored[id]
		switch {
		case !there[id]:
			refused[id] = "the repository has no such snapshot"
		case kept: //guard:retention-chosen-floor
			refused[id] = floor
		case i >= most: //guard:retention-chosen-fraction
			refused[id] = p.enough(all)
		}
	}
	return refused
}
