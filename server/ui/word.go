package ui

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// functions are what the pages use beside web.Funcs.
var functions = template.FuncMap{
	"visible":     visible,
	"visiblePath": visiblePath,
	"encodePath":  encodePath,
	"amount":      amount,
	"short":       short,
	"says":        says,
	"title":       func(operation string) string { return visible(api.OperationTitle(operation)) },
	"join":        func(items []string, by string) string { return strings.Join(items, by) },
	"jobState": func(j api.Job) web.State {
		return jobState(string(j.State), result(j))
	},
	"briefState":   func(b api.JobBrief) web.State { return jobState(string(b.State), string(b.Result)) },
	"legend":       legend,
	"severityLook": severityLook,
	"absence":      absence,
	"wide":         func(n int) int64 { return int64(n) },
	"alertsOf":     func(rows []alertRow) alertList { return alertList{Rows: rows} },
	"triggerWords": triggerWords,
	"pickable": func(rows []api.Snapshot, viewer web.Account) snapshotList {
		return snapshotList{rows, viewer.May("operator")}
	},
	"snapshotHref": func(s api.Snapshot) string { return snapshotHref(string(s.RepositoryId), s.Id) },
	"depth":        func(level int) int { return min(level, 12) }, // the style sheet has so many
	"numeric": func(kind string) bool {
		return kind == "int" || kind == "bytes" || kind == "duration_ms" || kind == "share"
	},
	"ms": func(n int64) time.Duration { return time.Duration(n) * time.Millisecond },
}

// visible makes control and direction characters of names and messages seen, so that
// text from a machine cannot rearrange the page it stands on. Lines and tabs stay.
func visible(s string) string { return show(s, "\n\t") }

// visiblePath does that with a path, of which every character counts.
func visiblePath(p string) string { return show(p, "") }

// show writes what is not seen so that it is, but for what is kept; text.js does the same.
func show(s, kept string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case !unseen(r) || strings.ContainsRune(kept, r):
			b.WriteRune(r)
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7f:
			b.WriteRune(0x2421)
		default:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

// unseen tells control characters, and what steers direction or is not seen at all.
func unseen(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x61c || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2060 && r <= 0x2069 || r == 0xfeff || r >= 0xfff9 && r <= 0xfffb
}

// says is what came of a job in a line: its own words, else the numbers of a backup.
func says(j api.Job) string {
	switch {
	case j.Outcome == nil:
		return ""
	case j.Outcome.Message != "" || j.Outcome.Stats == nil:
		return visible(j.Outcome.Message)
	}
	s := j.Outcome.Stats
	return web.Count(s.FilesNew) + " new, " + web.Count(s.FilesChanged) + " changed of " + amount(s.FilesProcessed, "files") + ", " + web.Bytes(s.DataAddedPacked) + " stored"
}

// amount tells a number of a unit that is named in the plural.
func amount(n int64, unit string) string {
	if n == 1 {
		unit = strings.TrimSuffix(unit, "s")
	}
	return strings.TrimSpace(strconv.FormatInt(n, 10) + " " + unit)
}

// short gives the part of a long id that people read.
func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

func result(j api.Job) string {
	if j.Outcome == nil {
		return ""
	}
	return string(j.Outcome.Result)
}

// states are the words and shapes of a job's states and results.
var states = map[string]web.State{
	"pending":      {Tone: web.Idle, Glyph: "wait", Word: "Waiting for its agent"},
	"acked":        {Tone: web.Idle, Glyph: "wait", Word: "Picked up"},
	"waiting":      {Tone: web.Idle, Glyph: "wait", Word: "Waiting"},
	"running":      {Tone: web.Run, Glyph: "run", Word: "Running"},
	"stopping":     {Tone: web.Run, Glyph: "stop", Word: "Stopping"},
	"unresponsive": {Tone: web.Idle, Glyph: "idle", Word: "Agent is silent"},
	"succeeded":    {Tone: web.OK, Glyph: "ok", Word: "Succeeded"},
	"warning":      {Tone: web.Warn, Glyph: "warn", Word: "Warning"},
	"failed":       {Tone: web.Risk, Glyph: "risk", Word: "Failed"},
	"cancelled":    {Tone: web.Idle, Glyph: "cancel", Word: "Cancelled"},
	"interrupted":  {Tone: web.Risk, Glyph: "stop", Word: "Interrupted"},
	"rejected":     {Tone: web.Risk, Glyph: "refused", Word: "Refused by the host"},
	"skipped":      {Tone: web.Idle, Glyph: "cancel", Word: "Skipped"},
	"missed":       {Tone: web.Risk, Glyph: "none", Word: "Missed"},
	"expired":      {Tone: web.Idle, Glyph: "lost", Word: "Not picked up in time"},
	"lost":         {Tone: web.Risk, Glyph: "lost", Word: "Lost"},
}

func jobState(state, result string) web.State {
	word := state
	if state == string(api.JobStateFinished) && result != "" {
		word = result
	}
	if s, ok := states[word]; ok {
		return s
	}
	return web.State{Tone: web.Idle, Glyph: "idle", Word: word}
}

func presenceState(p api.Presence) web.State {
	switch p {
	case api.PresenceOnline:
		return web.State{Tone: web.OK, Glyph: "ok", Word: "Online"}
	case api.PresenceOffline:
		return web.State{Tone: web.Idle, Glyph: "idle", Word: "Offline"}
	case api.PresenceDisabled:
		return web.State{Tone: web.Idle, Glyph: "stop", Word: "Disabled"}
	}
	return web.State{Tone: web.Idle, Glyph: "wait", Word: "Waiting for its agent"}
}

func repositoryState(r api.Repository) web.State {
	for _, c := range r.Conditions {
		if c.Severity == api.SeverityCritical {
			return web.State{Tone: web.Risk, Glyph: "risk", Word: "Needs attention"}
		}
	}
	switch r.State {
	case api.RepositoryStateReady:
		return web.State{Tone: web.OK, Glyph: "ok", Word: "Ready"}
	case api.RepositoryStateInitialising:
		return web.State{Tone: web.Run, Glyph: "run", Word: "Being prepared"}
	case api.RepositoryStateFailed:
		return web.State{Tone: web.Risk, Glyph: "risk", Word: "Not usable"}
	}
	return web.State{Tone: web.Idle, Glyph: "wait", Word: "Waits for a host"}
}

// attention is a condition as the pages show it.
type attention struct {
	State        web.State
	Object, Href string // whose condition it is
	Message      string
	NextStep     string
	Since        time.Time
	Job          string
}

func attentions(object, href string, list []api.Condition) []attention {
	var all []attention
	for _, c := range list {
		a := attention{Object: object, Href: href, Message: c.Message, NextStep: c.NextStep, Since: c.Since, Job: string(c.JobId)}
		switch c.Severity {
		case api.SeverityCritical:
			a.State = web.State{Tone: web.Risk, Glyph: "risk", Word: "Critical"}
		case api.SeverityWarning:
			a.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Warning"}
		default:
			a.State = web.State{Tone: web.Idle, Glyph: "idle", Word: "Note"}
		}
		all = append(all, a)
	}
	return all
}

// absences are why an agent could not fire, in words.
var absences = map[string]string{
	"off": "the machine was off", "asleep": "the machine slept", "stopped": "the agent was not running", "locked": "its policy file locked the agent", "clock": "the clock jumped",
}

func absence(reason string) string {
	if words, ok := absences[reason]; ok {
		return words
	}
	return visible(reason)
}

// triggers are why a job exists, in words.
var triggers = map[api.Trigger]string{
	"schedule": "by its schedule", "catch-up": "catch-up", "run-now": "run now", "maintenance": "maintenance", "drill": "drill",
}

func triggerWords(t api.Trigger) string {
	if words, ok := triggers[t]; ok {
		return words
	}
	return string(t)
}

// inZone tells a slot in the schedule's own zone, with its offset.
func inZone(t time.Time, zone string) string {
	if l, err := time.LoadLocation(zone); err == nil {
		t = t.In(l)
	}
	return t.Format("Mon 2 Jan 2006, 15:04 -07:00")
}
