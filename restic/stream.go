package restic

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
)

// notTaken is an error of who takes a result, not of restic.
type notTaken struct{ error }

func (n notTaken) Unwrap() error { return n.error }

// byItem hands lines to an op's item, one by one, and keeps none that it took: a result
// may have a million. After an error it takes no more, and restic is stopped.
func (c *collector) byItem(item func([]byte) (bool, error)) func([]byte, int64) {
	return func(text []byte, omitted int64) {
		if c.refused != nil {
			return
		}
		took, err := false, error(nil)
		if omitted == 0 && len(text) > 0 {
			took, err = item(text)
		}
		switch {
		case err != nil:
			c.refuse(err)
		case took:
			c.took()
		default:
			c.line(Stdout, text, omitted)
		}
	}
}

// aliveEvery is after how many lines the clock is asked.
const aliveEvery = 256

// took counts a line, which is a sign of life too.
func (c *collector) took() {
	c.output.taken++ // by the reader of stdout alone, until both streams have ended
	if c.output.taken%aliveEvery == 1 {
		c.alive()
	}
}

// alive notes that restic goes on.
func (c *collector) alive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = c.now()
}

// refuse notes why the result is not taken, and has restic stopped.
func (c *collector) refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = err
		close(c.refusedSign)
	}
}

// take has an op read a document. One that ends too early is restic's matter, and is told
// by its exit code.
func (c *collector) take(read func(*json.Decoder) error, dec *json.Decoder) {
	c.alive()
	err := read(dec)
	var refusal notTaken
	switch {
	case err == nil:
		c.output.whole = true
	case errors.As(err, &refusal):
		c.refuse(refusal.error)
	}
}

// readStream reads lines until one begins with [ or {, has the JSON value that begins
// there read by document, and goes on with lines.
func readStream(stream io.Reader, limit int, line func([]byte, int64), document func(*json.Decoder)) error {
	reader := bufio.NewReaderSize(stream, 64<<10)
	found, err := toDocument(reader, line)
	if err != nil || !found {
		return err
	}
	decoder := json.NewDecoder(reader)
	document(decoder)
	return readLines(io.MultiReader(decoder.Buffered(), reader), limit, func(text []byte, omitted int64) {
		if len(text) > 0 || omitted > 0 {
			line(text, omitted)
		}
	})
}

// toDocument reads lines until one begins with [ or {; false at the end of the stream.
func toDocument(reader *bufio.Reader, line func([]byte, int64)) (bool, error) {
	for {
		first, err := reader.Peek(1)
		if err != nil {
			return false, endOfStream(err)
		}
		if first[0] == '{' || first[0] == '[' {
			return true, nil
		}
		text, err := reader.ReadSlice('\n')
		line(trimEnd(text), 0) // in one piece: what comes before a document is short
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false, endOfStream(err)
		}
	}
}
