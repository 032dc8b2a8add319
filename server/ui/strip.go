package ui

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// stripDays is how far back the strip of hosts and days goes; narrow windows show the
// last fourteen.
const stripDays, narrowDays = 21, 14

// strip is hosts by days, as a table with a shape in each cell.
type strip struct {
	Days  []stripDay
	Rows  []stripRow
	Note  string
	Pager web.Pager
}

type stripDay struct {
	Date          time.Time
	Older, Monday bool // not shown where there is little room; begins a week
	Today         bool
}

type stripRow struct {
	ID, Name string
	State    web.State
	Cells    []stripCell
}

type stripCell struct {
	Day   stripDay
	Tone  web.Tone
	Glyph string // in icons.svg without "d-"
	Word  string
	Href  string // the jobs of that day, of days that went wrong
}

// strip reads the days of hosts: of one where host is given, else of a page of them.
func (v *visit) strip(host string) (*strip, error) {
	q := url.Values{"days": {fmt.Sprint(stripDays)}, "page_size": {"30"}}
	if host != "" {
		q.Set("host_id", host)
	}
	if t := v.query("strip"); t != "" && host == "" {
		q.Set("page_token", t)
	}
	page, ok, err := part[api.HistoryPage](v, "/api/v1/history", q)
	if err != nil || !ok || len(page.Hosts) == 0 {
		return nil, err
	}
	s := &strip{Days: daysOf(page.To.Time)}
	for _, h := range page.Hosts {
		s.Rows = append(s.Rows, rowOfDays(h, s.Days))
	}
	if host == "" && (page.NextPageToken != "" || v.query("strip") != "") {
		s.Pager.Note = plural(len(s.Rows), "host", "hosts") + " by name"
		if v.query("strip") != "" {
			s.Pager.First = "/#strip"
		}
		if page.NextPageToken != "" {
			s.Pager.Next = "/?" + url.Values{"strip": {page.NextPageToken}}.Encode() + "#strip"
		}
	}
	return s, nil
}

func daysOf(last time.Time) (days []stripDay) {
	for i := stripDays - 1; i >= 0; i-- {
		d := last.AddDate(0, 0, -i)
		days = append(days, stripDay{Date: d, Older: i >= narrowDays, Monday: d.Weekday() == time.Monday && i != stripDays-1, Today: i == 0})
	}
	return days
}

func rowOfDays(h api.HistoryHost, days []stripDay) stripRow {
	known := map[string]api.HistoryDay{}
	for _, d := range h.Days {
		known[d.Day.Format(time.DateOnly)] = d
	}
	row := stripRow{ID: string(h.HostId), Name: h.HostName, State: protectionLook(h.Protection.State)}
	for _, day := range days {
		d, ok := known[day.Date.Format(time.DateOnly)]
		cell := stripCell{Day: day, Tone: web.Idle, Glyph: "none", Word: "nothing ran"}
		if ok {
			cell = cellOf(d, day)
			if cell.Tone == web.Risk || cell.Tone == web.Warn {
				cell.Href = "/jobs?" + url.Values{"host_id": {row.ID}, "from": {day.Date.Format(time.RFC3339)}, "to": {day.Date.AddDate(0, 0, 1).Format(time.RFC3339)}}.Encode()
			}
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

// cellOf tells a day by its worst, and counts in words.
func cellOf(d api.HistoryDay, day stripDay) stripCell {
	var words []string
	for _, w := range []struct {
		n    int
		word string
	}{{d.Failed, "failed"}, {d.Missed, "missed"}, {d.Warning, "with warnings"}, {d.Succeeded, "succeeded"}, {d.Skipped, "skipped"}, {d.Other, "cancelled"}} {
		if w.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", w.n, w.word))
		}
	}
	c := stripCell{Day: day, Word: strings.Join(words, ", ")}
	if c.Word == "" {
		c.Word = "nothing ran"
	}
	switch {
	case d.Worst == api.HistoryDayWorstBad && d.Failed == 0 && d.Missed > 0:
		c.Tone, c.Glyph = web.Risk, "missed"
	case d.Worst == api.HistoryDayWorstBad:
		c.Tone, c.Glyph = web.Risk, "fail"
	case d.Worst == api.HistoryDayWorstWarning:
		c.Tone, c.Glyph = web.Warn, "warn"
	case d.Worst == api.HistoryDayWorstGood:
		c.Tone, c.Glyph = web.OK, "ok"
	case d.Skipped+d.Other > 0:
		c.Tone, c.Glyph = web.Idle, "away"
	default:
		c.Tone, c.Glyph = web.Idle, "none"
	}
	return c
}

// legend reads an entry of the strip's legend: "risk:fail failed", or "ok good" where
// tone and shape have one name.
func legend(text string) web.State {
	key, word, _ := strings.Cut(text, " ")
	tone, glyph, ok := strings.Cut(key, ":")
	if !ok {
		glyph = tone
	}
	return web.State{Tone: web.Tone(tone), Glyph: glyph, Word: word}
}
