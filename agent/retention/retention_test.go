package retention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	floors  = Floors{KeepDays: 1, KeepLast: 1, MaxDeleteFraction: 1}
	nightly = Schedule{ID: "nightly", Host: "web-1", Rules: Rules{Daily: 3}}
)

const day = 24 * time.Hour

// taken is a good snapshot of the nightly schedule, seen so long before noon.
func taken(id string, ago time.Duration) Snapshot {
	return Snapshot{
		ID: id, Claimed: noon.Add(-ago - time.Minute), Ended: noon.Add(-ago), FirstSeen: noon.Add(-ago),
		Host: "web-1", Schedule: "nightly", Size: 1000,
	}
}

// daily is a history of n days, the oldest first: "d30" … "d1".
func daily(n int) []Snapshot {
	var list []Snapshot
	for ago := n; ago > 0; ago-- {
		list = append(list, taken(fmt.Sprintf("d%d", ago), time.Duration(ago)*day))
	}
	return list
}

func (p Plan) of(id string) Decision {
	i := slices.IndexFunc(p.Decisions, func(d Decision) bool { return d.ID == id })
	if i < 0 {
		return Decision{}
	}
	return p.Decisions[i]
}

func TestEachRuleKeepsTheNewestOfSoManyBuckets(t *testing.T) {
	hourly := Schedule{ID: "nightly", Host: "web-1"}
	var history []Snapshot
	for i := range 24 * 40 {
		history = append(history, taken(fmt.Sprintf("h%d", i), time.Duration(i)*time.Hour))
	}
	for name, test := range map[string]struct {
		rules Rules
		keep  []string
	}{
		"last":    {Rules{Last: 3}, []string{"h2", "h1", "h0"}},
		"hourly":  {Rules{Hourly: 3}, []string{"h2", "h1", "h0"}},
		"daily":   {Rules{Daily: 3}, []string{"h37", "h13", "h0"}},       // the 20th and 21st at 23:00
		"weekly":  {Rules{Weekly: 2}, []string{"h157", "h0"}},            // noon is a Sunday's
		"monthly": {Rules{Monthly: 2}, []string{"h517", "h0"}},           // the last of October
		"yearly":  {Rules{Yearly: 2}, []string{"h0"}},                    // there is one year
		"within":  {Rules{WithinDays: 1}, ids(history[:24], "backward")}, // of its newest
		"several": {Rules{Last: 1, Daily: 2, Monthly: 2}, []string{"h517", "h13", "h0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := hourly
			s.Rules = test.rules
			plan := Make(history, []Schedule{s}, Floors{KeepDays: 1, KeepLast: 1, MaxDeleteFraction: 1}, 0, noon.AddDate(1, 0, 0))
			// The floors would keep the day before the newest: leave them out of what is compared.
			var kept []string
			for _, d := range plan.Decisions {
				if d.Verdict == Keep && !strings.Contains(strings.Join(d.Reasons, " "), "this host's policy") {
					kept = append(kept, d.ID)
				}
			}
			if diff := cmp.Diff(test.keep, kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
}

func ids(list []Snapshot, order string) []string {
	var all []string
	for _, s := range list {
		all = append(all, s.ID)
	}
	if order == "backward" {
		slices.Reverse(all)
	}
	return all
}

func TestDaysBeginInTheSchedulesZone(t *testing.T) {
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	// 10:30 and 11:30 UTC are before and after midnight there.
	history := []Snapshot{taken("today", 10*day+30*time.Minute), taken("yesterday", 10*day+90*time.Minute), taken("newest", 5*day)}
	for _, test := range []struct {
		zone *time.Location
		want []string
	}{{nil, []string{"yesterday"}}, {auckland, nil}} {
		s := Schedule{ID: "nightly", Host: "web-1", Zone: test.zone, Rules: Rules{Daily: 3}}
		if diff := cmp.Diff(test.want, Make(history, []Schedule{s}, floors, 0, noon).IDs(Remove)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.zone, diff)
		}
	}
}

func TestAScheduleWithoutRulesKeepsEverything(t *testing.T) {
	plan := Make(daily(400), []Schedule{{ID: "nightly", Host: "web-1"}}, floors, 0, noon)
	if removed := plan.IDs(Remove); len(removed) > 0 {
		t.Errorf("removed %v", removed)
	}
}

func TestSnapshotsOfNoScheduleAreKept(t *testing.T) {
	old := taken("old", 4000*day)
	old.Schedule = ""
	plan := Make(append(daily(10), old), []Schedule{nightly}, floors, 0, noon)
	if d := plan.of("old"); d.Verdict != Keep || d.Reasons[0] != "of no schedule" {
		t.Errorf("got %+v", d)
	}
}

// TestShadowSnapshotsTakeNoPlace has what an attacker adds to thirty good days: with
// restic's own rules each of these costs good snapshots.
func TestShadowSnapshotsTakeNoPlace(t *testing.T) {
	good := daily(30)
	before := Make(good, []Schedule{nightly}, floors, 0, noon).IDs(Keep)
	shadow := func(id string, change func(*Snapshot)) Snapshot {
		s := taken(id, time.Hour)
		change(&s)
		return s
	}
	var future, lastMinutes, crowd []Snapshot
	for i := range 3 {
		future = append(future, shadow(fmt.Sprint("f", i), func(s *Snapshot) {
			s.Claimed, s.Ended = time.Date(2099, 1, 1+i, 0, 0, 0, 0, time.UTC), time.Time{}
		}))
	}
	for i := range 30 {
		lastMinutes = append(lastMinutes, shadow(fmt.Sprint("m", i), func(s *Snapshot) {
			s.Claimed = noon.AddDate(0, 0, -i).Truncate(day).Add(23*time.Hour + 59*time.Minute - day)
			s.Ended = s.Claimed
		}))
	}
	for i := range PerDay + 1 {
		crowd = append(crowd, taken(fmt.Sprint("c", i), 2*time.Hour+time.Duration(i)*time.Second))
	}
	for name, added := range map[string][]Snapshot{
		"of the future":               future,
		"a minute to midnight":        lastMinutes,
		"a crowd":                     crowd,
		"of another host":             {shadow("x", func(s *Snapshot) { s.Host = "web-2" })},
		"of an unknown schedule":      {shadow("x", func(s *Snapshot) { s.Schedule = "weekly" })},
		"that cannot be read":         {shadow("x", func(s *Snapshot) { s.Unread = true })},
		"that claim a year of backup": {shadow("x", func(s *Snapshot) { s.Claimed = s.Claimed.AddDate(-1, 0, 0) })},
		"that nobody has seen":        {shadow("x", func(s *Snapshot) { s.FirstSeen = time.Time{} })},
		"that are all but empty":      {shadow("x", func(s *Snapshot) { s.Size = 10 })},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Make(slices.Concat(good, added), []Schedule{nightly}, floors, 0, noon)
			for _, id := range before {
				if v := plan.of(id).Verdict; v != Keep && v != Suspect {
					t.Errorf("%s was kept, and is now to go (%s)", id, v)
				}
			}
			for _, s := range added {
				if d := plan.of(s.ID); d.Verdict != Suspect || len(d.Reasons) != 1 || name == "of an unknown schedule" && !strings.Contains(d.Reasons[0], "nobody here knows") {
					t.Errorf("%s is no suspect: %s %v", s.ID, d.Verdict, d.Reasons)
				}
			}
		})
	}
}

// TestWhatNobodyConfirmsTakesNoPlace has another host of the repository make what the
// schedule's own could have made, each day an hour after the good one.
func TestWhatNobodyConfirmsTakesNoPlace(t *testing.T) {
	good := daily(30)
	before := Make(good, []Schedule{nightly}, floors, 0, noon).IDs(Keep)
	all := slices.Clone(good)
	for i, s := range good {
		s.ID = fmt.Sprint("forged", i)
		s.Claimed, s.Ended, s.FirstSeen = s.Claimed.Add(time.Hour), s.Ended.Add(time.Hour), s.FirstSeen.Add(time.Hour)
		s.Doubted = true
		all = append(all, s)
	}
	plan := Make(all, []Schedule{nightly}, floors, 0, noon)
	for _, d := range plan.Decisions {
		if d.Doubted && d.Verdict != Suspect {
			t.Errorf("%s is no suspect: %s %v", d.ID, d.Verdict, d.Reasons)
		}
	}
	if diff := cmp.Diff(before, plan.IDs(Keep)); diff != "" {
		t.Errorf("kept without (-) and with what was forged (+):\n%s", diff)
	}
}

func TestALongBackupIsNoSuspect(t *testing.T) {
	s := taken("long", time.Hour)
	s.Claimed = s.FirstSeen.Add(-7 * day)
	if d := Make([]Snapshot{s}, []Schedule{nightly}, floors, 0, noon).of("long"); d.Verdict != Keep {
		t.Errorf("got %s %v", d.Verdict, d.Reasons)
	}
}

func TestAdoptedSnapshotsGoByWhatTheyClaim(t *testing.T) {
	old := taken("old", 100*day)
	old.Adopted = true
	old.FirstSeen = old.Claimed
	late := old
	late.ID, late.Claimed = "late", noon.AddDate(50, 0, 0)
	late.FirstSeen = late.Claimed
	plan := Make(append(daily(10), old, late), []Schedule{nightly}, floors, 0, noon)
	if v := plan.of("old").Verdict; v != Remove {
		t.Errorf("an old one is judged like any other: got %s", v)
	}
	if v := plan.of("late").Verdict; v != Suspect {
		t.Errorf("one of the future is adopted: got %s", v)
	}
}

// TestASizeThatFollowsACrowdIsNotJudged has a small snapshot that would pass for good once a
// crowd of small ones lies before it, and then take the place of the good one of its day.
func TestASizeThatFollowsACrowdIsNotJudged(t *testing.T) {
	good := daily(20)
	small := taken("small", 2*time.Hour)
	small.Size = 10
	good = append(good, taken("today", 3*time.Hour), small)
	if v := Make(good, []Schedule{nightly}, floors, 0, noon).of("small").Verdict; v != Suspect {
		t.Fatalf("without the crowd: %s", v)
	}
	var crowd []Snapshot
	for i := range PerDay + 1 {
		s := taken(fmt.Sprint("c", i), day+time.Duration(i)*time.Second)
		s.Size = 10
		crowd = append(crowd, s)
	}
	plan := Make(slices.Concat(good, crowd), []Schedule{nightly}, Floors{1, 1, 1}, 0, noon)
	if v := plan.of("small").Verdict; v != Suspect {
		t.Errorf("with the crowd: %s", v)
	}
}

func TestTheFloorKeepsDays(t *testing.T) {
	one := nightly
	one.Rules = Rules{Last: 1}
	plan := Make(daily(30), []Schedule{one}, Floors{KeepDays: 14, KeepLast: 1, MaxDeleteFraction: 1}, 0, noon)
	if n := len(plan.IDs(Keep)); n != 14 {
		t.Errorf("kept %d, want the newest and 13 within 14 days before it", n)
	}
}

func TestTheFloorKeepsTheLast(t *testing.T) {
	one := nightly
	one.Rules = Rules{Last: 1}
	plan := Make(daily(30), []Schedule{one}, Floors{KeepDays: 1, KeepLast: 5, MaxDeleteFraction: 1}, 0, noon)
	if diff := cmp.Diff([]string{"d5", "d4", "d3", "d2", "d1"}, plan.IDs(Keep)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// TestAClockThatJumpsAheadMakesNothingOld asks in a year without backups, and in a year
// that the machine only believes in.
func TestAClockThatJumpsAheadMakesNothingOld(t *testing.T) {
	one := nightly
	one.Rules = Rules{WithinDays: 10}
	plan := Make(daily(30), []Schedule{one}, Floors{KeepDays: 20, KeepLast: 1, MaxDeleteFraction: 1}, 0, noon.AddDate(70, 0, 0))
	if n := len(plan.IDs(Keep)); n != 20 {
		t.Errorf("kept %d, want 20", n)
	}
}

func TestARunRemovesTheOldestAndLeavesTheRest(t *testing.T) {
	one := nightly
	one.Rules = Rules{Last: 1}
	plan := Make(daily(10), []Schedule{one}, Floors{KeepDays: 1, KeepLast: 1, MaxDeleteFraction: 0.3}, 0, noon)
	if diff := cmp.Diff([]string{"d10", "d9", "d8"}, plan.IDs(Remove)); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if n := len(plan.IDs(Later)); n != 6 {
		t.Errorf("%d are left for later, want 6", n)
	}
}

func TestWithoutFloorsNothingIsRemoved(t *testing.T) {
	one := nightly
	one.Rules = Rules{Last: 1}
	for _, none := range []Floors{{}, {KeepDays: 1, KeepLast: 1, MaxDeleteFraction: 2}, {KeepDays: 0, KeepLast: 1, MaxDeleteFraction: 1}} {
		if removed := Make(daily(30), []Schedule{one}, none, 0, noon).IDs(Remove); len(removed) > 0 {
			t.Errorf("%+v: removed %v", none, removed)
		}
	}
}

func TestWhatAPersonChoosesIsHeldToTheFloors(t *testing.T) {
	shadow := taken("shadow", time.Hour)
	shadow.Claimed = shadow.Claimed.AddDate(1, 0, 0)
	old := taken("old", 50*day)
	old.Claimed = old.Claimed.AddDate(1, 0, 0)
	plan := Make(append(daily(30), shadow, old), []Schedule{nightly}, Floors{KeepDays: 14, KeepLast: 3, MaxDeleteFraction: 0.1}, 0, noon)
	refused := plan.Refused([]string{"d30", "old", "d29", "d28", "d3", "shadow", "nowhere"})
	for id, want := range map[string]string{
		"d30": "", "old": "", "d29": "", "d28": "at most 3 of 32", "d3": "keeps", "shadow": "keeps 14 days", "nowhere": "no such snapshot",
	} {
		if got := refused[id]; want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

// TestTheFloorsNeedNoSchedule has what a server could say to get past them, for a history
// that ended long ago: then only the count of the last stands between it and an end.
func TestTheFloorsNeedNoSchedule(t *testing.T) {
	host := Floors{KeepDays: 5, KeepLast: 3, MaxDeleteFraction: 1}
	plain := daily(30)
	for i := range plain {
		plain[i].Schedule, plain[i].Paths = "", []string{"/srv"}
	}
	later := noon.AddDate(1, 0, 0)
	hungry := Rules{Last: 1}
	for name, test := range map[string]struct {
		history   []Snapshot
		schedules []Schedule
	}{
		"no schedules":             {daily(30), nil},
		"others":                   {daily(30), []Schedule{{ID: "weekly", Host: "web-1", Rules: hungry}}},
		"another host":             {daily(30), []Schedule{{ID: "nightly", Host: "web-2", Rules: hungry}}},
		"rules that keep the last": {daily(30), []Schedule{{ID: "nightly", Host: "web-1", Rules: hungry}}},
		"what has no schedule":     {plain, []Schedule{{ID: "", Host: "web-1", Rules: hungry}}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Make(test.history, test.schedules, host, 0, later)
			refused := plan.Refused(ids(test.history, ""))
			for _, id := range []string{"d5", "d4", "d3", "d2", "d1"} {
				if !strings.Contains(refused[id], "policy keeps") {
					t.Errorf("%s may be chosen: %q", id, refused[id])
				}
				if v := plan.of(id).Verdict; v == Remove || v == Later {
					t.Errorf("%s is to go (%s)", id, v)
				}
			}
			if len(refused) != 5 {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

// TestEachSeriesHasItsFloors has snapshots of other paths and hosts, which make no others go.
func TestEachSeriesHasItsFloors(t *testing.T) {
	host := Floors{KeepDays: 1, KeepLast: 2, MaxDeleteFraction: 1}
	var history []Snapshot
	for _, of := range []struct{ host, path string }{{"a", "/etc"}, {"a", "/home"}, {"b", "/etc"}} {
		for ago := 5; ago > 0; ago-- {
			s := taken(fmt.Sprint(of.host, of.path, ago), time.Duration(ago)*day)
			s.Schedule, s.Host, s.Paths = "", of.host, []string{of.path}
			history = append(history, s)
		}
	}
	refused := Make(history, nil, host, 0, noon).Refused(ids(history, ""))
	var got []string
	for _, s := range history {
		if refused[s.ID] != "" {
			got = append(got, s.ID)
		}
	}
	want := []string{"a/etc2", "a/etc1", "a/home2", "a/home1", "b/etc2", "b/etc1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// TestADayRemovesNoMoreThanItsPartInHoweverManyRuns runs twenty times, and chooses between.
func TestADayRemovesNoMoreThanItsPartInHoweverManyRuns(t *testing.T) {
	one := nightly
	one.Rules = Rules{Last: 1}
	host := Floors{KeepDays: 1, KeepLast: 1, MaxDeleteFraction: 0.3}
	history, gone := daily(20), 0
	for range 20 {
		plan := Make(history, []Schedule{one}, host, gone, noon)
		for _, id := range plan.IDs(Remove) {
			history = slices.DeleteFunc(history, func(s Snapshot) bool { return s.ID == id })
			gone++
		}
	}
	if gone != 6 {
		t.Errorf("%d of 20 went in a day, want 6", gone)
	}
	plan := Make(history, []Schedule{one}, host, gone, noon)
	if refused := plan.Refused([]string{history[0].ID}); !strings.Contains(refused[history[0].ID], "6 went within the last day") {
		t.Errorf("refused %v", refused)
	}
	if d := plan.of(history[0].ID); d.Verdict != Later {
		t.Errorf("got %s %v", d.Verdict, d.Reasons)
	}
	if n := len(Make(history, []Schedule{one}, host, 0, noon).IDs(Remove)); n != 4 {
		t.Errorf("%d go on the next day, want 4", n)
	}
}

func TestRulesOutOfBoundsAreRefused(t *testing.T) {
	for _, r := range []Rules{{Last: -1}, {Yearly: 10_001}, {WithinDays: 36_501}} {
		if r.Validate() == nil {
			t.Errorf("%+v passes", r)
		}
	}
	if err := (Rules{Daily: 7, WithinDays: 30}).Validate(); err != nil {
		t.Error(err)
	}
}
