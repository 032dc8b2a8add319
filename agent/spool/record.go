package spool

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"restic-manager/agent/control"
)

// Names of streams, in the database and in gap records.
const (
	events = string(control.Events)
	logs   = string(control.Log)
)

// job is a Job with what only the spool needs to know of it. Every unforgotten
// job is in memory; its row is a copy. A method that may fail on the disk works on
// a clone, so that a failure leaves the original.
type job struct {
	Job
	Events   track `json:"events"`
	Chunks   track `json:"log"`
	NextLine int64 `json:"next_line"`
	// Known is set once the server answered for the job, so that `opened` need not be sent.
	Known bool `json:"known,omitempty"`
	// Muted jobs are not reported any more: the server said fenced, closed or forget.
	Muted bool `json:"muted,omitempty"`
	// Hole is where the server waits although no gap record is on its way.
	Hole hole `json:"hole,omitzero"`

	lines      []byte // not cut into a chunk yet, as NDJSON
	lineCount  int
	from, to   time.Time
	progress   *Progress
	statements []statement // to be executed before the records are inserted
	onDisk     bool        // has a row
	dirty      bool        // has something that its rows have not
	trimmed    bool        // has rows below its tracks' First
	tail       int         // length of lines in its row
	volatile   bool        // was reported from memory, see Batch
	unrecorded bool        // has a process that its row has not
	reopened   bool        // was started, and not ended, when the spool was opened
}

// hole is a number of the log that the server waits for in vain.
type hole struct {
	First int64 `json:"first,omitempty"`
	Times int   `json:"times,omitempty"` // how often it was told so
}

// track is one stream of a job: what was produced and what of it is retained.
type track struct {
	Next    int64    `json:"next"` // the number that the next record gets
	First   int64    `json:"-"`    // the lowest retained number, Next if none is
	size    int64    // bytes retained
	unsaved []record // produced, not in the database; always the highest numbers
}

// record is an event or a chunk as it is kept.
type record struct {
	seq   int64
	doc   []byte // the wire type as JSON, without its number and its data
	data  []byte
	lines int
	bytes int64
}

func (r record) size() int64 { return int64(len(r.doc) + len(r.data)) }

// statement is SQL to be executed with the next write.
type statement struct {
	sql  string
	args []any
}

func newJob(j Job) *job {
	one := track{Next: 1, First: 1}
	return &job{Job: j, Events: one, Chunks: one, NextLine: 1, dirty: true}
}

// clone returns a copy whose appends do not reach the original.
func (j *job) clone() *job {
	c := *j
	c.Events.unsaved = slices.Clip(c.Events.unsaved)
	c.Chunks.unsaved = slices.Clip(c.Chunks.unsaved)
	c.statements = slices.Clip(c.statements)
	c.lines = slices.Clip(c.lines)
	c.dirty = true
	return &c
}

func (t *track) append(r record) {
	r.seq = t.Next
	t.Next++
	t.size += r.size()
	t.unsaved = append(t.unsaved, r)
}

// trim lets go of what is below next.
func (t *track) trim(next int64) {
	if next <= t.First {
		return
	}
	t.First = min(next, t.Next)
	t.unsaved = slices.DeleteFunc(slices.Clone(t.unsaved), func(r record) bool { return r.seq < t.First })
}

func (t *track) retained() bool { return t.First < t.Next }

func (j *job) track(stream string) *track {
	if stream == events {
		return &j.Events
	}
	return &j.Chunks
}

// reported says that the server has all of a finished job.
func (j *job) reported() bool {
	return j.Phase == Finished &&
		(j.Muted || j.Known && !j.Events.retained() && !j.Chunks.retained())
}

// trim drops what is below the numbers that the server expects next.
func (j *job) trim(nextEvent, nextChunk int64) {
	j.Events.trim(nextEvent)
	j.Chunks.trim(nextChunk)
	j.trimmed = true
}

// mute gives up reporting the job.
func (j *job) mute() {
	j.Muted = true
	j.trim(j.Events.Next, j.Chunks.Next)
	j.lines, j.lineCount = nil, 0
}

// event adds an event to the job's stream.
func (j *job) event(e control.Event) error {
	e.Attempt = j.Attempt
	clip(&e)
	doc, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event %s of job %s: %w", e.Kind, j.ID, err)
	}
	j.Events.append(record{doc: doc})
	if j.Muted {
		j.Events.trim(j.Events.Next)
	}
	return nil
}

// opened says how the job began.
func (j *job) opened() *control.Opened {
	return &control.Opened{
		Operation: j.Operation, Trigger: j.Trigger, At: j.OpenedAt, Slot: j.Slot,
		ScheduleId: j.ScheduleID, ScheduleVersion: j.ScheduleVersion, RepositoryId: j.RepositoryID,
	}
}

// The contract's bounds on the texts of an event, in characters.
const (
	maxMessage  = 4000
	maxStep     = 2000
	maxWarnings = 200
	maxPath     = 8192
	maxName     = 60
	maxWarned   = 512 << 10 // bytes in all warnings; ours, not the contract's
	maxFacts    = 64 << 10  // bytes
)

// clip cuts an event to the contract's bounds: a result with a long message is
// worth more than a refused one.
func clip(e *control.Event) {
	e.Message = cut(e.Message, maxMessage)
	if e.Outcome == nil {
		return
	}
	o := *e.Outcome
	e.Outcome = &o
	o.Code = cut(o.Code, maxName)
	o.Message = cut(o.Message, maxMessage)
	o.NextStep = cut(o.NextStep, maxStep)
	o.Warnings = clipWarnings(o.Warnings)
	o.Locks = o.Locks[:min(len(o.Locks), maxWarnings)]
	if len(o.Facts) > maxFacts || !json.Valid(o.Facts) { //guard:spool-facts
		o.Facts = nil
	}
}

// clipWarnings keeps the first warnings, as many as leave a report its size.
func clipWarnings(warnings []control.FileWarning) []control.FileWarning {
	var kept []control.FileWarning
	room := maxWarned
	for _, w := range warnings[:min(len(warnings), maxWarnings)] {
		w = control.FileWarning{Path: cut(w.Path, maxPath), Message: cut(w.Message, maxStep), During: cut(w.During, 40)}
		if room -= len(w.Path) + len(w.Message); room < 0 {
			break
		}
		kept = append(kept, w)
	}
	return kept
}

// cut shortens s to at most n characters and says so by an ellipsis.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
