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
	KeepDays          int     // what was seen within so many days before the newest candidate
	KeepLast          int     // the newest candidates of each schedule
	MaxDeleteFraction float64 // of all candidates, what one run may remove; at least one
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
	Schedule  string // of its tag, "" if none
	Size      int64  // of what it would restore; 0 where it does not say
	Unread    bool   // it cannot be decrypted or parsed
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
	share   float64           // that one run may remove
}

// Make plans. It removes nothing where floors are none.
func Make(snapshots []Snapshot, schedules []Schedule, floors Floors, now time.Time) Plan {
	p := Plan{floored: map[string]string{}, share: floors.MaxDeleteFraction}
	for _, s := range snapshots {
		p.Decisions = append(p.Decisions, Decision{Snapshot: s, Verdict: Keep})
	}
	slices.SortStableFunc(p.Decisions, func(a, b Decision) int {
		return cmp.Or(a.FirstSeen.Compare(b.FirstSeen), cmp.Compare(a.ID, b.ID))
	})
	known := map[string]Schedule{}
	for _, s := range schedules {
		known[s.ID] = s
	}
	groups := map[string][]*Decision{} // candidates by schedule, in order
	for i := range p.Decisions {
		d := &p.Decisions[i]
		schedule, ours := known[d.Schedule]
		switch why := suspicion(d.Snapshot, schedule, ours, now); {
		case why != "": //guard:retention-suspect
			d.suspect(why)
		case d.Schedule == "":
			d.Reasons = []string{"of no schedule"}
		default:
			groups[d.Schedule] = append(groups[d.Schedule], d)
		}
	}
	for id, group := range groups {
		group = unusual(group, known[id].zone())
		p.Candidates += len(group)
		judge(group, known[id], now)
		p.floor(group, floors, now)
	}
	p.floorOthers(floors, now)
	p.limit(floors)
	return p
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

// judge applies the rules to the candidates of a schedule.
func judge(group []*Decision, s Schedule, now time.Time) {
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

// floor keeps what the host's own policy keeps of a schedule.
func (p *Plan) floor(group []*Decision, f Floors, now time.Time) {
	keep := func(d *Decision, why string) {
		p.floored[d.ID] = why
		if d.Verdict == Remove {
			d.keep(why)
		}
	}
	for _, d := range within(group, f.KeepDays, now) {
		keep(d, fmt.Sprintf("this host's policy keeps %d days", f.KeepDays)) //guard:retention-floor-days
	}
	for _, d := range group[max(0, len(group)-f.KeepLast):] {
		keep(d, fmt.Sprintf("this host's policy keeps the last %d", f.KeepLast)) //guard:retention-floor-last
	}
}

// floorOthers notes which snapshots that are no candidates were seen so lately that not
// even a person's choice removes them.
func (p *Plan) floorOthers(f Floors, now time.Time) {
	from := now.Add(-time.Duration(f.KeepDays) * 24 * time.Hour)
	for _, d := range p.Decisions {
		if (d.Verdict == Suspect || d.Schedule == "") && d.FirstSeen.After(from) {
			p.floored[d.ID] = fmt.Sprintf("this host's policy keeps %d days", f.KeepDays)
		}
	}
}

// limit leaves to later runs what is beyond the largest part that one may remove, the
// newest.
func (p *Plan) limit(f Floors) {
	if f.Validate() == nil && p.Candidates > 0 {
		p.MostNow = max(1, int(float64(p.Candidates)*f.MaxDeleteFraction))
	}
	removed := 0
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Verdict != Remove {
			continue
		}
		d.Reasons = []string{"no rule keeps it"}
		if removed == p.MostNow { //guard:retention-fraction
			d.Verdict = Later
			d.Reasons = append(d.Reasons, fmt.Sprintf("one run removes at most %d", p.MostNow))
			continue
		}
		removed++
	}
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
// they are not there, a floor keeps them, or they are too many for one run, which is said
// of each beyond that.
func (p Plan) Refused(chosen []string) map[string]string {
	refused := map[string]string{}
	most := max(1, int(float64(len(p.Decisions))*p.share))
	for i, id := range chosen {
		floor, kept := p.floored[id]
		there := slices.ContainsFunc(p.Decisions, func(d Decision) bool { return d.ID == id })
		switch {
		case !there:
			refused[id] = "the repository has no such snapshot"
		case kept: //guard:retention-chosen-floor
			refused[id] = floor
		case i >= most: //guard:retention-chosen-fraction
			refused[id] = fmt.Sprintf("one run removes at most %d of %d snapshots", most, len(p.Decisions))
		}
	}
	return refused
}
