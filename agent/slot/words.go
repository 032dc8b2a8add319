package slot

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Words says in plain words when a schedule fires by the clock of its zone, such as
// "every day at 02:00" or "every 15 minutes". What has no short form is told column
// by column. It changes no meaning and may be shown beside the cron text.
func (s Schedule) Words() string {
	when := s.timesInWords()
	days := s.daysInWords()
	switch {
	case days == "" && strings.HasPrefix(when, "at "):
		return "every day " + when
	case days == "":
		return when
	case strings.HasPrefix(when, "at "):
		return days + " " + when
	}
	return when + ", " + days
}

// timesInWords tells hours and minutes.
func (s Schedule) timesInWords() string {
	minutes, hours := bits(s.spec.Minute, 0, 59), bits(s.spec.Hour, 0, 23)
	step, even := everyStep(minutes, 60)
	switch {
	case len(hours) == 24 && even && step == 1:
		return "every minute"
	case len(hours) == 24 && even && minutes[0] == 0 && step < 60:
		return fmt.Sprintf("every %d minutes", step)
	case len(hours) == 24 && len(minutes) == 1 && minutes[0] == 0:
		return "every hour"
	case len(hours) == 24:
		return "every hour at minute " + list(numbers(minutes))
	case len(hours)*len(minutes) <= 6:
		return "at " + list(clocks(hours, minutes))
	}
	if hourStep, evenHours := everyStep(hours, 24); evenHours && len(minutes) == 1 {
		return fmt.Sprintf("every %d hours from %s on", hourStep, clock(hours[0], minutes[0]))
	}
	return minutesOf(minutes, step, even) + hoursOf(hours)
}

func minutesOf(minutes []int, step int, even bool) string {
	switch {
	case even && step == 1:
		return "every minute"
	case even && minutes[0] == 0 && step < 60:
		return fmt.Sprintf("every %d minutes", step)
	case len(minutes) == 1 && minutes[0] == 0:
		return "every hour"
	}
	return "minute " + list(numbers(minutes)) + " of every hour"
}

// hoursOf tells between which clock times the hours lie, or lists them.
func hoursOf(hours []int) string {
	if last := hours[len(hours)-1]; inARow(hours) {
		return fmt.Sprintf(" from %s to %s", clock(hours[0], 0), clock(last, 59))
	}
	return " in the hours " + list(numbers(hours))
}

// daysInWords tells on which days; empty for all of them.
func (s Schedule) daysInWords() string {
	months := bits(s.spec.Month, 1, 12)
	dom, dow := bits(s.spec.Dom, 1, 31), bits(s.spec.Dow, 0, 6)
	allDom, allDow := len(dom) == 31, len(dow) == 7
	bothGiven := s.spec.Dom&starBit == 0 && s.spec.Dow&starBit == 0
	var days string
	switch {
	case bothGiven && (allDom || allDow): // either of them is enough, and one always holds
	case bothGiven:
		days = "on " + ofMonth(dom) + " and on " + weekdaysOf(dow)
	case !allDow:
		days = weekdaysOf(dow)
	case !allDom && len(months) < 12 && len(dom)*len(months) <= 3:
		return "every year on " + list(dates(dom, months))
	case !allDom:
		days = "on " + ofMonth(dom)
	}
	if len(months) == 12 {
		return days
	}
	if days == "" {
		days = "every day"
	}
	return days + " in " + list(monthNames(months))
}

func ofMonth(dom []int) string {
	var names []string
	for _, d := range dom {
		names = append(names, ordinal(d))
	}
	if len(names) > 6 {
		return "the days " + list(numbers(dom)) + " of the month"
	}
	return "the " + list(names) + " of the month"
}

// weekdaysOf names days of the week, Monday first; "on Mondays" reads as "Mondays".
func weekdaysOf(dow []int) string {
	sorted := slices.Clone(dow)
	slices.SortFunc(sorted, func(a, b int) int { return (a+6)%7 - (b+6)%7 })
	switch {
	case slices.Equal(sorted, []int{1, 2, 3, 4, 5}):
		return "Mondays to Fridays"
	case slices.Equal(sorted, []int{6, 0}):
		return "Saturdays and Sundays"
	}
	var names []string
	for _, d := range sorted {
		names = append(names, time.Weekday(d).String()+"s")
	}
	return list(names)
}

func dates(dom, months []int) []string {
	var names []string
	for _, m := range months {
		for _, d := range dom {
			names = append(names, fmt.Sprintf("%d %s", d, time.Month(m)))
		}
	}
	return names
}

func monthNames(months []int) []string {
	var names []string
	for _, m := range months {
		names = append(names, time.Month(m).String())
	}
	return names
}

func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

func clock(hour, minute int) string { return fmt.Sprintf("%02d:%02d", hour, minute) }

func clocks(hours, minutes []int) []string {
	var times []string
	for _, h := range hours {
		for _, m := range minutes {
			times = append(times, clock(h, m))
		}
	}
	return times
}

func numbers(values []int) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return texts
}

// list joins as a sentence does: "a, b and c".
func list(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}

// bits gives the numbers that a column of the cron text names.
func bits(column uint64, from, to int) []int {
	var set []int
	for i := from; i <= to; i++ {
		if column&(1<<uint(i)) != 0 {
			set = append(set, i)
		}
	}
	return set
}

// everyStep reports whether the numbers are the same step apart all the way round.
func everyStep(set []int, round int) (step int, even bool) {
	step = round / len(set)
	for i := range set {
		next := set[(i+1)%len(set)]
		if (next-set[i]+round)%round != step%round {
			return step, false
		}
	}
	return step, round%len(set) == 0
}

func inARow(set []int) bool { return len(set) > 1 && set[len(set)-1]-set[0] == len(set)-1 }
