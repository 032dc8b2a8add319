package retention

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// histories is how many random ones are attacked: 10 000, and in make proof the 100 000
// that are promised.
func histories() int {
	if os.Getenv("RM_PROOF") != "" {
		return 100_000
	}
	return 10_000
}

// world is a repository's life by one seed.
type world struct {
	rand      *rand.Rand
	now       time.Time
	schedules []Schedule
	good      []Snapshot
	floors    Floors
	gone      int // within the day
}

func newWorld(seed uint64) *world {
	w := &world{rand: rand.New(rand.NewPCG(seed, 20261122)), now: noon.Add(time.Duration(seed%(24*366)) * time.Hour)}
	zones := []string{"UTC", "Europe/Paris", "Australia/Lord_Howe", "Pacific/Auckland", "America/St_Johns"}
	count := func(most int) int { return max(0, w.rand.IntN(2*most)-most) } // half of them 0
	for i := range 1 + w.rand.IntN(3) {
		zone, _ := time.LoadLocation(zones[w.rand.IntN(len(zones))])
		w.schedules = append(w.schedules, Schedule{ID: fmt.Sprint("s", i), Host: fmt.Sprint("h", w.rand.IntN(2)), Zone: zone, Rules: Rules{
			Last: count(5), Hourly: count(12), Daily: count(14), Weekly: count(6), Monthly: count(6), Yearly: count(3), WithinDays: count(40),
		}})
	}
	w.floors = Floors{KeepDays: 1 + w.rand.IntN(14), KeepLast: 1 + w.rand.IntN(4), MaxDeleteFraction: 0.05 + 0.95*w.rand.Float64()}
	for _, s := range w.schedules {
		w.live(s)
	}
	return w
}

// live adds the snapshots of a schedule: more or less regular, with gaps, days of many, and
// sizes that sometimes drop.
func (w *world) live(s Schedule) {
	at := w.now.Add(-time.Duration(1+w.rand.IntN(200*24)) * time.Hour)
	pace := []time.Duration{time.Hour, 6 * time.Hour, day, day, 7 * day}[w.rand.IntN(5)]
	size := int64(1 + w.rand.IntN(1_000_000))
	for n := 0; at.Before(w.now) && n < 60; n++ {
		took := time.Duration(w.rand.IntN(180)) * time.Minute
		snapshot := Snapshot{
			ID: fmt.Sprintf("%s-%03d", s.ID, n), Claimed: at.Add(-took), Ended: at, FirstSeen: at.Add(time.Duration(w.rand.IntN(60)) * time.Second),
			Host: s.Host, Schedule: s.ID, Size: size,
		}
		switch w.rand.IntN(20) {
		case 0:
			snapshot.Size /= int64(1 + w.rand.IntN(10))
		case 1:
			snapshot.Claimed = snapshot.Claimed.Add(time.Duration(w.rand.IntN(5)-2) * time.Hour) // a clock that is wrong
		case 2:
			size = int64(1 + w.rand.IntN(1_000_000))
		}
		w.good = append(w.good, snapshot)
		at = at.Add(pace/2 + time.Duration(w.rand.Int64N(int64(pace))))
		if w.rand.IntN(15) == 0 {
			at = at.Add(time.Duration(w.rand.IntN(30)) * day)
		}
	}
}

// moment is when something is uploaded: mostly now, else some time in the repository's
// life.
func (w *world) moment() time.Time {
	if w.rand.IntN(3) > 0 {
		return w.now.Add(-time.Duration(w.rand.IntN(3600)) * time.Second)
	}
	return w.now.Add(-time.Duration(w.rand.IntN(200*24)) * time.Hour)
}

// forged looks like one that the schedule has just made.
func (w *world) forged(id string, s Schedule, at time.Time) Snapshot {
	return Snapshot{ID: id, Claimed: at.Add(-time.Minute), Ended: at, FirstSeen: at, Host: s.Host, Schedule: s.ID, Size: 1_000_000}
}

// attack returns what somebody with the repository's password adds: shadow snapshots of
// the future, a minute to midnight of each good day, of times long past, of other hosts and
// schedules, unreadable ones, crowds, and mixtures of them.
func (w *world) attack() []Snapshot {
	var added []Snapshot
	for wave := range 1 + w.rand.IntN(4) {
		s := w.schedules[w.rand.IntN(len(w.schedules))]
		kind := w.rand.IntN(7)
		for i := range 1 + w.rand.IntN(40) {
			f := w.forged(fmt.Sprintf("evil-%d-%d", wave, i), s, w.moment())
			switch kind {
			case 0: // L2
				f.Claimed, f.Ended = f.FirstSeen.AddDate(1+w.rand.IntN(80), 0, i), time.Time{}
			case 1: // L3
				of := w.good[w.rand.IntN(len(w.good))]
				local := of.FirstSeen.In(s.zone())
				f.Claimed = time.Date(local.Year(), local.Month(), local.Day(), 23, 59, i%60, 0, s.zone())
				f.Ended = f.Claimed
				if gap := f.FirstSeen.Sub(f.Claimed); gap > -2*time.Hour && gap < 2*time.Hour {
					continue // it would be what the host itself could have made
				}
			case 2:
				f.Claimed = f.FirstSeen.Add(-9*day - time.Duration(w.rand.IntN(4000))*time.Hour)
				if w.rand.IntN(2) == 0 {
					f.Ended = f.Claimed
				}
			case 3:
				f.Host = "evil"
			case 4:
				f.Schedule = "evil"
			case 5:
				f.Unread, f.Claimed = true, time.Time{}
			case 6:
				f.Schedule = "" // of none: it must not matter
			}
			added = append(added, f)
		}
	}
	if w.rand.IntN(20) == 0 {
		added = append(added, w.crowd()...)
	}
	return added
}

// crowd is more of what looks good than a schedule makes in a day, all on one day.
func (w *world) crowd() []Snapshot {
	s := w.schedules[w.rand.IntN(len(w.schedules))]
	at := w.moment().In(s.zone())
	at = time.Date(at.Year(), at.Month(), at.Day(), 4, 30, 0, 0, s.zone())
	var added []Snapshot
	for i := range PerDay + 1 + w.rand.IntN(50) {
		f := w.forged(fmt.Sprint("crowd-", i), s, at.Add(time.Duration(i)*time.Second))
		f.Size = int64(1 + w.rand.IntN(2_000_000))
		added = append(added, f)
	}
	return added
}

// eachHistory plays every history, and fails for those that play returns a word of.
func eachHistory(t *testing.T, play func(seed uint64) (wrong string)) {
	t.Helper()
	var workers sync.WaitGroup
	var wrong atomic.Int64
	share := runtime.GOMAXPROCS(0)
	for worker := range share {
		workers.Go(func() {
			for seed := worker; seed < histories(); seed += share {
				if what := play(uint64(seed)); what != "" && wrong.Add(1) <= 3 {
					t.Errorf("seed %d: %s", seed, what)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d histories, %d of them went wrong", histories(), wrong.Load())
}

// TestNoAttackMakesAGoodSnapshotGo compares, for each random history, what is kept without
// the attack and with it.
func TestNoAttackMakesAGoodSnapshotGo(t *testing.T) {
	var removed atomic.Int64
	eachHistory(t, func(seed uint64) string {
		gone, taken := attacked(seed)
		removed.Add(int64(gone))
		return taken
	})
	if n := removed.Load(); n < int64(histories()) {
		t.Errorf("only %d snapshots go without any attack: the rules remove too little to show anything", n)
	}
}

// TestNoDoubtOfAServerMakesASnapshotGo has a server doubt what it likes of good histories:
// whatever is kept without that is kept.
func TestNoDoubtOfAServerMakesASnapshotGo(t *testing.T) {
	eachHistory(t, func(seed uint64) string {
		w := newWorld(seed)
		before := Make(w.good, w.schedules, w.floors, 0, w.now)
		doubted := slices.Clone(w.good)
		share := w.rand.IntN(101)
		for i := range doubted {
			doubted[i].Doubted = w.rand.IntN(100) < share
		}
		after := Make(doubted, w.schedules, w.floors, 0, w.now)
		goes := map[string]bool{}
		for _, id := range slices.Concat(after.IDs(Remove), after.IDs(Later)) {
			goes[id] = true
		}
		for _, d := range before.Decisions {
			if goes[d.ID] && d.Verdict != Remove && d.Verdict != Later {
				return fmt.Sprintf("%s was %s (%v), and is to go", d.ID, d.Verdict, d.Reasons)
			}
		}
		for _, s := range doubted {
			switch {
			case s.Doubted && goes[s.ID]:
				return s.ID + " is doubted, and is to go"
			case !s.Doubted && before.floored[s.ID] != "" && after.floored[s.ID] == "":
				return s.ID + " was kept by a floor, and is no more"
			}
		}
		return ""
	})
}

// attacked returns how many snapshots go without the attack, and what the attack costs.
func attacked(seed uint64) (removed int, lost string) {
	w := newWorld(seed)
	before := Make(w.good, w.schedules, w.floors, 0, w.now)
	after := Make(slices.Concat(w.good, w.attack()), w.schedules, w.floors, 0, w.now)
	verdicts := map[string]Verdict{}
	for _, d := range after.Decisions {
		verdicts[d.ID] = d.Verdict
	}
	for _, d := range before.Decisions {
		stays := d.Verdict == Keep || d.Verdict == Suspect
		if !stays {
			removed++
			continue
		}
		if v := verdicts[d.ID]; v != Keep && v != Suspect {
			return removed, fmt.Sprintf("%s of %s was kept (%v) and is now to go (%s)", d.ID, d.FirstSeen, d.Reasons, v)
		}
	}
	return removed, ""
}

// hostile are schedules as a server could send them that wants to see snapshots go: none,
// some, others, of other hosts, and with rules that keep as little as can be.
func (w *world) hostile() []Schedule {
	var list []Schedule
	for _, s := range w.schedules {
		s.Rules = Rules{Last: 1}
		switch w.rand.IntN(5) {
		case 0:
			continue
		case 1:
			s.Host = "evil"
		case 2:
			s.ID = "evil"
		case 3:
			s.Zone, s.Rules = time.FixedZone("", w.rand.IntN(24*3600)-12*3600), Rules{Yearly: 1}
		}
		list = append(list, s)
	}
	return list
}

// TestTheFloorsHoldWhateverIsAddedAndSaid has a server that is hostile too, and what a
// schedule's own host could have made: that takes places of the rules. But what was seen
// lately stays, and the last of what is not odd, and no number of runs in a day removes
// more than a day's part.
func TestTheFloorsHoldWhateverIsAddedAndSaid(t *testing.T) {
	eachHistory(t, func(seed uint64) string {
		w := newWorld(seed)
		var added []Snapshot
		if seed%2 == 0 { // else a server alone, which adds nothing
			added = w.attack()
			for i := range w.rand.IntN(60) {
				s := w.schedules[w.rand.IntN(len(w.schedules))]
				added = append(added, w.forged(fmt.Sprint("like-", i), s, w.moment()))
			}
		}
		all := slices.Concat(w.good, added)
		spared, most := w.spared(all, len(added) == 0), max(1, int(float64(len(all))*w.floors.MaxDeleteFraction))
		for range 2 {
			if lost := w.run(&all, w.hostile(), spared); lost != "" {
				return lost
			}
		}
		if w.gone > most {
			return fmt.Sprintf("%d of %d went in a day", w.gone, len(w.good)+len(added))
		}
		return ""
	})
}

// spared says what must outlast every order: what was seen within the floor's days, and,
// where nothing was added, the last of each schedule that is not odd by itself.
func (w *world) spared(all []Snapshot, last bool) map[string]bool {
	spared := map[string]bool{}
	from := w.now.Add(-time.Duration(w.floors.KeepDays) * day)
	for _, s := range all {
		if s.FirstSeen.After(from) {
			spared[s.ID] = true
		}
	}
	for _, schedule := range w.schedules {
		left := w.floors.KeepLast
		for _, s := range slices.Backward(w.good) {
			if last && left > 0 && s.Schedule == schedule.ID && suspicion(s, w.now) == "" {
				spared[s.ID] = true
				left--
			}
		}
	}
	return spared
}

// run removes what the rules of some schedules let go, and then whatever else may be
// chosen, and says what went that must not.
func (w *world) run(all *[]Snapshot, schedules []Schedule, spared map[string]bool) (lost string) {
	remove := func(ids []string) {
		for _, id := range ids {
			if spared[id] {
				lost = id + " is gone"
			}
		}
		*all = slices.DeleteFunc(*all, func(s Snapshot) bool { return slices.Contains(ids, s.ID) })
		w.gone += len(ids)
	}
	remove(Make(*all, schedules, w.floors, w.gone, w.now).IDs(Remove))
	plan := Make(*all, schedules, w.floors, w.gone, w.now)
	var choice, allowed []string
	for _, s := range *all {
		if _, kept := plan.floored[s.ID]; !kept {
			choice = append(choice, s.ID)
		}
	}
	refused := plan.Refused(choice)
	for _, id := range choice {
		if refused[id] == "" {
			allowed = append(allowed, id)
		}
	}
	remove(allowed)
	return lost
}
