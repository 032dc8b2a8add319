package restic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	maxTextLines = 100_000 // lines of stdout kept for decoding
	maxMessages  = 2000    // messages kept for decoding
	sampleEvery  = 900 * time.Millisecond
)

// collector takes in both streams of one run: it calls the handlers, one at a
// time, and keeps the facts from which the result is decided.
type collector struct {
	redact   redactor
	handlers Handlers
	now      func() time.Time

	mu          sync.Mutex
	output      output
	items       ItemList
	reported    map[string]string // items with what reported each first
	exitMessage string            // of exit_error
	exitCode    int               // of exit_error
	firstText   string            // the first line of plain text on stderr
	signs       signs
	holder      *LockHolder
	lastSample  time.Time
	pending     *Progress
	counters    progressCounters
	began       time.Time
	changed     time.Time // when the counters last changed, from the first word on; zero before it

	refused     error         // why the caller takes no more of the result
	refusedSign chan struct{} // closed then

	scriptWords string // before each line of a named source's script; "" without one
	script      scriptLog
}

func newCollector(redact redactor, h Handlers, now func() time.Time) *collector {
	c := &collector{redact: redact, handlers: h, now: now, reported: map[string]string{}, began: now(), refusedSign: make(chan struct{})}
	c.output.items = &c.items
	return c
}

// started hands on the process before it may do anything.
func (c *collector) started(ref ProcessRef) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handlers.Started == nil {
		return nil
	}
	if err := c.handlers.Started(ref); err != nil {
		return fmt.Errorf("record process %d: %w", ref.PID, err)
	}
	return nil
}

// read drains one stream to its end. A reading error ends it early only when the
// pipe itself is gone.
func (c *collector) read(stream Stream, pipe *os.File, p plan) {
	limit := maxLine + c.redact.longest // so that a secret across the cut is still whole
	line := func(text []byte, omitted int64) { c.line(stream, text, omitted) }
	switch {
	case stream == Stdout && p.item != nil:
		_ = readLines(pipe, limit, c.byItem(p.item))
	case stream == Stdout && p.stream != nil:
		_ = readStream(pipe, limit, line, func(dec *json.Decoder) { c.take(p.stream, dec) })
	case stream == Stdout && p.document:
		if doc, _ := readDocument(pipe, limit, line); doc != nil {
			c.mu.Lock()
			c.output.document = doc
			c.mu.Unlock()
		}
	default:
		_ = readLines(pipe, limit, line)
	}
	_, _ = io.Copy(io.Discard, pipe)
}

// line sorts one line: a status message is progress, everything else is a line,
// and some of those are facts too.
func (c *collector) line(stream Stream, raw []byte, omitted int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed.IsZero() && stream == Stdout { // what it warns of meanwhile is no beginning
		c.changed = c.now()
	}
	if said, ok := c.fromScript(stream, raw); ok { //guard:source-words
		c.scriptLine(said, omitted)
		return
	}
	kind := ""
	if omitted == 0 {
		kind = messageType(raw)
	}
	switch kind {
	case "status":
		c.status(raw)
		return
	case "summary":
		c.output.summary, c.changed = json.RawMessage(strings.Clone(string(raw))), c.now()
		c.signs.forward()
	case "error":
		c.itemError(raw)
	case "exit_error":
		c.exitError(raw)
	case "":
		c.plainText(stream, raw)
	default:
		if len(c.output.messages) < maxMessages {
			c.output.messages = append(c.output.messages, json.RawMessage(strings.Clone(string(raw))))
		}
	}
	c.deliver(stream, raw, omitted)
}

// fromScript returns what a named source's script wrote, and whether it was the script.
// Its words are not restic's: they say nothing about the storage.
func (c *collector) fromScript(stream Stream, raw []byte) ([]byte, bool) {
	if stream != Stderr || c.scriptWords == "" {
		return nil, false
	}
	return bytes.CutPrefix(raw, []byte(c.scriptWords))
}

func (c *collector) scriptLine(raw []byte, omitted int64) {
	text := c.redact.text(cleanText(raw))
	line := Line{Time: c.now(), Stream: Stderr, Text: text, Omitted: omitted}
	if c.script.take(line) && c.handlers.Line != nil && text != "" {
		c.handlers.Line(line)
	}
}

func (c *collector) deliver(stream Stream, raw []byte, omitted int64) {
	text := c.redact.text(cleanText(raw))
	if len(text) > maxLine {
		omitted += int64(len(text) - maxLine)
		text = strings.ToValidUTF8(text[:maxLine], "")
	}
	if text == "" && omitted == 0 || c.handlers.Line == nil {
		return
	}
	c.handlers.Line(Line{Time: c.now(), Stream: stream, Text: text, Omitted: omitted})
}

func (c *collector) plainText(stream Stream, raw []byte) {
	text := cleanText(raw)
	if stream == Stderr && strings.HasPrefix(text, "failed to load blob ") {
		c.output.lostBlobs++
	}
	if stream == Stdout {
		if len(c.output.lines) < maxTextLines {
			c.output.lines = append(c.output.lines, text)
		}
		return
	}
	if c.firstText == "" {
		c.firstText = c.redact.text(firstLine(text))
	}
	c.signs.look(text, c.redact, c.now())
}

// itemError keeps what could not be read. A folder that cannot be opened is
// reported by the scanner and by the archiver, in either order: it counts once.
func (c *collector) itemError(raw []byte) {
	var m struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Message string `json:"message"` // of check
		During  string `json:"during"`
		Item    string `json:"item"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	if m.Error.Message == "" {
		m.Error.Message = m.Message
	}
	if first, ok := c.reported[m.Item]; ok && (first != m.During || m.During == "restore") {
		return // a restore speaks of each part of a file
	}
	if len(c.reported) < maxTextLines {
		c.reported[m.Item] = m.During
	}
	item := Item{
		Path:    c.redact.text(m.Item),
		During:  m.During,
		Message: c.redact.text(firstLine(cleanText([]byte(firstLine(m.Error.Message))))),
	}
	c.items.add(item)
	if storedAgain(item) {
		c.output.again++
	}
	if m.Message != "" {
		c.output.found.add(item)
	}
}

func (c *collector) exitError(raw []byte) {
	var m struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	c.exitCode, c.exitMessage = m.Code, c.redact.text(m.Message)
	c.holder = parseHolder(c.exitMessage)
}

// progressCounters are what must change for a backup to count as alive. The clock
// of a status message, and the file it is at, do not.
type progressCounters struct{ files, bytes, totalFiles, totalBytes int64 }

func (c *collector) status(raw []byte) {
	var m struct {
		PercentDone      float64  `json:"percent_done"`
		TotalFiles       int64    `json:"total_files"`
		FilesDone        int64    `json:"files_done"`
		TotalBytes       int64    `json:"total_bytes"`
		BytesDone        int64    `json:"bytes_done"`
		FilesRestored    int64    `json:"files_restored"`
		BytesRestored    int64    `json:"bytes_restored"`
		ErrorCount       int64    `json:"error_count"`
		SecondsElapsed   int64    `json:"seconds_elapsed"`
		SecondsRemaining int64    `json:"seconds_remaining"`
		CurrentFiles     []string `json:"current_files"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	m.FilesDone, m.BytesDone = m.FilesDone+m.FilesRestored, m.BytesDone+m.BytesRestored
	now := c.now()
	if counters := (progressCounters{m.FilesDone, m.BytesDone, m.TotalFiles, m.TotalBytes}); counters != c.counters {
		c.counters, c.changed = counters, now
		c.signs.forward()
	}
	for i, name := range m.CurrentFiles {
		m.CurrentFiles[i] = c.redact.text(name)
	}
	c.pending = &Progress{
		Time: now, PercentDone: m.PercentDone,
		TotalFiles: m.TotalFiles, FilesDone: m.FilesDone, TotalBytes: m.TotalBytes, BytesDone: m.BytesDone,
		Errors: m.ErrorCount, SecondsElapsed: m.SecondsElapsed, SecondsRemaining: m.SecondsRemaining,
		CurrentFiles: m.CurrentFiles, Retrying: c.signs.retrying,
	}
	if c.lastSample.IsZero() || now.Sub(c.lastSample) >= sampleEvery {
		c.sample(now)
	}
}

// sample hands the latest status on.
func (c *collector) sample(now time.Time) {
	if c.pending == nil {
		return
	}
	if c.handlers.Progress != nil {
		c.handlers.Progress(*c.pending)
	}
	c.pending, c.lastSample = nil, now
}

// finish hands on the last status, and the end of what a script said, once both
// streams have ended.
func (c *collector) finish(named *NamedSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sample(c.now())
	if named != nil {
		c.script.end(named.Script.Name, c.handlers.Line)
	}
}

// silentTimes is how many times longer a restic may take where it works in silence: until
// its first word, which a large index that is downloaded over a thin line may keep back for
// hours, and after its summary, since a restore says nothing while it verifies.
const silentTimes = 24

// patience is how long the counters may still stay as they are, given how long they may
// in all.
func (c *collector) patience(stuckAfter time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.changed.IsZero():
		return c.began.Add(silentTimes * stuckAfter).Sub(c.now())
	case c.output.summary != nil:
		return c.changed.Add(silentTimes * stuckAfter).Sub(c.now())
	}
	return c.changed.Add(stuckAfter).Sub(c.now())
}

// hopelessFor is how long restic has been trying in vain what trying does not
// mend.
func (c *collector) hopelessFor() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signs.hopelessSince.IsZero() {
		return 0
	}
	return c.now().Sub(c.signs.hopelessSince)
}
