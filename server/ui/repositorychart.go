package ui

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// sizeChart is what a repository took on each day, as a picture, in words, and as a
// table. The picture is drawn here, in the units of its view box.
type sizeChart struct {
	Known               bool // the contract could tell
	Line, Under, Ahead  string
	Top, Half           int64 // bytes at the top and in the middle
	From, To            time.Time
	Until               time.Time // where the dashes end; zero without
	Title, Told         string
	Days                []api.RepositoryDay // the newest first
	Spans               []web.Tab           // how far back
	Wide, High          int
	FirstBytes, LastOne int64
}

const (
	chartWide, chartHigh = 600, 120
	dayLong              = 24 * time.Hour
)

// chartSpans are how many days a chart can show.
var chartSpans = []struct {
	days  int
	label string
}{{30, "30 days"}, {90, "90 days"}, {400, "a year"}}

// sizes reads how a repository has grown and draws it.
func (v *visit) sizes(r api.Repository) (*sizeChart, error) {
	days := 90
	for _, s := range chartSpans {
		if v.query("days") == strconv.Itoa(s.days) {
			days = s.days
		}
	}
	list, ok, err := part[api.RepositorySizes](v, "/api/v1/repositories/"+string(r.Id)+"/sizes", url.Values{"days": {strconv.Itoa(days)}})
	if err != nil {
		return nil, err
	}
	c := drawSizes(list.Days, r.Health.GrowthBytesPerDay)
	c.Known = ok
	for _, s := range chartSpans {
		c.Spans = append(c.Spans, web.Tab{Label: s.label, Href: fmt.Sprintf("%s?days=%d#sizes", at(r, ""), s.days), Current: s.days == days})
	}
	return c, nil
}

// drawSizes draws days, oldest first; growth goes on as dashes for a quarter as long
// again.
func drawSizes(days []api.RepositoryDay, growth int64) *sizeChart {
	c := &sizeChart{Wide: chartWide, High: chartHigh}
	for i := range days {
		c.Days = append(c.Days, days[len(days)-1-i])
	}
	if len(days) < 2 {
		return c
	}
	first, last := days[0], days[len(days)-1]
	c.From, c.To = first.Day.Time, last.Day.Time
	c.FirstBytes, c.LastOne = first.StoredBytes, last.StoredBytes
	end, high := c.To, int64(1)
	for _, d := range days {
		high = max(high, d.StoredBytes)
	}
	ahead := last.StoredBytes
	if span := c.To.Sub(c.From) / 4; growth > 0 && span >= dayLong {
		end = c.To.Add(span)
		ahead += growth * int64(span/dayLong)
		high, c.Until = max(high, ahead), end
	}
	c.Top = roundUp(high)
	c.Half = c.Top / 2
	x := func(t time.Time) float64 { return chartWide * float64(t.Sub(c.From)) / float64(end.Sub(c.From)) }
	y := func(n int64) float64 { return chartHigh * (1 - float64(n)/float64(c.Top)) }
	var line strings.Builder
	for _, d := range days {
		fmt.Fprintf(&line, "%.1f,%.1f ", x(d.Day.Time), y(d.StoredBytes))
	}
	c.Line = strings.TrimSpace(line.String())
	c.Under = fmt.Sprintf("%s %.1f,%d 0,%d", c.Line, x(c.To), chartHigh, chartHigh)
	if !c.Until.IsZero() {
		c.Ahead = fmt.Sprintf("%.1f,%.1f %d,%.1f", x(c.To), y(last.StoredBytes), chartWide, y(ahead))
	}
	c.Title = "Stored size from " + c.From.Format("2 Jan 2006") + " to " + c.To.Format("2 Jan 2006")
	c.Told = fmt.Sprintf("It went from %s to %s.", web.Bytes(first.StoredBytes), web.Bytes(last.StoredBytes))
	if !c.Until.IsZero() {
		c.Told += fmt.Sprintf(" If it goes on like that it is %s on %s.", web.Bytes(ahead), end.Format("2 Jan 2006"))
	}
	return c
}

// roundUp gives the next size that reads well at an axis: 1, 2 or 5 of a unit, or ten or
// a hundred times that.
func roundUp(n int64) int64 {
	unit := int64(1)
	for n >= unit*1024 && unit < 1<<60 {
		unit *= 1024
	}
	for _, step := range []int64{1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800, 1024} {
		if step*unit >= n {
			return step * unit
		}
	}
	return n
}
