package retention

import (
	"fmt"
	"time"
)

// bucket is an hour, day, week, month or year.
type bucket struct {
	unit   string
	number int64
}

func dayNumber(t time.Time) int64 {
	year, month, day := t.Date()
	return int64(year)*10_000 + int64(month)*100 + int64(day)
}

// hourOf has an hour that is there twice, when clocks are set back, as two.
func hourOf(t time.Time) bucket { return bucket{"hour", t.Unix() / 3600} }

func dayOf(t time.Time) bucket { return bucket{"day", dayNumber(t)} }

func weekOf(t time.Time) bucket {
	year, week := t.ISOWeek()
	return bucket{"week", int64(year)*100 + int64(week)}
}

func monthOf(t time.Time) bucket { return bucket{"month", dayNumber(t) / 100} }

func yearOf(t time.Time) bucket { return bucket{"year", int64(t.Year())} }

// String is "day 2026-11-22" or "week 2026-W47".
func (b bucket) String() string {
	text := ""
	switch b.unit {
	case "hour":
		text = time.Unix(b.number*3600, 0).UTC().Format("2006-01-02 15:00 UTC")
	case "day":
		text = fmt.Sprintf("%04d-%02d-%02d", b.number/10_000, b.number/100%100, b.number%100)
	case "week":
		text = fmt.Sprintf("%04d-W%02d", b.number/100, b.number%100)
	case "month":
		text = fmt.Sprintf("%04d-%02d", b.number/100, b.number%100)
	case "year":
		text = fmt.Sprint(b.number)
	}
	return b.unit + " " + text
}
