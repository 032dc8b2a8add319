package fleet_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
)

// yard is a repository in virtual time: hosts that back up all the time, and exclusive
// jobs that come.
type yard struct {
	*testing.T
	r       fleet.Repository
	now     fleet.Time
	random  *rand.Rand
	jobs    []*yardJob
	backups time.Duration // the longest that a backup waited
	turns   time.Duration // the longest that an exclusive job waited for its turn as the next
	n       int
}

type yardJob struct {
	fleet.Job
	exclusive bool
	host      string
	runs      time.Duration
	ends      fleet.Time
	waits     fleet.Time // since when it waits
	next      fleet.Time // since when it is the next
}

func (y *yard) add(operation, host string, runs time.Duration) *yardJob {
	y.n++
	j := &yardJob{host: host, runs: runs, exclusive: operation != "backup", waits: y.now}
	j.ID, j.Operation, j.CreatedAt = fleet.JobID(fmt.Sprintf("%06d", y.n)), operation, y.now
	j.State, j.Held = fleet.Waiting, j.exclusive
	y.jobs = append(y.jobs, j)
	return j
}

// step lets the arbiter decide, and then each agent do what it may.
func (y *yard) step(by time.Duration) {
	y.Helper()
	var holders []fleet.Holder
	for _, j := range y.jobs {
		holders = append(holders, fleet.Holder{Job: &j.Job, Host: j.host, Online: true, Exclusive: j.exclusive})
	}
	t := fleet.TakeTurns(&y.r, holders, fleet.LongestHold, y.now)
	y.r.HoldJob, y.r.HoldSince, y.r.HoldUntil = "", 0, 0
	if t.Next != nil {
		y.r.HoldJob, y.r.HoldSince, y.r.HoldUntil = t.Next.Job.ID, t.Since, t.HoldUntil
	}
	for _, j := range y.jobs {
		if j.Held && t.Next != nil && t.Next.Job.ID == j.ID && j.next.IsZero() {
			j.next = y.now
		}
		if j.Held && (t.Grant == nil || t.Grant.Job.ID != j.ID) && t.Waits[j.ID] == "" {
			y.Fatalf("%s waits for nobody", j.ID)
		}
	}
	y.check(&t)
	held := y.now < y.r.HoldUntil
	y.now = y.now.Add(by)
	left := y.jobs[:0]
	for _, j := range y.jobs {
		switch {
		case j.State == fleet.Running && j.ends <= y.now:
			continue
		case j.State == fleet.Waiting && !j.Held && (j.exclusive || !held):
			j.State, j.StartedAt, j.ends = fleet.Running, y.now, y.now.Add(j.runs)
			if !j.exclusive {
				y.backups = max(y.backups, j.StartedAt.Time().Sub(j.waits.Time()))
			}
		}
		left = append(left, j)
	}
	y.jobs = left
}

// check looks whether a turn that is given is one.
func (y *yard) check(t *fleet.Turn) {
	y.Helper()
	if t.Grant == nil {
		return
	}
	for _, j := range y.jobs {
		if j.State == fleet.Running {
			y.Fatalf("%s was let go while %s ran", t.Grant.Job.ID, j.ID)
		}
		if j.ID == t.Grant.Job.ID {
			y.turns = max(y.turns, y.now.Time().Sub(j.next.Time()))
			j.Held, j.State = false, fleet.Acked
			j.StartedAt, j.State, j.ends = y.now, fleet.Running, y.now.Add(j.runs)
		}
	}
}

func (y *yard) count(host string) (n int) {
	for _, j := range y.jobs {
		if j.host == host {
			n++
		}
	}
	return n
}

// TestNobodyStarvesAtARepository has ten hosts that back up without a pause, and
// exclusive jobs that come in crowds, in histories made by chance. The bounds are those
// that turn.go states.
func TestNobodyStarvesAtARepository(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1))
		y := &yard{T: t, random: random, now: fleet.At(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))}
		longestBackup := []time.Duration{5 * time.Minute, 50 * time.Minute, 100 * time.Minute, 5 * time.Hour}[seed%4]
		const longestExclusive = 2 * time.Hour
		for range 4 * 24 * 60 * 2 { // four days by half minutes
			for i := range 10 {
				if host := fmt.Sprintf("web-%d", i); y.count(host) == 0 {
					y.add("backup", host, time.Duration(random.Int64N(int64(longestBackup)))+time.Second)
				}
			}
			if random.IntN(24*60) == 0 {
				for range 1 + random.IntN(3) {
					y.add([]string{"prune", "check", "retention"}[random.IntN(3)], "nas", time.Duration(random.Int64N(int64(longestExclusive)))+time.Second)
				}
			}
			y.step(30 * time.Second)
		}
		drain, total := time.Hour, 10*time.Minute
		for drain <= longestBackup+time.Minute {
			total, drain = total+drain+30*time.Minute, 2*drain
		}
		if bound := total + drain; y.turns > bound || y.turns == 0 {
			t.Errorf("seed %d: with backups up to %s an exclusive job waited %s for its turn, not within %s", seed, longestBackup, y.turns, bound)
		}
		if bound := drain + longestExclusive + time.Minute; y.backups > bound {
			t.Errorf("seed %d: with backups up to %s one waited %s, not within %s", seed, longestBackup, y.backups, bound)
		}
	}
}

// TestASilentHostDoesNotKeepARepositoryForEver has a backup whose agent fell silent.
func TestASilentHostDoesNotKeepARepositoryForEver(t *testing.T) {
	start := fleet.At(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	silent := fleet.Job{ID: "a", Operation: "backup", State: fleet.Unresponsive, LeaseUntil: start, CreatedAt: start.Add(-time.Hour)}
	prune := fleet.Job{ID: "b", Operation: "prune", State: fleet.Waiting, Held: true, CreatedAt: start}
	turn := func(gone bool, at fleet.Time) fleet.Turn {
		return fleet.TakeTurns(&fleet.Repository{}, []fleet.Holder{
			{Job: &silent, Host: "web-1", Gone: gone}, {Job: &prune, Host: "nas", Online: true, Exclusive: true},
		}, fleet.LongestHold, at)
	}
	got := turn(false, start.Add(29*time.Minute))
	if want := "Back up at web-1 since 2026-02-28 23:00 UTC, which is silent"; got.Grant != nil || got.Waits["b"] != want {
		t.Errorf("while it may still run: granted %v, waits for %q, want %q", got.Grant, got.Waits["b"], want)
	}
	if got := turn(true, start.Add(time.Minute)); got.Grant == nil {
		t.Error("a listing of the locks shows that it is gone, and the prune still waits")
	}
	if got := turn(false, start.Add(30*time.Minute)); got.Grant == nil {
		t.Error("half an hour after its lease the prune still waits; restic's own lock would keep them apart")
	}
}

// TestAJobWhoseHostIsAwayLetsOthersPass.
func TestAJobWhoseHostIsAwayLetsOthersPass(t *testing.T) {
	start := fleet.At(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	away := fleet.Job{ID: "a", Operation: "check", State: fleet.Waiting, Held: true, CreatedAt: start}
	here := fleet.Job{ID: "b", Operation: "prune", State: fleet.Waiting, Held: true, CreatedAt: start.Add(time.Second)}
	got := fleet.TakeTurns(&fleet.Repository{}, []fleet.Holder{
		{Job: &away, Host: "laptop", Exclusive: true}, {Job: &here, Host: "nas", Online: true, Exclusive: true},
	}, fleet.LongestHold, start.Add(time.Minute))
	if got.Grant == nil || got.Grant.Job.ID != "b" || !strings.Contains(got.Waits["a"], "laptop, which is offline") {
		t.Errorf("granted %v; the other waits for %q", got.Grant, got.Waits["a"])
	}
	if got.HoldUntil.IsZero() {
		t.Error("backups are not held back while it runs")
	}
}

func TestAJobThatNeverEndsHoldsBackupsBackForADayAtMost(t *testing.T) {
	start := fleet.At(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	runs := fleet.Job{ID: "a", Operation: "prune", State: fleet.Running, CreatedAt: start}
	r := fleet.Repository{HoldJob: "a", HoldSince: start}
	turn := func(at fleet.Time) fleet.Turn {
		got := fleet.TakeTurns(&r, []fleet.Holder{{Job: &runs, Host: "nas", Online: true, Exclusive: true}}, 24*time.Hour, at)
		r.HoldSince, r.HoldUntil = got.Since, got.HoldUntil
		return got
	}
	for hour := range 24 {
		if got := turn(start.Add(time.Duration(hour) * time.Hour)); got.HoldUntil != start.Add(24*time.Hour) || got.Overlong {
			t.Fatalf("after %d hours backups are held back until %s", hour, got.HoldUntil.Time())
		}
	}
	for hour := 24; hour < 100; hour += 13 {
		if got := turn(start.Add(time.Duration(hour) * time.Hour)); got.HoldUntil != 0 || !got.Overlong || got.Next == nil || got.Since != start {
			t.Errorf("after %d hours: %+v", hour, got)
		}
	}
	r.HoldSince = start.Add(1000 * time.Hour) // the clock was set back
	if got := turn(start.Add(time.Hour)); got.HoldUntil != start.Add(25*time.Hour) {
		t.Errorf("with a clock that was set back they are held back until %s", got.HoldUntil.Time())
	}
}
