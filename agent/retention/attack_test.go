package retention

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
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

// TestNoAttackMakesAGoodSnapshotGo compares, for each random history, what is kept without
// the attack and with it.
func TestNoAttackMakesAGoodSnapshotGo(t *testing.T) {
	n := histories()
	var workers sync.WaitGroup
	var mu sync.Mutex
	removed, lost, smallest := 0, 0, uint64(0)
	share := runtime.GOMAXPROCS(0)
	for worker := range share {
		workers.Go(func() {
			for seed := worker; seed < n; seed += share {
				gone, taken := attacked(uint64(seed))
				mu.Lock()
				removed += gone
				if taken != "" {
					if lost++; lost <= 3 {
						t.Errorf("seed %d: %s", seed, taken)
					}
					smallest = max(smallest, uint64(seed))
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if lost > 0 || removed < n {
		t.Errorf("good snapshots were lost in %d of %d histories; %d went without any attack", lost, n, removed)
	}
	t.Logf("%d histories, in which %d snapshots went without any attack", n, removed)
}

// attacked returns how many snapshots go without the attack, and what the attack costs.
func attacked(seed uint64) (removed int, lost string) {
	w := newWorld(seed)
	before := Make(w.good, w.schedules, w.floors, w.now)
	after := Make(slices.Concat(w.good, w.attack()), w.schedules, w.floors, w.now)
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

// TestTheFloorsHoldWhateverIsAdded also adds what a schedule's own host could have made:
// that takes places of the rules, but what was seen lately stays.
func TestTheFloorsHoldWhateverIsAdded(t *testing.T) {
	for seed := range uint64(min(histories(), 5_000)) {
		w := newWorld(seed)
		added := w.attack()
		for i := range w.rand.IntN(60) {
			s := w.schedules[w.rand.IntN(len(w.schedules))]
			added = append(added, w.forged(fmt.Sprint("like-", i), s, w.moment()))
		}
		plan := Make(slices.Concat(w.good, added), w.schedules, w.floors, w.now)
		if n := len(plan.IDs(Remove)); n > max(1, int(float64(plan.Candidates)*w.floors.MaxDeleteFraction)) {
			t.Errorf("seed %d: %d of %d go at once", seed, n, plan.Candidates)
		}
		from := w.now.Add(-time.Duration(w.floors.KeepDays) * day)
		for _, d := range plan.Decisions {
			if d.FirstSeen.After(from) && (d.Verdict == Remove || d.Verdict == Later) {
				t.Fatalf("seed %d: %s, seen %s before now, is to go (%s)", seed, d.ID, w.now.Sub(d.FirstSeen), d.Verdict)
			}
		}
	}
}
