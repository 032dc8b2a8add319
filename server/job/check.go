package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"restic-manager/restic"
	"restic-manager/server/fleet"
)

// Reports are the busiest road, so their records are checked by hand and not by a
// general validator.

// The limits of a report.
const (
	MaxReportItems   = 20
	MaxReportRecords = 500
	MaxReportBytes   = 512 << 10 // compressed
	maxChunkLines    = 5000
	maxChunkBytes    = 2 << 20 // decompressed
	maxChunkData     = 512 << 10
	maxMessage       = 4000
	maxWarnings      = 200
	maxKind          = 40
	maxCode          = 64
	maxName          = 255
	maxAttempt       = 1 << 30
	maxFacts         = 64 << 10
)

// The names of streams.
const (
	streamEvents = "events"
	streamLog    = "log"
)

// rejection points at a record that cannot be taken.
type rejection struct {
	stream  string
	seq     int64
	message string
}

func rejectf(stream string, seq int64, format string, args ...any) *rejection {
	return &rejection{stream, seq, fmt.Sprintf(format, args...)}
}

// isNext tells whether the record is the one that its stream waits for. It is told then
// even where the other stream has a hole: the gap record that explains the hole may
// stand behind it.
func (r *rejection) isNext(v Verdict) bool {
	return r.stream == streamEvents && r.seq == v.NextEventSeq || r.stream == streamLog && r.seq == v.NextLogSeq
}

var (
	uuidForm     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	resticIDForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// checkReport checks what makes a report as a whole unusable.
func checkReport(r *Report) error {
	if len(r.Items) > MaxReportItems { //guard:report-items
		return fleet.Errorf(fleet.BodyTooLarge, "A report holds at most %d items.", MaxReportItems)
	}
	records := 0
	seen := map[fleet.JobID]bool{}
	for i := range r.Items {
		it := &r.Items[i]
		if seen[it.Job] {
			return fleet.Errorf(fleet.Invalid, "A report has one item for a job.").At(fmt.Sprintf("/items/%d/job_id", i))
		}
		seen[it.Job] = true
		records += len(it.Events) + len(it.Log)
		if !uuidForm.MatchString(string(it.Job)) || !uuidForm.MatchString(it.Writer) {
			return fleet.Errorf(fleet.Invalid, "An id is a UUID in lower case.").At(fmt.Sprintf("/items/%d", i))
		}
		if it.Epoch < 0 || it.Epoch > maxSeq {
			return fleet.Errorf(fleet.Invalid, "There is no such epoch.").At(fmt.Sprintf("/items/%d/epoch", i))
		}
	}
	if records > MaxReportRecords { //guard:report-records
		return fleet.Errorf(fleet.BodyTooLarge, "A report holds at most %d records.", MaxReportRecords)
	}
	return nil
}

// cutAtBad shortens an item's streams to the records before the first that cannot
// be taken, and points at that one.
func (it *Item) cutAtBad() *rejection {
	var bad *rejection
	for i := range it.Events {
		if bad = it.checkEvent(i); bad != nil {
			it.Events = it.Events[:i]
			break
		}
	}
	for i := range it.Log {
		if worse := it.checkChunk(i); worse != nil {
			it.Log = it.Log[:i]
			if bad == nil {
				bad = worse
			}
			break
		}
	}
	return bad
}

func (it *Item) checkEvent(i int) *rejection {
	e := &it.Events[i]
	reject := func(format string, args ...any) *rejection {
		return rejectf(streamEvents, e.Seq, format, args...)
	}
	switch {
	case e.Seq < 1:
		return reject("numbers begin at 1")
	case i > 0 && e.Seq != spanOf(&it.Events[i-1]).last+1:
		return reject("numbers must follow each other")
	case e.Kind == "" || !isText(e.Kind, maxKind): //guard:event-kind
		return reject("a kind is text of 1 to %d characters", maxKind)
	case !isText(e.Code, maxCode): //guard:event-code
		return reject("a code is text of at most %d characters", maxCode)
	case !isText(e.Message, maxMessage): //guard:event-message
		return reject("a message is text of at most %d characters", maxMessage)
	case e.Attempt < 0 || e.Attempt > maxAttempt:
		return reject("attempts begin at 0")
	case e.At.Year() < 1970 || e.At.Year() > 9999:
		return reject("the time is out of range")
	case e.Kind == EventFinished && e.Outcome == nil:
		return reject("a finished event has an outcome")
	case e.Kind == EventGap && e.Gap == nil:
		return reject("a gap event has a gap")
	}
	if e.Outcome != nil {
		if text := e.Outcome.wrong(); text != "" {
			return reject("outcome: %s", text)
		}
	}
	if e.Gap != nil {
		if text := e.Gap.wrong(e.Seq); text != "" {
			return reject("gap: %s", text)
		}
	}
	if e.Snapshot != nil {
		if text := e.Snapshot.wrong(); text != "" {
			return reject("snapshot: %s", text)
		}
	}
	return nil
}

func (o *Outcome) wrong() string {
	switch {
	case !slices.Contains(fleet.Results, fleet.Result(o.Result)):
		return "the result is not one of the list"
	case !isText(o.Code, 60), !isText(o.CanDelete, 20):
		return "a code is no text, or too long"
	case !isText(o.Message, maxMessage), !isText(o.NextStep, 2000):
		return "a text is none, or too long"
	case len(o.Warnings) > maxWarnings, len(o.Locks) > maxWarnings, len(o.Sources) > maxWarnings: //guard:outcome-lists
		return "a list is longer than 200"
	case o.SnapshotID != "" && !resticIDForm.MatchString(o.SnapshotID):
		return "a snapshot id has 64 hexadecimal digits"
	case o.Repository != nil && !resticIDForm.MatchString(o.Repository.ResticID):
		return "a repository id has 64 hexadecimal digits"
	case o.RepositorySeen != "" && !resticIDForm.MatchString(o.RepositorySeen):
		return "the id of the repository that was seen has 64 hexadecimal digits"
	case o.Repository != nil && o.Repository.KeyID != "" && !resticIDForm.MatchString(o.Repository.KeyID):
		return "a key id has 64 hexadecimal digits"
	case slices.ContainsFunc(o.Warnings, FileWarning.wrong):
		return "a warning has a text that is none, or too long"
	case slices.ContainsFunc(o.Locks, Lock.wrong):
		return "a lock has a text that is none, or too long"
	case slices.ContainsFunc(o.Sources, SourceSeen.wrong): //guard:outcome-sources
		return "a source has a text that is none, or too long"
	case !isFacts(o.Facts): //guard:outcome-facts
		return "the facts are not one JSON object of at most 64 KiB"
	case o.Rows < 0 || o.Rows > maxSeq:
		return "no result has so many rows"
	}
	return ""
}

// isFacts tells whether facts can be stored and shown: one object, or none.
func isFacts(facts json.RawMessage) bool {
	if len(facts) == 0 {
		return true
	}
	trimmed := bytes.TrimSpace(facts)
	return len(facts) <= maxFacts && len(trimmed) > 0 && trimmed[0] == '{' && utf8.Valid(facts) && json.Valid(facts)
}

func (s SourceSeen) wrong() bool { return !isText(s.Path, 4096) || !isText(s.State, 20) }

func (w FileWarning) wrong() bool {
	return !isText(w.Path, 8192) || !isText(w.Message, 2000) || !isText(w.During, 40)
}

func (l Lock) wrong() bool {
	return !isText(l.ID, 64) || !isText(l.Hostname, maxName) || !isText(l.Username, maxName) || !isText(l.Alive, 20)
}

func (g *Gap) wrong(seq int64) string {
	switch {
	case g.Stream != streamEvents && g.Stream != streamLog:
		return "the stream is events or log"
	case g.FirstSeq < 1 || g.LastSeq < g.FirstSeq || g.LastSeq > maxSeq:
		return "the numbers are not a range"
	case g.Stream == streamEvents && g.FirstSeq != seq:
		return "a gap of events begins at its own number"
	case !isText(g.Reason, 200):
		return "the reason is no text, or too long"
	}
	return ""
}

func (s *Snapshot) wrong() string {
	switch {
	case !resticIDForm.MatchString(s.ID):
		return "an id has 64 hexadecimal digits"
	case s.Time.Year() < 1970 || s.Time.Year() > 9999:
		return "the time is out of range"
	case !isText(s.Hostname, maxName) || !isText(s.Username, maxName): //guard:snapshot-names
		return "a name is no text, or too long"
	case !isText(s.Tree, 64) || !isText(s.Parent, 64) || !isText(s.Original, 64) || !isText(s.ProgramVersion, 100):
		return "a text is none, or too long"
	}
	return ""
}

// fit makes what a snapshot says of itself something that can be kept. restic bounds none
// of it, and who may only add to a repository can store any: one odd snapshot must neither
// keep the others from being listed nor fill the memory.
func (s *Snapshot) fit() {
	const first = 1970
	switch year := s.Time.Year(); {
	case year < first:
		s.Time = time.Date(first, 1, 1, 0, 0, 1, 0, time.UTC)
	case year > 9999:
		s.Time = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	s.Hostname, s.Username = fitName(s.Hostname), fitName(s.Username)
	s.Paths, s.Tags = restic.CutTexts(s.Paths), restic.CutTexts(s.Tags)
	s.ProgramVersion = "" // which is not kept
}

func fitName(text string) string {
	return clip(strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD"), maxName)
}

// isText reports whether a text can be stored and shown: it is UTF-8 of so many
// characters at most, without NUL, which PostgreSQL has no place for.
func isText(text string, most int) bool {
	if len(text) > most && utf8.RuneCountInString(text) > most {
		return false
	}
	return utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

func (it *Item) checkChunk(i int) *rejection {
	c := &it.Log[i]
	reject := func(format string, args ...any) *rejection {
		return rejectf(streamLog, c.Seq, format, args...)
	}
	switch {
	case c.Seq < 1:
		return reject("numbers begin at 1")
	case i > 0 && c.Seq != it.Log[i-1].Seq+1:
		return reject("numbers must follow each other")
	case c.FirstLine < 1 || c.FirstLine > maxSeq:
		return reject("lines begin at 1")
	case i > 0 && c.FirstLine < it.Log[i-1].FirstLine+int64(it.Log[i-1].Lines):
		return reject("lines must follow each other")
	case c.Lines < 1 || c.Lines > maxChunkLines: //guard:chunk-lines
		return reject("a chunk has 1 to %d lines", maxChunkLines)
	case c.Bytes < 1 || c.Bytes > maxChunkBytes: //guard:chunk-bytes
		return reject("a chunk has 1 to %d bytes", maxChunkBytes)
	case len(c.Data) < 1 || len(c.Data) > maxChunkData:
		return reject("the data of a chunk has 1 to %d bytes", maxChunkData)
	}
	return nil
}
