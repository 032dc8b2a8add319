package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"restic-manager/agent/control"
)

// A chunk is cut when it holds one of these.
const (
	chunkLines = 200
	chunkBytes = 64 << 10
	// longestLine is where longer lines go on as another.
	longestLine = 32 << 10
)

// volatileLog is how much of a job's log waits in memory at most.
const volatileLog = 4 << 20

// wireLine is a line as chunks hold it.
type wireLine struct {
	Micros int64  `json:"t"`
	Stream Stream `json:"s"`
	Text   string `json:"m"`
}

// Log adds a line to the job's log. It seldom waits for the disk, and says nothing about the disk: see Health. Lines of unknown and finished
// jobs are dropped.
func (s *Spool) Log(id string, l Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil || j.Phase == Finished || j.Muted {
		return
	}
	if l.At.IsZero() {
		l.At = s.now()
	}
	for {
		head, rest := splitLine(l.Text)
		s.addLine(j, Line{At: l.At, Stream: l.Stream, Text: head})
		if l.Text = rest; rest == "" {
			break
		}
	}
	j.dirty = true
	s.version++
	signal(s.waiting)
}

// splitLine cuts a text that is too long for one line, between characters.
func splitLine(text string) (head, rest string) {
	if len(text) <= longestLine {
		return text, ""
	}
	at := longestLine
	for at > longestLine-utf8.UTFMax && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at], text[at:]
}

func (s *Spool) addLine(j *job, l Line) {
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded) // ends with a newline
	e.SetEscapeHTML(false)
	_ = e.Encode(wireLine{l.At.UnixMicro(), l.Stream, l.Text}) // texts always encode
	if j.lineCount > 0 && len(j.lines)+encoded.Len() > chunkBytes {
		s.cutForLog(j)
	}
	if j.lineCount == 0 {
		j.from = l.At
	}
	j.lines = append(j.lines, encoded.Bytes()...)
	j.lineCount++
	j.to = l.At
	if j.lineCount >= chunkLines || len(j.lines) >= chunkBytes {
		s.cutForLog(j)
	}
}

// cutForLog cuts a chunk and keeps what waits in memory within bounds: by a write
// before its time, and by dropping when the disk takes none.
func (s *Spool) cutForLog(j *job) {
	if err := s.cutChunk(j); err != nil {
		s.failure = err
	}
	var waits int64
	for _, r := range j.Chunks.unsaved {
		waits += r.size()
	}
	if waits <= volatileLog {
		return
	}
	j.dirty = true
	if s.failure == nil {
		s.failure = s.commit(context.Background(), s.draft(stepLog))
	}
	if len(j.Chunks.unsaved) > 0 {
		s.dropUnsaved(j, waits)
	}
}

// dropUnsaved drops the older half of the chunks that wait in memory.
func (s *Spool) dropUnsaved(j *job, waits int64) {
	gap := control.Gap{Stream: control.Log, Reason: "The disk takes no writes and memory is bounded."}
	for _, r := range j.Chunks.unsaved {
		if waits <= volatileLog/2 {
			break
		}
		add(&gap, r)
		waits -= r.size()
	}
	if err := s.dropLog(j, gap); err != nil {
		s.failure = err
	}
	s.counts.DroppedLines += gap.Lines
}

// cutChunk makes a chunk of the lines that wait.
func (s *Spool) cutChunk(j *job) error {
	if j.lineCount == 0 {
		return nil
	}
	chunk := control.LogChunk{
		FirstLine: j.NextLine, Lines: j.lineCount, Bytes: int64(len(j.lines)),
		From: j.from, To: j.to, Attempt: j.Attempt,
	}
	doc, err := json.Marshal(chunk)
	if err != nil {
		return fmt.Errorf("encode log chunk of job %s: %w", j.ID, err)
	}
	j.Chunks.append(record{
		doc: doc, data: s.encoder.EncodeAll(j.lines, nil), lines: j.lineCount, bytes: int64(len(j.lines)),
	})
	j.NextLine += int64(j.lineCount)
	j.lines, j.lineCount = nil, 0
	j.from, j.to = time.Time{}, time.Time{}
	return nil
}

// Progress replaces the job's last sample, which lives in memory only.
func (s *Spool) Progress(id string, p Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil && j.Phase != Finished {
		j.progress = &p
		s.version++
	}
}
