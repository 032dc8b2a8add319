package slot

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func window(t rapid.TB, days []string, from, to string) Window {
	t.Helper()
	w, err := ParseWindow(days, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindowsOpenByTheClockOnTheWall(t *testing.T) {
	tests := []struct {
		name, zone string
		days       []string
		from, to   string
		at, want   string // on the wall, with the offset
	}{
		{"inside", "Europe/Berlin", nil, "22:00", "06:00", "2026-01-10 23:00 +0100", "2026-01-10 23:00 +0100"},
		{"inside, after midnight", "Europe/Berlin", nil, "22:00", "06:00", "2026-01-10 05:59 +0100", "2026-01-10 05:59 +0100"},
		{"its end is outside", "Europe/Berlin", nil, "22:00", "06:00", "2026-01-10 06:00 +0100", "2026-01-10 22:00 +0100"},
		{"its beginning is inside", "Europe/Berlin", nil, "22:00", "23:00", "2026-01-10 22:00 +0100", "2026-01-10 22:00 +0100"},
		{"a whole day", "Europe/Berlin", nil, "12:00", "12:00", "2026-01-10 11:59 +0100", "2026-01-10 11:59 +0100"},
		{"the night belongs to the day it begins on", "UTC", []string{"fri"}, "22:00", "06:00", "2026-01-10 05:00 +0000", "2026-01-10 05:00 +0000"},
		{"and not to the next", "UTC", []string{"fri"}, "22:00", "06:00", "2026-01-10 23:00 +0000", "2026-01-16 22:00 +0000"},
		{"one day of the week", "UTC", []string{"sun"}, "01:00", "02:00", "2026-01-11 02:00 +0000", "2026-01-18 01:00 +0000"},
		{"Berlin forward: opens when the gap ends", "Europe/Berlin", nil, "02:30", "04:00", "2026-03-29 01:00 +0100", "2026-03-29 03:00 +0200"},
		{"Berlin forward: a window inside the gap waits a day", "Europe/Berlin", nil, "02:15", "02:45", "2026-03-29 01:00 +0100", "2026-03-30 02:15 +0200"},
		{"Berlin back: opens a second time", "Europe/Berlin", nil, "02:15", "02:45", "2026-10-25 02:50 +0200", "2026-10-25 02:15 +0100"},
		{"Berlin back: is in it the second time", "Europe/Berlin", nil, "02:15", "02:45", "2026-10-25 02:30 +0100", "2026-10-25 02:30 +0100"},
		{"Berlin back: the clock goes back into it", "Europe/Berlin", nil, "01:30", "02:30", "2026-10-25 02:40 +0200", "2026-10-25 02:00 +0100"},
		{"half an hour back on Lord Howe", "Australia/Lord_Howe", nil, "01:30", "01:45", "2026-04-05 01:50 +1100", "2026-04-05 01:30 +1030"},
		{"a day that Samoa left out", "Pacific/Apia", []string{"fri"}, "01:00", "02:00", "2011-12-29 12:00 -1000", "2012-01-06 01:00 +1400"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			zone, err := time.LoadLocation(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			const layout = "2006-01-02 15:04 -0700"
			at, err := time.Parse(layout, test.at)
			if err != nil {
				t.Fatal(err)
			}
			got := Opens([]Window{window(t, test.days, test.from, test.to)}, at.In(zone)).Format(layout)
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestWithoutWindowsItIsAlwaysOpen(t *testing.T) {
	at := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	if got := Opens(nil, at); !got.Equal(at) {
		t.Errorf("got %s", got)
	}
}

func TestWindowsThatCannotBeRead(t *testing.T) {
	for _, test := range []struct {
		days     []string
		from, to string
	}{{nil, "24:00", "06:00"}, {nil, "22:00", ""}, {nil, "2:00", "06:00"}, {nil, "22:00", "06:60"}, {[]string{"funday"}, "22:00", "06:00"}} {
		if _, err := ParseWindow(test.days, test.from, test.to); err == nil {
			t.Errorf("%q %q %q was read", test.days, test.from, test.to)
		}
	}
}

// TestWindowsAgreeWithEachMinute compares Opens with a walk by the minute around
// changes of the clock.
func TestWindowsAgreeWithEachMinute(t *testing.T) {
	starts := map[string]string{
		"Europe/Berlin": "2026-03-28T12:00:00Z", "Australia/Lord_Howe": "2026-04-04T06:00:00Z",
		"America/St_Johns": "2006-10-28T18:00:00Z", "Asia/Beirut": "2026-10-24T12:00:00Z", "Pacific/Apia": "2011-12-29T12:00:00Z",
	}
	clocks := []string{"00:00", "00:30", "01:15", "02:00", "02:30", "03:00", "14:00", "23:45"}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Beirut", "Pacific/Apia"}).Draw(t, "zone")
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.Parse(time.RFC3339, starts[name])
		if err != nil {
			t.Fatal(err)
		}
		windows := []Window{
			window(t, nil, rapid.SampledFrom(clocks).Draw(t, "from"), rapid.SampledFrom(clocks).Draw(t, "to")),
			window(t, []string{"sat", "sun"}, rapid.SampledFrom(clocks).Draw(t, "from2"), rapid.SampledFrom(clocks).Draw(t, "to2")),
		}
		at := from.Add(time.Duration(rapid.IntRange(0, 36*60).Draw(t, "minute")) * time.Minute).In(zone)
		want := at
		for !windows[0].Holds(want) && !windows[1].Holds(want) {
			want = want.Add(time.Minute)
		}
		if got := Opens(windows, at); !got.Equal(want) {
			t.Errorf("after %s it opens at %s, want %s", at, got, want)
		}
	})
}

func TestTheLatestSlotIsFoundHoweverManyLieBefore(t *testing.T) {
	day := func(text string) time.Time {
		t.Helper()
		at, err := time.Parse("2006-01-02 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	tests := []struct{ cron, zone, after, until, want string }{
		{"* * * * *", "UTC", "2016-01-01 00:00:00", "2026-01-01 00:00:30", "2026-01-01 00:00:00"},
		{"0 * * * *", "UTC", "2026-01-01 00:00:00", "2026-01-03 00:00:00", "2026-01-03 00:00:00"},
		{"0 * * * *", "UTC", "2026-01-01 00:00:00", "2026-01-01 00:59:59", ""},
		{"0 * * * *", "UTC", "2026-01-01 00:00:00", "2026-01-01 00:00:00", ""},
		{"0 * * * *", "UTC", "2026-01-01 02:00:00", "2026-01-01 01:00:00", ""},
		{"0 0 29 2 *", "UTC", "2021-01-01 00:00:00", "2027-12-31 00:00:00", "2024-02-29 00:00:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-01 00:00:00", "2026-03-29 01:00:00", "2026-03-29 01:00:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-01 00:00:00", "2026-10-25 23:00:00", "2026-10-25 00:30:00"},
		{"* * 1 1 *", "UTC", "2020-01-01 00:00:00", "2026-12-31 00:00:00", "2026-01-01 23:59:00"},
	}
	for _, test := range tests {
		s := parse(t, test.cron, test.zone)
		got, ok := s.Latest(day(test.after), day(test.until))
		if ok != (test.want != "") || ok && !got.Equal(day(test.want)) {
			t.Errorf("%s in %s after %s until %s: got %s, %v, want %q", test.cron, test.zone, test.after, test.until, got, ok, test.want)
		}
	}
}

// TestTheLatestSlotIsTheLastOfAll compares Latest with a walk over all slots.
func TestTheLatestSlotIsTheLastOfAll(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana"}
	rapid.Check(t, func(t *rapid.T) {
		s := parse(t, rapid.SampledFrom([]string{"* * * * *", "*/15 * * * *", "30 2 * * *", "0 0-22 * * *", "7 4 1 * *", "0 12 * * mon"}).Draw(t, "cron"),
			rapid.SampledFrom(zones).Draw(t, "zone"))
		after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*3600).Draw(t, "after")) * time.Second)
		until := after.Add(time.Duration(rapid.IntRange(0, 3*24*3600).Draw(t, "until")) * time.Second)
		var want time.Time
		for at, ok := s.Next(after); ok && !at.After(until); at, ok = s.Next(at) {
			want = at
		}
		got, ok := s.Latest(after, until)
		if ok != !want.IsZero() || !got.Equal(want) {
			t.Errorf("between %s and %s: got %s, %v, want %s", after, until, got, ok, want)
		}
	})
}
