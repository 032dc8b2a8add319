package web

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

const (
	nbsp     = "\u00a0"
	thinNbsp = "\u202f"
)

// Funcs are the functions of layouts and partials. now is the clock that relative
// times are told by.
func Funcs(assets *Assets, now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"asset":    assets.URL,
		"ago":      func(t time.Time) string { return Relative(t, now()) },
		"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"exact":    func(t time.Time) string { return t.UTC().Format("Mon 2 Jan 2006, 15:04:05 MST") },
		"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"moment":   func(t time.Time) string { return t.UTC().Format("Mon 2 Jan 15:04 MST") },
		"due":      func(t time.Time) string { return Due(t, now()) },
		"bytes":    Bytes,
		"count":    Count,
		"duration": Duration,
		"percent":  Percent,
		"literal":  regexp.QuoteMeta,
	}
}

// Bytes tells a size in binary units: "1.9 GiB", "412 MiB", "17 B".
func Bytes(n int64) string {
	if n < 0 {
		return "–" + Bytes(-max(n, -math.MaxInt64))
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + nbsp + "B"
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.5 {
		size, unit = size/1024, unit+1
	}
	decimals := 1
	if size >= 99.95 {
		decimals = 0
	}
	return strconv.FormatFloat(size, 'f', decimals, 64) + nbsp + "KMGTPE"[unit:unit+1] + "iB"
}

// Count groups a number's digits: "1 302 118".
func Count(n int64) string {
	return strings.ReplaceAll(humanize.Comma(n), ",", thinNbsp)
}

// Percent tells a share between 0 and 1: "62.4 %".
func Percent(share float64) string {
	return strconv.FormatFloat(100*share, 'f', 1, 64) + nbsp + "%"
}

// Duration tells how long something took in its two largest units: "29 min", "1 h 4 min".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "–" + Duration(-max(d, -math.MaxInt64))
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + nbsp + "s"
	case d < time.Minute:
		return units(d, "s", time.Second, "", 0)
	case d < 10*time.Minute:
		return units(d, "min", time.Minute, "s", time.Second)
	case d < time.Hour:
		return units(d, "min", time.Minute, "", 0)
	case d < 48*time.Hour:
		return units(d, "h", time.Hour, "min", time.Minute)
	}
	return units(d, "d", 24*time.Hour, "h", time.Hour)
}

func units(d time.Duration, large string, one time.Duration, small string, part time.Duration) string {
	text := strconv.FormatInt(int64(d/one), 10) + nbsp + large
	if part == 0 || d%one < part {
		return text
	}
	return text + " " + strconv.FormatInt(int64(d%one/part), 10) + nbsp + small
}

// Due tells when something is to begin, as Relative does; what has come and has not
// been told of yet is due now.
func Due(t, now time.Time) string {
	if t.Sub(now) < 5*time.Second {
		return "due now"
	}
	return Relative(t, now)
}

// Relative tells a time as seen from now: "2 min ago", "in 5 h", or its date when it
// is more than 60 days away. app.js keeps it fresh by the same steps.
func Relative(t, now time.Time) string {
	d := now.Sub(t)
	form := "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	switch {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf(form, units(d, "s", time.Second, "", 0))
	case d < time.Hour:
		return fmt.Sprintf(form, units(d, "min", time.Minute, "", 0))
	case d < 48*time.Hour:
		return fmt.Sprintf(form, units(d, "h", time.Hour, "", 0))
	case d < 60*24*time.Hour:
		return fmt.Sprintf(form, units(d, "d", 24*time.Hour, "", 0))
	}
	return t.UTC().Format("2 Jan 2006")
}
