package slot

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func parse(t rapid.TB, cron, zone string) Schedule {
	t.Helper()
	s, err := Parse(cron, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// slots lists those after a time on the wall of the zone, with their offsets.
func slots(t *testing.T, cron, zone, after string, count int) []string {
	t.Helper()
	s := parse(t, cron, zone)
	at, err := time.ParseInLocation("2006-01-02 15:04", after, s.zone)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for range count {
		next, ok := s.Next(at)
		if !ok {
			return append(list, "none")
		}
		list = append(list, next.Format("01-02 15:04 -0700"))
		at = next
	}
	return list
}

func TestSlotsOverClockChanges(t *testing.T) {
	tests := []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"a plain night", "30 2 * * *", "Europe/Berlin", "2026-01-10 12:00",
			[]string{"01-11 02:30 +0100", "01-12 02:30 +0100"}},
		{"Berlin forward: fires when the gap ends", "30 2 * * *", "Europe/Berlin", "2026-03-28 12:00",
			[]string{"03-29 03:00 +0200", "03-30 02:30 +0200"}},
		{"Berlin back: fires the first time only", "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00",
			[]string{"10-25 02:30 +0200", "10-26 02:30 +0100"}},
		{"several slots in one gap are one", "0,20,40 2 * * *", "Europe/Berlin", "2026-03-29 00:00",
			[]string{"03-29 03:00 +0200", "03-30 02:00 +0200"}},
		{"a gap that ends on a slot", "30 2,3 * * *", "Europe/Berlin", "2026-03-29 00:00",
			[]string{"03-29 03:00 +0200", "03-29 03:30 +0200", "03-30 02:30 +0200"}},
		{"the hour before and the hour after the overlap", "0 1,2,3 * * *", "Europe/Berlin", "2026-10-25 00:00",
			[]string{"10-25 01:00 +0200", "10-25 02:00 +0200", "10-25 03:00 +0100", "10-26 01:00 +0100"}},
		{"each hour, forward", "30 * * * *", "Europe/Berlin", "2026-03-29 00:45",
			[]string{"03-29 01:30 +0100", "03-29 03:30 +0200"}},
		{"each hour, back", "30 * * * *", "Europe/Berlin", "2026-10-25 01:45",
			[]string{"10-25 02:30 +0200", "10-25 02:30 +0100", "10-25 03:30 +0100"}},
		{"each quarter, forward", "*/15 * * * *", "Europe/Berlin", "2026-03-29 01:40",
			[]string{"03-29 01:45 +0100", "03-29 03:00 +0200", "03-29 03:15 +0200"}},
		{"half an hour forward on Lord Howe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00",
			[]string{"10-04 02:30 +1100", "10-05 02:15 +1100"}},
		{"half an hour back on Lord Howe", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00",
			[]string{"04-05 01:45 +1100", "04-06 01:45 +1030"}},
		{"each half hour, back on Lord Howe", "*/30 * * * *", "Australia/Lord_Howe", "2026-04-05 01:10",
			[]string{"04-05 01:30 +1100", "04-05 01:30 +1030", "04-05 02:00 +1030"}},
		{"no midnight in Beirut", "0 0 * * *", "Asia/Beirut", "2026-03-28 12:00",
			[]string{"03-29 01:00 +0300", "03-30 00:00 +0300"}},
		{"no midnight in Sao Paulo, day of month", "0 0 4 11 *", "America/Sao_Paulo", "2018-11-01 00:00",
			[]string{"11-04 01:00 -0200", "11-04 00:00 -0300"}},
		{"two midnights in Havana", "30 0 * * *", "America/Havana", "2026-10-31 12:00",
			[]string{"11-01 00:30 -0400", "11-02 00:30 -0500"}},
		{"a day that Samoa left out", "0 12 * * *", "Pacific/Apia", "2011-12-29 00:00",
			[]string{"12-29 12:00 -1000", "12-31 00:00 +1400", "12-31 12:00 +1400"}},
		{"a gap that begins a minute after midnight in St. John's", "1 0 * * *", "America/St_Johns", "2006-04-01 12:00",
			[]string{"04-02 01:01 -0230", "04-03 00:01 -0230"}},
		{"half an hour beside the hour, back in St. John's", "30 23 * * *", "America/St_Johns", "2006-10-28 12:00",
			[]string{"10-28 23:30 -0230", "10-29 23:30 -0330"}},
		{"a quarter to the hour in Kathmandu", "45 23 * * *", "Asia/Kathmandu", "2026-06-01 00:00",
			[]string{"06-01 23:45 +0545", "06-02 23:45 +0545"}},
		{"two hours forward at Troll", "30 1,2 * * *", "Antarctica/Troll", "2026-03-28 12:00",
			[]string{"03-29 03:00 +0200", "03-30 01:30 +0200"}},
		{"a leap day in a leap year", "30 2 29 2 *", "Europe/Berlin", "2026-01-01 00:00",
			[]string{"02-29 02:30 +0100", "02-29 02:30 +0100"}},
		{"the day after 28 February", "0 1 * * *", "Europe/Berlin", "2028-02-28 12:00",
			[]string{"02-29 01:00 +0100", "03-01 01:00 +0100"}},
		{"a leap day", "0 0 29 2 *", "UTC", "2096-03-01 00:00", []string{"02-29 00:00 +0000"}},
		{"Sunday or the first, as cron has it", "0 0 1 * sun", "UTC", "2026-10-27 00:00",
			[]string{"11-01 00:00 +0000", "11-08 00:00 +0000"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := slots(t, test.cron, test.zone, test.after, len(test.want))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSlotsAgreeWithTheDefinition compares Next with the definition, applied to each
// minute around changes of the clock.
func TestSlotsAgreeWithTheDefinition(t *testing.T) {
	windows := []struct{ zone, from string }{
		{"Europe/Berlin", "2026-03-28T12:00:00Z"}, {"Europe/Berlin", "2026-10-24T12:00:00Z"},
		{"Australia/Lord_Howe", "2026-10-03T06:00:00Z"}, {"Australia/Lord_Howe", "2026-04-04T06:00:00Z"},
		{"Asia/Beirut", "2026-03-28T12:00:00Z"}, {"America/Havana", "2026-10-31T18:00:00Z"},
		{"America/St_Johns", "2006-10-28T18:00:00Z"}, {"Pacific/Apia", "2011-12-29T12:00:00Z"},
		{"UTC", "2026-02-28T12:00:00Z"},
	}
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(windows).Draw(t, "window")
		minute := rapid.SampledFrom([]string{"0", "30", "*/15", "7,59", "*"}).Draw(t, "minute")
		hour := rapid.SampledFrom([]string{"*", "0", "1", "2", "3", "0-23", "*/2", "1-3", "23", "0-22"}).Draw(t, "hour")
		day := rapid.SampledFrom([]string{"*", "29", "30,31", "1"}).Draw(t, "day")
		s := parse(t, minute+" "+hour+" "+day+" * *", w.zone)
		from, err := time.Parse(time.RFC3339, w.from)
		if err != nil {
			t.Fatal(err)
		}
		until := from.Add(36 * time.Hour)
		want := defined(s, from, until)
		var got []time.Time
		for at, ok := s.Next(from); ok && !at.After(until); at, ok = s.Next(at) {
			got = append(got, at)
		}
		if diff := cmp.Diff(texts(want), texts(got)); diff != "" {
			t.Errorf("%s in %s:\n%s", minute+" "+hour+" "+day, w.zone, diff)
		}
	})
}

// defined applies the rule of the package comment to each minute.
func defined(s Schedule, from, until time.Time) []time.Time {
	frequent := s.spec.Hour&everyHour == everyHour
	seen := map[time.Time]bool{} // walls, since a day before the window
	last := wallOf(from.Add(-24 * time.Hour).In(s.zone))
	var list []time.Time
	for at := from.Add(-24 * time.Hour); !at.After(until); at = at.Add(time.Minute) {
		wall := wallOf(at.In(s.zone))
		fires := s.matches(wall) && (frequent || !seen[wall])
		for jumped := last.Add(time.Minute); !frequent && jumped.Before(wall); jumped = jumped.Add(time.Minute) {
			fires = fires || s.matches(jumped)
		}
		seen[wall], last = true, wall
		if fires && at.After(from) {
			list = append(list, at)
		}
	}
	return list
}

func texts(list []time.Time) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.UTC().Format(time.RFC3339)
	}
	return out
}

func TestParseNamesTheColumnThatIsWrong(t *testing.T) {
	tests := []struct{ cron, zone, code, column string }{
		{"", "UTC", CodeCronRequired, ""},
		{" \t ", "UTC", CodeCronRequired, ""},
		{"* * * *", "UTC", CodeCronInvalid, ""},
		{"0 * * * * *", "UTC", CodeCronInvalid, ""},
		{"60 * * * *", "UTC", CodeCronInvalid, "minute"},
		{"-1 * * * *", "UTC", CodeCronInvalid, "minute"},
		{"1,,2 * * * *", "UTC", CodeCronInvalid, "minute"},
		{", * * * *", "UTC", CodeCronInvalid, "minute"},
		{"*-5 * * * *", "UTC", CodeCronInvalid, "minute"},
		{"*/0 * * * *", "UTC", CodeCronInvalid, "minute"},
		{"* 24 * * *", "UTC", CodeCronInvalid, "hour"},
		{"* 5-2 * * *", "UTC", CodeCronInvalid, "hour"},
		{"* * 0 * *", "UTC", CodeCronInvalid, "day of month"},
		{"* * L * *", "UTC", CodeCronInvalid, "day of month"},
		{"* * * 13 *", "UTC", CodeCronInvalid, "month"},
		{"* * * * 7", "UTC", CodeCronInvalid, "day of week"},
		{"* * * * <b>", "UTC", CodeCronInvalid, "day of week"},
		{"0 0 31 2 *", "UTC", CodeCronNever, "day of month"},
		{"0 0 31 4,6 *", "UTC", CodeCronNever, "day of month"},
		{"TZ=Europe/Berlin", "UTC", CodeCronInvalid, ""},
		{"CRON_TZ=", "UTC", CodeCronInvalid, ""},
		{"TZ=UTC * * * * *", "UTC", CodeCronInvalid, ""},
		{"@every -5s", "UTC", CodeCronInvalid, ""},
		{"@reboot", "UTC", CodeCronInvalid, ""},
		{"@daily", "UTC", CodeCronInvalid, ""},
		{strings.Repeat("*", 300) + " * * * *", "UTC", CodeCronInvalid, ""},
		{"* * * * *", "", CodeZoneRequired, ""},
		{"* * * * *", "Local", CodeZoneUnknown, ""},
		{"* * * * *", "Europe/Nowhere", CodeZoneUnknown, ""},
		{"* * * * *", "../../etc/passwd", CodeZoneUnknown, ""},
		{"* * * * *", "/etc/localtime", CodeZoneUnknown, ""},
	}
	for _, test := range tests {
		_, err := Parse(test.cron, test.zone)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q in %q: got %v, want an Error", test.cron, test.zone, err)
			continue
		}
		if e.Code != test.code || e.Column != test.column || e.Message == "" || e.Next == "" {
			t.Errorf("%q in %q: got %+v, want %s about column %q", test.cron, test.zone, e, test.code, test.column)
		}
	}
}

func TestTheSameSlotHasTheSameJob(t *testing.T) {
	schedule := uuid.MustParse("0198f1c2-7e9a-7c3e-9b1f-2f6d0a4b8c11")
	at := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	first := JobID(schedule, at)
	if again := JobID(schedule, at.In(time.FixedZone("", 7200))); again != first {
		t.Errorf("the zone changes the id: %s, %s", first, again)
	}
	if first.Version() != 5 {
		t.Errorf("got version %d", first.Version())
	}
	// Recorded: agents and servers of different releases must agree.
	if want := "d3671b66-fa15-567d-9d96-cc16bc97954d"; first.String() != want {
		t.Errorf("got %s, want %s", first, want)
	}
	if JobID(schedule, at.Add(time.Minute)) == first || JobID(uuid.New(), at) == first {
		t.Error("another slot or schedule has the same id")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"30 2 * * *", "TZ=", "CRON_TZ=UTC", "@every -5s", "0 0 31 2 *", "*/999999999999999999 * * * *",
		"1-59/18446744073709551615 * * * *", "jan * * * mon", "?,? * * * *", ", , , , ,"} {
		f.Add(seed, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, cron, zone string) {
		s, err := Parse(cron, zone)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" || e.Next == "" {
				t.Fatalf("got %v, want an Error with a code and a next step", err)
			}
			return
		}
		at := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
		for range 50 {
			next, ok := s.Next(at)
			if !ok || !next.After(at) {
				t.Fatalf("%q in %q: after %s comes %s, %v", cron, zone, at, next, ok)
			}
			at = next
		}
		latest, ok := s.Latest(at.AddDate(-20, 0, 0), at)
		if !ok || !latest.Equal(at) {
			t.Fatalf("%q in %q: %s is a slot, and the latest until then is %s, %v", cron, zone, at, latest, ok)
		}
	})
}
