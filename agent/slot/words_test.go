package slot

import (
	"testing"
	"time"
)

func TestACronTextIsToldInPlainWords(t *testing.T) {
	for cron, want := range map[string]string{
		"* * * * *":             "every minute",
		"*/15 * * * *":          "every 15 minutes",
		"*/7 * * * *":           "every hour at minute 0, 7, 14, 21, 28, 35, 42, 49 and 56",
		"0 * * * *":             "every hour",
		"5 * * * *":             "every hour at minute 5",
		"5,35 * * * *":          "every hour at minute 5 and 35",
		"0 2 * * *":             "every day at 02:00",
		"30 2,14 * * *":         "every day at 02:30 and 14:30",
		"0 */2 * * *":           "every 2 hours from 00:00 on",
		"15 */6 * * *":          "every day at 00:15, 06:15, 12:15 and 18:15",
		"30 22 * * 1,4":         "Mondays and Thursdays at 22:30",
		"30 22 * * mon-fri":     "Mondays to Fridays at 22:30",
		"0 3 * * 0":             "Sundays at 03:00",
		"0 3 * * 0,6":           "Saturdays and Sundays at 03:00",
		"*/10 8-17 * * 1-5":     "every 10 minutes from 08:00 to 17:59, Mondays to Fridays",
		"* 8-17 * * *":          "every minute from 08:00 to 17:59",
		"0 8-17 * * *":          "every hour from 08:00 to 17:59",
		"5,20 0,1,2,7 * * *":    "minute 5 and 20 of every hour in the hours 0, 1, 2 and 7",
		"0 4 1 * *":             "on the 1st of the month at 04:00",
		"0 4 2,3,11,22 * *":     "on the 2nd, 3rd, 11th and 22nd of the month at 04:00",
		"0 4 1-10 * *":          "on the days 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 of the month at 04:00",
		"0 4 29 2 *":            "every year on 29 February at 04:00",
		"0 4 1 1,7 *":           "every year on 1 January and 1 July at 04:00",
		"0 4 * 6-8 *":           "every day in June, July and August at 04:00",
		"0 4 * 12 1":            "Mondays in December at 04:00",
		"0 4 13 * 5":            "on the 13th of the month and on Fridays at 04:00",
		"0 4 */31 * 5":          "on the 1st of the month and on Fridays at 04:00",
		"0 4 1-31 * 5":          "every day at 04:00",
		"0 0 1 1 *":             "every year on 1 January at 00:00",
		"0,30 8,12,16,18 * * *": "every 30 minutes in the hours 8, 12, 16 and 18",
	} {
		s, err := Parse(cron, "UTC")
		if err != nil {
			t.Errorf("%s: %v", cron, err)
			continue
		}
		if got := s.Words(); got != want {
			t.Errorf("%s: got %q, want %q", cron, got, want)
		}
	}
}

func TestTheLongestGapIsFoundWithoutWalkingAllSlots(t *testing.T) {
	const day = 24 * time.Hour
	for cron, want := range map[string]time.Duration{
		"* * * * *":        time.Minute,
		"*/15 * * * *":     15 * time.Minute,
		"0 * * * *":        time.Hour,
		"0 2 * * *":        day,
		"0 2,14 * * *":     12 * time.Hour,
		"0 2,20 * * *":     18 * time.Hour,
		"30 22 * * 1,4":    4 * day,
		"*/5 9-16 * * 1-5": 2*day + 16*time.Hour + 5*time.Minute,
		"0 4 1 * *":        31 * day,
		"0 4 31 * *":       61 * day,
		"0 4 1 1 *":        366 * day,
		"0 4 29 2 *":       (4*365 + 1) * day,
		"0 4 13 * 5":       7 * day,
	} {
		s, err := Parse(cron, "Europe/Berlin")
		if err != nil {
			t.Errorf("%s: %v", cron, err)
			continue
		}
		if got := s.LongestGap(); got != want {
			t.Errorf("%s: got %s, want %s", cron, got, want)
		}
	}
}

// The days that LongestGap walks must be the ones on which the schedule fires.
func TestTheDaysOfAGapAreThoseOfTheSlots(t *testing.T) {
	for _, cron := range []string{"0 4 * * *", "0 4 13 * 5", "0 4 */2 * 1", "0 4 31 * *", "0 4 * 2 0", "0 4 1-31 * 5", "0 4 29 2 *"} {
		s, err := Parse(cron, "UTC")
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for day := at; day.Year() < 2029; day = day.AddDate(0, 0, 1) {
			next, ok := s.Next(day.Add(-time.Second))
			fires := ok && next.Before(day.AddDate(0, 0, 1))
			if s.onDay(day) != fires {
				t.Fatalf("%s on %s: got %t, want %t", cron, day.Format(time.DateOnly), s.onDay(day), fires)
			}
		}
	}
}
