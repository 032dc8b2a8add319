package restic

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode"
)

const (
	maxLine     = 1 << 20   // bytes kept of a line; the rest is counted
	maxDocument = 256 << 20 // bytes of a document, about 400 000 snapshots
)

// readLines calls line for each line of stream, without its end, until the end of
// the stream. Of a long line it keeps limit bytes and counts the rest. A last line
// without an end counts as a line.
func readLines(stream io.Reader, limit int, line func(text []byte, omitted int64)) error {
	reader := bufio.NewReaderSize(stream, 64<<10)
	var kept []byte
	var omitted int64
	for {
		part, err := reader.ReadSlice('\n')
		take := min(len(part), max(0, limit-len(kept)))
		if errors.Is(err, bufio.ErrBufferFull) || err == nil || len(part) > 0 {
			kept = append(kept, part[:take]...)
			omitted += int64(len(part) - take)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(kept) == 0 && omitted == 0:
			return endOfStream(err)
		}
		if omitted > 0 && err == nil {
			omitted-- // the line's end
		}
		line(trimEnd(kept), omitted)
		if err != nil {
			return endOfStream(err)
		}
		kept, omitted = kept[:0], 0
	}
}

func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

func endOfStream(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readDocument reads lines until one begins with { or [, takes the JSON value
// that begins there, which may have many lines, and goes on with lines. It
// returns nil when there is no complete value.
func readDocument(stream io.Reader, limit int, line func(text []byte, omitted int64)) (json.RawMessage, error) {
	reader := bufio.NewReaderSize(stream, 64<<10)
	if found, err := toDocument(reader, line); err != nil || !found {
		return nil, err
	}
	var document json.RawMessage
	decoder := json.NewDecoder(io.LimitReader(reader, maxDocument))
	if err := decoder.Decode(&document); err != nil {
		document = nil // cut short, or not JSON after all; the rest is drained below
	}
	rest := io.MultiReader(decoder.Buffered(), reader)
	return document, readLines(rest, limit, func(text []byte, omitted int64) {
		if len(text) > 0 || omitted > 0 {
			line(text, omitted)
		}
	})
}

var controlSequence = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])`)

// cleanText makes valid UTF-8 without terminal control sequences and without
// control characters but tabs. A carriage return, which would overwrite on a
// terminal, becomes a blank; at an end it is dropped.
func cleanText(raw []byte) string {
	text := strings.ToValidUTF8(string(raw), "\uFFFD")
	text = controlSequence.ReplaceAllString(text, "")
	text = strings.Trim(text, "\r")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return ' '
		case r != '\t' && unicode.IsControl(r):
			return '\uFFFD'
		}
		return r
	}, text)
}

// firstLine returns the first line that is not empty, cut to a readable length.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		const limit = 500
		if runes := []rune(line); len(runes) > limit {
			return string(runes[:limit]) + "…"
		}
		return line
	}
	return ""
}

// messageType returns the message_type of a JSON message, or "".
func messageType(raw []byte) string {
	var m struct {
		Type string `json:"message_type"`
	}
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return ""
	}
	return m.Type
}
