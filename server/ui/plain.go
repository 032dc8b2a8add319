package ui

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"restic-manager/server/api"
)

// What people type into forms in plain words, and how it is shown to them again.

var spanPart = regexp.MustCompile(`^(\d{1,9})\s*(seconds?|sec|s|minutes?|min|m|hours?|h|days?|d|weeks?|w)\s*`)

var spanUnits = map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}

// seconds reads a time span such as "90 s", "15 min", "1 h 30 min" or "2 days";
// nothing is 0.
func seconds(text string) (n int64, ok bool) {
	rest := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "\u00a0", " "))
	if rest == "0" {
		return 0, true
	}
	for rest != "" {
		m := spanPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, false
		}
		part, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return 0, false
		}
		if n += part * spanUnits[m[2][0]]; n > 1<<40 {
			return 0, false
		}
		rest = rest[len(m[0]):]
	}
	return n, true
}

// span tells seconds as seconds reads them: "1 h 30 min"; nothing for 0.
func span(n int64) string {
	var parts []string
	for _, u := range []struct {
		size int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}} {
		if n >= u.size {
			parts = append(parts, fmt.Sprintf("%d %s", n/u.size, u.name))
			n %= u.size
		}
	}
	return strings.Join(parts, " ")
}

var weekdays = []api.Weekday{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// days reads "mon-fri", "sat,sun" or a mix of both; a range may go round the end of
// the week.
func days(text string) (list []api.Weekday, ok bool) {
	for _, part := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, to := weekday(first), weekday(last)
		if !ranged {
			to = from
		}
		if from < 0 || to < 0 {
			return nil, false
		}
		for i := from; ; i = (i + 1) % 7 {
			if !slices.Contains(list, weekdays[i]) {
				list = append(list, weekdays[i])
			}
			if i == to {
				break
			}
		}
	}
	return list, true
}

func weekday(text string) int {
	if text = strings.TrimSpace(text); len(text) > 3 {
		text = text[:3]
	}
	return slices.Index(weekdays, api.Weekday(text))
}

// dayText tells days as days reads them, whole runs as ranges; nothing for all.
func dayText(list []api.Weekday) string {
	var parts []string
	for i := 0; i < 7; i++ {
		end := i
		for end < 7 && slices.Contains(list, weekdays[end]) {
			end++
		}
		switch {
		case end-i >= 3:
			parts = append(parts, string(weekdays[i])+"-"+string(weekdays[end-1]))
		case end > i:
			for _, d := range weekdays[i:end] {
				parts = append(parts, string(d))
			}
		}
		if end > i {
			i = end - 1
		}
	}
	return strings.Join(parts, ",")
}

var windowLine = regexp.MustCompile(`^(?:([a-z][a-z, -]*?)\s+)?(\d{1,2}:\d{2})\s*(?:-|–|to)\s*(\d{1,2}:\d{2})\s*(.*)$`)

// window reads "22:00-06:00" or "mon-fri 22:00-06:00" and what comes after.
func window(line string) (w api.Window, rest string, ok bool) {
	m := windowLine.FindStringSubmatch(strings.ToLower(strings.TrimSpace(line)))
	if m == nil {
		return w, "", false
	}
	if m[1] != "" {
		if w.Days, ok = days(m[1]); !ok {
			return w, "", false
		}
	}
	from, okFrom := clock(m[2])
	to, okTo := clock(m[3])
	w.From, w.To = from, to
	return w, m[4], okFrom && okTo
}

// clock makes "6:30" "06:30" and "24:00" "00:00".
func clock(text string) (string, bool) {
	hour, minute, _ := strings.Cut(text, ":")
	h, err1 := strconv.Atoi(hour)
	m, err2 := strconv.Atoi(minute)
	if err1 != nil || err2 != nil || m > 59 || h > 24 || (h == 24 && m > 0) {
		return "", false
	}
	return fmt.Sprintf("%02d:%02d", h%24, m), true
}

func windowText(w api.Window) string {
	text := w.From + "-" + w.To
	if d := dayText(w.Days); d != "" {
		text = d + " " + text
	}
	return text
}

// windows reads one window a line; wrong names the first that is none.
func windows(lines []string) (list []api.Window, wrong string) {
	for i, line := range lines {
		w, rest, ok := window(line)
		if !ok || rest != "" {
			return nil, fmt.Sprintf("Line %d is not understood. Write it as 22:00-06:00 or mon-fri 22:00-06:00.", i+1)
		}
		list = append(list, w)
	}
	return list, ""
}

func windowLines(list []api.Window) string {
	var lines []string
	for _, w := range list {
		lines = append(lines, windowText(w))
	}
	return strings.Join(lines, "\n")
}

var rate = regexp.MustCompile(`^(?:(upload|up|download|down)\s+)?(\d{1,8}(?:\.\d+)?)\s*(kib|mib|gib|k|m|g)(?:/s)?\s*,?\s*`)

// bandwidth reads one rule a line: "mon-fri 08:00-18:00 upload 1 MiB/s download 4 MiB/s".
func bandwidth(lines []string) (list []api.BandwidthRule, wrong string) {
	for i, line := range lines {
		wrong := fmt.Sprintf("Line %d is not understood. Write it as 08:00-18:00 upload 1 MiB/s, with days before and a download limit after where needed.", i+1)
		w, rest, ok := window(line)
		if !ok || rest == "" {
			return nil, wrong
		}
		rule := api.BandwidthRule{Days: w.Days, From: w.From, To: w.To}
		for rest != "" {
			m := rate.FindStringSubmatch(rest)
			if m == nil {
				return nil, wrong
			}
			kib := kibs(m[2], m[3])
			if kib < 1 || kib > 10<<20 {
				return nil, fmt.Sprintf("Line %d: a limit is between 1 KiB/s and 10 GiB/s.", i+1)
			}
			if strings.HasPrefix(m[1], "down") {
				rule.DownloadKibS = kib
			} else {
				rule.UploadKibS = kib
			}
			rest = rest[len(m[0]):]
		}
		list = append(list, rule)
	}
	return list, ""
}

func kibs(number, unit string) int {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n > 1<<24 {
		return -1
	}
	switch unit[0] {
	case 'm':
		n *= 1 << 10
	case 'g':
		n *= 1 << 20
	}
	return int(n + 0.5)
}

func bandwidthLines(list []api.BandwidthRule) string {
	var lines []string
	for _, r := range list {
		line := windowText(api.Window{Days: r.Days, From: r.From, To: r.To})
		if r.UploadKibS > 0 {
			line += " upload " + rateText(r.UploadKibS)
		}
		if r.DownloadKibS > 0 {
			line += " download " + rateText(r.DownloadKibS)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func rateText(kib int) string {
	if kib >= 1024 && kib%1024 == 0 {
		return fmt.Sprintf("%d MiB/s", kib/1024)
	}
	return fmt.Sprintf("%d KiB/s", kib)
}

var sizeText = regexp.MustCompile(`^(\d{1,15}(?:\.\d{1,3})?)\s*(b|bytes?|kib|mib|gib|tib|k|m|g|t|)$`)

// byteSize reads a size such as "2 GiB", "512 M" or "1048576"; nothing is 0.
func byteSize(text string) (n int64, ok bool) {
	text = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "\u00a0", " "))
	if text == "" {
		return 0, true
	}
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	size, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	if i := strings.IndexByte("kmgt", (m[2] + "b")[0]); i >= 0 {
		size *= float64(int64(1) << (10 * (i + 1)))
	}
	if size >= 1<<60 {
		return 0, false
	}
	return int64(size + 0.5), true
}

// byteText tells a size as byteSize reads it, without rounding; nothing for 0.
func byteText(n int64) string {
	if n <= 0 {
		return ""
	}
	unit := 0
	for n%1024 == 0 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + " " + []string{"B", "KiB", "MiB", "GiB", "TiB"}[unit]
}
