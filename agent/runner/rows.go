package runner

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"

	"restic-manager/agent/spool"
)

// Bounds of a result's rows, of the contract where it has them.
const (
	maxRows      = 1_000_000
	maxRowsBytes = 31 << 20 // compressed; a server takes a little more
	maxPartRows  = 5_000
	maxPartPlain = 4 << 20
	maxRow       = 48 << 10 // bytes of one row; longer texts in it are cut
	maxFacts     = 64 << 10

	// packEvery is after how many bytes the compressor is asked how much it has made. A
	// part is cut while what comes until the next time fits into it even if it cannot be
	// compressed.
	packEvery = 64 << 10
	packRoom  = partSize - 2*(packEvery+maxRow)
)

// rows are the rows of a job's result: they are handed over while the job goes on, and few
// of them are ever in memory. Not safe for concurrent use.
type rows struct {
	task *Task
	ctx  context.Context // of the job; a writer lives as long as its recipe runs

	up      *upload // nil before the first part
	part    bytes.Buffer
	pack    *gzip.Writer
	inPart  int // rows in the part
	plain   int // their bytes
	written int // of those, since the compressor was asked
	sent    int // bytes of the parts before

	taken, omitted, cut int64
	err                 error
}

// rows begins the rows of the job's result. After a mistake, Add and Close return it; of a
// writer that is left open nothing counts, whatever was handed over of it.
func (t *Task) rows(ctx context.Context) *rows {
	r := &rows{task: t, ctx: ctx}
	r.pack = gzip.NewWriter(&r.part)
	return r
}

// Add appends a row, which marshals to a JSON object. Rows after the first 1 000 000, or
// the first 31 MiB of compressed ones, are only counted. An error means that the result
// cannot be handed over: there is no point in going on for its sake.
func (r *rows) Add(row any) error {
	if r.err != nil {
		return r.err
	}
	if r.taken == maxRows || r.sent > maxRowsBytes-partSize || r.omitted > 0 {
		r.omitted++
		return nil
	}
	line, err := lineOf(row)
	if err == nil && len(line) > maxRow {
		line, err = shorten(line, maxRow)
		r.cut++
	}
	if err == nil {
		err = r.write(line)
	}
	r.err = err
	return err
}

// lineOf is a row as one line of JSON.
func lineOf(row any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(row); err != nil {
		return nil, fmt.Errorf("write a row: %w", err)
	}
	return line.Bytes(), nil
}

func (r *rows) write(line []byte) error {
	if r.inPart == maxPartRows || r.plain+len(line) > maxPartPlain {
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.pack.Write(line) // into memory: never fails
	r.taken, r.inPart, r.plain, r.written = r.taken+1, r.inPart+1, r.plain+len(line), r.written+len(line)
	if r.written < packEvery {
		return nil
	}
	r.pack.Flush()
	r.written = 0
	if r.part.Len() > packRoom {
		return r.flush()
	}
	return nil
}

// flush ends the part, and hands it on.
func (r *rows) flush() error {
	if r.inPart == 0 {
		return nil
	}
	if r.up == nil {
		up, err := r.task.upload(r.ctx, "rows")
		if err != nil {
			return err
		}
		r.up = up
	}
	r.pack.Close()
	if err := r.up.add(r.part.Bytes()); err != nil {
		return err
	}
	r.sent += r.part.Len()
	r.part.Reset()
	r.pack.Reset(&r.part)
	r.inPart, r.plain, r.written = 0, 0, 0
	return nil
}

// Close returns when all rows were taken, and how many. A result without rows is not
// handed over.
func (r *rows) Close() (n int64, err error) {
	if r.err == nil {
		r.err = r.flush()
	}
	if r.err == nil && r.up != nil {
		r.err = r.up.close()
	}
	return r.taken, r.err
}

// into closes the rows and tells of them in the ending of a job that succeeded. Where they
// could not be handed over, the ending is another: a failure, of a job whose result they
// are.
func (r *rows) into(e *Ending) *Ending {
	n, err := r.Close()
	if err != nil {
		return r.notTaken(err)
	}
	e.Rows = n
	if r.omitted > 0 {
		e.addMessage(fmt.Sprintf("the list ends after %d rows; %d more are not in it", n, r.omitted))
	}
	if r.cut > 0 {
		e.addMessage(fmt.Sprintf("%d rows were too long, and texts in them end with …", r.cut))
	}
	return e
}

// notTaken is the ending of a job whose result could not be handed over.
func (r *rows) notTaken(err error) *Ending {
	if r.ctx.Err() != nil {
		return stopped(r.ctx)
	}
	return failed(CodeListingNotDelivered, "the result could not be handed over: "+err.Error(), "run it again when the server is reached")
}

// addMessage appends a sentence to what the ending says.
func (e *Ending) addMessage(text string) {
	if e.Message != "" {
		text = e.Message + "; " + text
	}
	e.Message = clip(text, 4000)
}

// facts puts what the operation found out, an object, into the outcome. Members are cut
// where it is too large.
func (e *Ending) facts(v any) {
	object, err := lineOf(v)
	if err == nil && len(object) > maxFacts {
		object, err = shorten(object, maxFacts)
	}
	if err == nil {
		e.Facts = json.RawMessage(bytes.TrimSpace(object))
	}
}

// shorten cuts the texts and lists in an object until it has at most n bytes, and ends
// with …, where it cuts.
func shorten(object []byte, n int) ([]byte, error) {
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		return nil, fmt.Errorf("shorten: %w", err)
	}
	for most := 8 << 10; most >= 16; most /= 2 {
		for name, value := range members {
			members[name] = shortened(value, most)
		}
		line, err := lineOf(members)
		if err != nil || len(line) <= n {
			return line, err
		}
	}
	return nil, fmt.Errorf("an object of %d bytes cannot be shortened to %d", len(object), n)
}

// shortened cuts a text to most bytes, and a list to as many entries as fit.
func shortened(value any, most int) any {
	switch v := value.(type) {
	case string:
		return clip(v, most)
	case []any:
		if len(v) > most/16 {
			v = append(v[:most/16:most/16], "…")
		}
		for i := range v {
			v[i] = shortened(v[i], most)
		}
		return v
	case map[string]any:
		for name := range v {
			v[name] = shortened(v[name], most)
		}
	}
	return value
}

// outcomeOf is the ending of a job that did what it was to do.
func outcomeOf(message string) *Ending {
	return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, Message: clip(message, 4000)}}
}
