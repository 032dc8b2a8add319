package job

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"restic-manager/server/fleet"
)

// What a page of a log holds: chunks are read until there are this many lines.
const (
	pageLines  = 2000
	pageChunks = 20 // read at a time
	maxText    = 16 << 10
)

// Results travel before logs. A finished job's log is complete when the chunks are
// there that its agent told of, or nothing came for so long.
const (
	settleTime  = 5 * time.Second // where the agent did not tell
	patientTime = time.Minute     // where it told of more
)

// LogQuery says where to read a job's log from; at most one is set.
type LogQuery struct {
	AfterSeq int64 // behind this chunk
	FromLine int64 // from the chunk that holds this line
	Tail     int   // from the chunk that holds the last so many lines
}

// LogLine is one line of a job's log.
type LogLine struct {
	N      int64 // from 1; lines that were lost leave a hole
	At     time.Time
	Stream string // "stdout", "stderr", "agent"
	Text   string
}

// LogPage is some lines of a log, whole chunks of them.
type LogPage struct {
	Lines []LogLine
	Next  int64 // the AfterSeq of the next page
	End   bool  // the job is finished and nothing more will come
}

// Log reads about 2 000 lines of a job's log at most. It fails with NotFound.
//
// Chunks are as an agent made them, so nothing in them is trusted: they are
// decompressed within bounds, lines are capped, and a chunk that is not what it
// says becomes one line that says so.
func (s *Service) Log(ctx context.Context, id fleet.JobID, q LogQuery) (LogPage, error) {
	j, err := s.Store.Job(ctx, id)
	if err != nil {
		return LogPage{}, err
	}
	page := LogPage{Lines: []LogLine{}}
	if page.Next, err = s.startOf(ctx, j, q); err != nil {
		return LogPage{}, err
	}
	d, err := newChunkReader()
	if err != nil {
		return LogPage{}, err
	}
	defer d.close()
	atEnd := false
	for !atEnd && len(page.Lines) < pageLines {
		chunks, err := s.Store.LogChunks(ctx, id, page.Next, pageChunks)
		if err != nil {
			return LogPage{}, err
		}
		atEnd = len(chunks) < pageChunks
		for i := range chunks {
			if len(page.Lines) >= pageLines {
				atEnd = false
				break
			}
			page.Lines = append(page.Lines, d.lines(&chunks[i])...)
			page.Next = chunks[i].Seq
		}
	}
	if atEnd && !j.Active() {
		page.End, err = s.settled(j)
	}
	if page.End && page.Next == 0 && j.LogLines > 0 {
		page.Lines = []LogLine{{N: 1, At: j.FinishedAt.Time(), Stream: "agent", Text: "[this log is not kept any more]"}}
	}
	return page, err
}

// settled tells whether nothing more of a finished job's log is awaited.
func (s *Service) settled(j *fleet.Job) (bool, error) {
	var o Outcome
	if err := j.Outcome.Read(&o); err != nil {
		return false, fmt.Errorf("read the outcome of job %s: %w", j.ID, err)
	}
	quiet := s.Store.Now().Sub(j.LastReport.Time())
	if o.LogNextSeq == 0 {
		return quiet > settleTime, nil
	}
	return j.NextLogSeq >= o.LogNextSeq || quiet > patientTime, nil
}

// startOf finds the chunk behind which to begin.
func (s *Service) startOf(ctx context.Context, j *fleet.Job, q LogQuery) (int64, error) {
	line := q.FromLine
	if q.Tail > 0 {
		line = max(1, j.LogLines-int64(q.Tail)+1)
	}
	if line <= 0 {
		return max(0, q.AfterSeq), nil
	}
	seq, err := s.Store.LogChunkAt(ctx, j.ID, line)
	return max(0, seq-1), err
}

// chunkReader decompresses chunks.
type chunkReader struct{ zstd *zstd.Decoder }

func newChunkReader() (*chunkReader, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxChunkBytes), zstd.WithDecoderMaxWindow(maxChunkBytes))
	if err != nil {
		return nil, fmt.Errorf("make a decompressor: %w", err)
	}
	return &chunkReader{d}, nil
}

func (r *chunkReader) close() { r.zstd.Close() }

// wireLine is a line as chunks hold it.
type wireLine struct {
	Micros int64  `json:"t"`
	Stream string `json:"s"`
	Text   string `json:"m"`
}

// lines decodes a chunk: at most as many lines as it declares.
func (r *chunkReader) lines(c *fleet.LogChunk) []LogLine {
	unreadable := []LogLine{{
		N: c.FirstLine, At: c.From.Time(), Stream: "agent", Text: fmt.Sprintf("[%d lines cannot be read: their part of the log is damaged]", c.Lines),
	}}
	plain, err := r.zstd.DecodeAll(c.Data, make([]byte, 0, min(c.Bytes, maxChunkBytes)))
	if err != nil || int64(len(plain)) > max(c.Bytes, 0) { //guard:log-chunk
		return unreadable
	}
	lines := make([]LogLine, 0, c.Lines)
	for raw := range bytes.Lines(plain) {
		var l wireLine
		if len(lines) == c.Lines || json.Unmarshal(raw, &l) != nil {
			return unreadable
		}
		lines = append(lines, LogLine{
			N: c.FirstLine + int64(len(lines)), At: time.UnixMicro(l.Micros).UTC(), Stream: streamName(l.Stream), Text: capped(l.Text),
		})
	}
	return lines
}

func streamName(short string) string {
	switch short {
	case "o":
		return "stdout"
	case "e":
		return "stderr"
	}
	return "agent"
}

// capped shortens a line that nobody would read, and makes it UTF-8.
func capped(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	return clip(text, maxText) + " […]"
}
