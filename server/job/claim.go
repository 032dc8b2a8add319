package job

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Claim is how far an agent says it has looked after a schedule: the contract's
// SlotClaim.
type Claim struct {
	Schedule    fleet.ScheduleID
	Version     int64
	From, Until time.Time
}

// Absence is a time in which an agent could not fire.
type Absence struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`

	// Ahead is the end that the agent told, where that is in the future by more than
	// maxSkew: its clock was put forward. Until it tells another, a slot up to there that it claims is one that its
	// clock jumped over.
	Ahead time.Time `json:"ahead,omitzero"`
}

// Offers is what a host publishes by name.
type Offers struct {
	Hooks   []Offer `json:"hooks"`
	Sources []Offer `json:"sources"`
}

// Offer is a hook or a source of a host.
type Offer struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"`
}

// The limits of what an agent tells of its schedules.
const (
	maxClaims       = 1000
	maxAbsences     = 50
	maxOffers       = 100
	maxOfferName    = 64
	maxOfferProblem = 500
	claimsSince     = 400 * 24 * time.Hour // nobody speaks of what was before
)

var offerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// bounded keeps of offers what can be stored and shown.
func (o *Offers) bounded() *Offers {
	keep := func(list []Offer) []Offer {
		kept := []Offer{}
		for _, offer := range list {
			offer.Problem = plain(offer.Problem, maxOfferProblem)
			if len(kept) < maxOffers && offer.tellable() { //guard:offer-name
				kept = append(kept, offer)
			}
		}
		return kept
	}
	return &Offers{Hooks: keep(o.Hooks), Sources: keep(o.Sources)}
}

// tellable tells whether an offer has a name that a schedule may have, or one that
// people can read with the reason why it cannot be chosen.
func (o Offer) tellable() bool {
	if offerName.MatchString(o.Name) {
		return true
	}
	odd := func(r rune) bool { return !unicode.IsGraphic(r) }
	return o.Problem != "" && o.Name != "" && isText(o.Name, maxOfferName) && !strings.ContainsFunc(o.Name, odd)
}

// boundedAbsences keeps the newest absences that can be meant, none of them in the
// future but by their Ahead, oldest first.
func boundedAbsences(list []Absence, now time.Time) []Absence {
	kept := []Absence{}
	for _, a := range list {
		a.From, a.To, a.Ahead, a.Reason = a.From.UTC(), a.To.UTC(), time.Time{}, plain(a.Reason, 40)
		if a.To.After(now.Add(maxSkew)) {
			a.Ahead = earlier(a.To, now.Add(claimsSince))
		}
		if a.To.After(now) { //guard:absence-future
			a.To = now
		}
		if a.From.Before(a.To) && a.From.After(now.Add(-claimsSince)) {
			kept = append(kept, a)
		}
	}
	slices.SortStableFunc(kept, func(a, b Absence) int { return a.From.Compare(b.From) })
	return kept[max(0, len(kept)-maxAbsences):]
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// plain is a text from outside that can be stored: cut, without what no database
// takes.
func plain(text string, limit int) string {
	text = clip(text, limit)
	if !isText(text, limit) {
		return ""
	}
	return text
}

// newClaims tells whether claims say something that is not known. It reads schedules
// only where a claim reaches a slot of which a word of the agent is wanted.
func newClaims(ctx context.Context, q store.Queries, host *fleet.Host, claims []Claim, now fleet.Time) (bool, error) {
	wanted := !host.Unchecked.IsZero() && slices.ContainsFunc(claims, func(c Claim) bool { return fleet.At(c.Until) >= host.Unchecked })
	if !wanted {
		return false, nil
	}
	schedules, err := q.Schedules(ctx, host.ID)
	if err != nil {
		return false, err
	}
	return len(putOver(schedules, claims, now)) > 0, nil
}

// putOver puts claims over what is known of schedules and gives those that changed.
func putOver(schedules []fleet.Schedule, claims []Claim, now fleet.Time) (changed []*fleet.Schedule) {
	for _, c := range claims[:min(len(claims), maxClaims)] {
		at := slices.IndexFunc(schedules, func(s fleet.Schedule) bool { return s.ID == c.Schedule })
		if at >= 0 && c.over(&schedules[at], now) {
			changed = append(changed, &schedules[at])
		}
	}
	return changed
}

// takeClaims writes down how far an agent has looked after its host's schedules, where
// that covers a slot that nothing is known of. What follows from it is CheckSlots' to do.
// A claim about other times than the schedule has now, about another host's schedule or
// about the future says nothing.
func takeClaims(ctx context.Context, tx *store.Tx, host fleet.HostID, claims []Claim) error {
	if len(claims) == 0 {
		return nil
	}
	schedules, err := tx.Schedules(ctx, host)
	if err != nil {
		return err
	}
	for _, s := range putOver(schedules, claims, tx.Now) {
		if err := tx.SaveTruth(ctx, s); err != nil {
			return fmt.Errorf("take a claim about schedule %s: %w", s.ID, err)
		}
	}
	return nil
}

// over puts a claim over what a schedule's row holds and tells whether that says
// something new.
func (c Claim) over(s *fleet.Schedule, now fleet.Time) bool {
	from, until := fleet.At(c.From), fleet.At(c.Until)
	if c.Version < s.TimingVersion || c.Version > s.Version { //guard:claim-version
		return false
	}
	if until > now { //guard:claim-future
		until = now
	}
	if from < now.Add(-claimsSince) {
		from = now.Add(-claimsSince)
	}
	if until <= from || !s.Timed() {
		return false
	}
	until = max(until, s.ClaimUntil)
	reaches := func(t fleet.Time) bool { return !t.IsZero() && s.ClaimUntil < t && until >= t }
	if from == s.ClaimFrom && !reaches(s.Unchecked) && !reaches(s.SilentFrom) {
		return false
	}
	s.ClaimFrom, s.ClaimUntil = from, until
	return true
}
