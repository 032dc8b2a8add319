package fleet

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"restic-manager/agent/slot"
)

// DefaultPlan is the plan of a new repository: its snapshots are thinned out each day,
// its data is pruned once a week and checked a part a day, and it is measured each day,
// in the hours after most backups. Its id spreads repositories over those hours.
func DefaultPlan(id RepositoryID) MaintenancePlan {
	h := fnv.New32a()
	h.Write([]byte(id)) //nolint:errcheck // it never fails
	spread := int(h.Sum32())
	at := func(minutes int) string {
		minutes += 4*60 + spread%(5*60)
		return fmt.Sprintf("%d %d", minutes%60, minutes/60)
	}
	return MaintenancePlan{
		Zone: "UTC", Retention: at(0) + " * * *", Prune: at(30) + fmt.Sprintf(" * * %d", spread/300%7), Check: at(60) + " * * *", Measure: at(90) + " * * *",
	}
}

// Wrong tells every mistake in a plan, as Fields.
func (p *MaintenancePlan) Wrong() error {
	var found Fields
	zone := p.Zone
	if zone == "" {
		zone = "UTC"
	}
	if e := checkCron("0 0 * * *", zone); e != nil {
		found = append(found, e)
		zone = "UTC"
	}
	for _, c := range []struct{ name, text string }{{"retention", p.Retention}, {"prune", p.Prune}, {"check", p.Check}, {"measure", p.Measure}} {
		if c.text == "" {
			continue
		}
		if e := checkCron(c.text, zone); e != nil {
			found = append(found, e.At("/"+c.name))
		}
	}
	if p.CheckParts < 0 || p.CheckParts > maxParts {
		found = append(found, Errorf(InvalidField, "The data is checked in 1 to %d parts; 0 leaves it to the cron.", maxParts).At("/check_parts"))
	}
	return found.Err()
}

const (
	maxParts  = 365
	mostReads = 500
	readAll   = 28 * 24 * time.Hour // within which checks read everything
	readKept  = 35 * 24 * time.Hour // for how long a part counts as read
)

// After is when a cron of the plan fires next; never where it is empty or cannot be
// read.
func (p *MaintenancePlan) After(cron string, at Time) Time {
	s, ok := p.parse(cron)
	if !ok {
		return 0
	}
	next, ok := s.Next(at.Time())
	if !ok {
		return 0
	}
	return At(next)
}

func (p *MaintenancePlan) parse(cron string) (slot.Schedule, bool) {
	zone := p.Zone
	if zone == "" {
		zone = "UTC"
	}
	if cron == "" {
		return slot.Schedule{}, false
	}
	s, err := slot.Parse(cron, zone)
	return s, err == nil
}

// Parts is into how many parts the data is cut for checks: so many that all of it is
// read within four weeks.
func (p *MaintenancePlan) Parts(now Time) int {
	if p.CheckParts > 0 {
		return p.CheckParts
	}
	n, until := 0, now.Add(readAll)
	for at := p.After(p.Check, now); !at.IsZero() && at <= until && n < maxParts; at = p.After(p.Check, at) {
		n++
	}
	return max(1, n)
}

// SetPlan gives a repository its plan, from now on.
func (r *Repository) SetPlan(p MaintenancePlan, now Time) error {
	doc, err := NewDoc(p)
	if err != nil {
		return err
	}
	r.Plan = doc
	r.NextRetention, r.NextPrune = p.After(p.Retention, now), p.After(p.Prune, now)
	r.NextCheck, r.NextMeasure = p.After(p.Check, now), p.After(p.Measure, now)
	return nil
}

// planSlack is by how much the clocks of replicas may differ.
const planSlack = 5 * time.Minute

// Review brings moments of a repository's plan back that lie further away than its crons
// allow, since the clock was set back after they were reckoned; it tells whether there were
// any.
func (r *Repository) Review(now Time) (changed bool, err error) {
	var p MaintenancePlan
	if err := r.Plan.Read(&p); err != nil {
		return false, err
	}
	for _, c := range []struct {
		cron string
		next *Time
	}{{p.Retention, &r.NextRetention}, {p.Prune, &r.NextPrune}, {p.Check, &r.NextCheck}, {p.Measure, &r.NextMeasure}} {
		if latest := p.After(c.cron, now.Add(planSlack)); latest.IsZero() || *c.next <= latest {
			continue
		}
		*c.next, changed = p.After(c.cron, now), true
	}
	return changed, nil
}

// NextPart is the part of so many that a check reads next: one that no check has read,
// else the one that was read first.
func (h *RepositoryHealth) NextPart(parts int) int {
	newest := make([]Time, parts+1)
	for _, r := range h.Reads {
		if r.Parts == parts && r.Part >= 1 && r.Part <= parts {
			newest[r.Part] = max(newest[r.Part], r.At)
		}
	}
	oldest := 1
	for part := 1; part <= parts; part++ {
		if newest[part] < newest[oldest] {
			oldest = part
		}
	}
	return oldest
}

// NoteRead keeps that a check has read a part of the data, and reckons anew which share
// was read.
func (h *RepositoryHealth) NoteRead(part, parts int, at Time) {
	if parts < 1 || parts > maxParts || part < 1 || part > parts {
		return
	}
	h.Reads = slices.DeleteFunc(h.Reads, func(r Read) bool {
		return r.Part == part && r.Parts == parts || r.At < at.Add(-2*readKept)
	})
	h.Reads = append(h.Reads, Read{At: at, Part: part, Parts: parts})
	h.Reads = h.Reads[max(0, len(h.Reads)-mostReads):]
	h.ReadShare = h.ShareRead(at)
}

// ShareRead is the part of the data that was read lately. Cuts into different numbers of
// parts are not added up: nobody knows by how much they overlap.
func (h *RepositoryHealth) ShareRead(now Time) float64 {
	counts := map[int]int{}
	best := 0.0
	for _, r := range h.Reads {
		if r.At > now.Add(-readKept) {
			counts[r.Parts]++
			best = max(best, float64(counts[r.Parts])/float64(r.Parts))
		}
	}
	return min(1, best)
}

// growthDays is over how many days growth is reckoned.
const growthDays = 30

// Growth is by how many bytes a repository grows a day: the median of the differences
// between the days that were measured.
func Growth(days []RepositoryDay) int64 {
	var steps []float64
	for i := 1; i < len(days); i++ {
		if n := days[i].Day - days[i-1].Day; n > 0 {
			steps = append(steps, float64(days[i].StoredBytes-days[i-1].StoredBytes)/float64(n))
		}
	}
	if len(steps) == 0 {
		return 0
	}
	slices.Sort(steps)
	middle := steps[len(steps)/2]
	if len(steps)%2 == 0 {
		middle = (middle + steps[len(steps)/2-1]) / 2
	}
	return int64(math.Round(middle))
}

// GrowthSince is the first day that Growth looks at.
func GrowthSince(now Time) int64 { return DayOf(now) - growthDays }

// FullAt is when the storage is full if the repository goes on growing so; never where
// it does not grow, that is not known, or it is further away than ten years.
func (h *RepositoryHealth) FullAt() Time {
	const most = 10 * 365
	if h.GrowthPerDay <= 0 || h.TotalBytes <= 0 {
		return 0
	}
	days := float64(h.FreeBytes) / float64(h.GrowthPerDay)
	if days > most {
		return 0
	}
	return h.MeasuredAt.Add(time.Duration(days * 24 * float64(time.Hour)))
}
