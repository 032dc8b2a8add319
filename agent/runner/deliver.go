package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	partSize        = 512 << 10
	deliverDeadline = time.Hour
	mostBack        = 100 // how often the other side may ask for something again
)

// parts is a result that is handed over in parts.
type parts interface {
	// at returns the part that begins at an offset, and whether it is the last; it waits
	// for what is still to come.
	at(ctx context.Context, offset int64) (part []byte, last bool, err error)
	// size is how many bytes there are so far.
	size() int64
}

// send hands over a result from wherever the other side wants it.
func (t *Task) send(ctx context.Context, name string, p parts) error {
	for offset, back := int64(0), 0; ; {
		part, last, err := p.at(ctx, offset)
		if err != nil {
			return err
		}
		to := offset + int64(len(part))
		next, err := t.runner.listings.Put(ctx, t.Job.ID, name, offset, part, last)
		switch {
		case err != nil:
			return err
		case next < 0 || next > p.size(): //guard:listing-offset
			return fmt.Errorf("the server asked for byte %d of %d", next, p.size())
		case last && next == to:
			return nil
		case next == offset && to > offset:
			return fmt.Errorf("the server took nothing from byte %d on", offset)
		case next < offset:
			if back++; back > mostBack { //guard:listing-again
				return fmt.Errorf("the server asked again and again for what it was given")
			}
		}
		offset = next
	}
}

// deliver hands over a result that is in memory. An empty one is one empty last part.
func (t *Task) deliver(ctx context.Context, name string, result []byte) error {
	ctx, cancel := context.WithTimeout(ctx, deliverDeadline)
	defer cancel()
	return t.send(ctx, name, inMemory(result))
}

// inMemory is a result that is there as a whole.
type inMemory []byte

func (m inMemory) size() int64 { return int64(len(m)) }

func (m inMemory) at(_ context.Context, offset int64) ([]byte, bool, error) {
	to := min(offset+partSize, m.size())
	return m[offset:to], to == m.size(), nil
}

// upload is a result that grows while it is handed over. What was made waits in a private
// file: neither a slow network nor a server that lost what it had stops what makes it, and
// none of it stays in memory.
type upload struct {
	task   *Task
	file   *os.File
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when nothing is handed over any more

	mu    sync.Mutex
	ends  []int64 // where each part ends
	whole bool
	err   error // why it could not be handed over
	grown chan struct{}
}

// upload begins a result. Until it is closed, the task keeps it for discardUploads.
func (t *Task) upload(ctx context.Context, name string) (*upload, error) {
	file, err := t.runner.restic.Scratch()
	if err != nil {
		return nil, fmt.Errorf("make a file for the result: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	u := &upload{task: t, file: file, cancel: cancel, done: make(chan struct{}), grown: make(chan struct{}, 1)}
	t.uploads = append(t.uploads, u)
	go func() {
		defer close(u.done)
		err := t.send(ctx, name, u)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.err = err
	}()
	return u, nil
}

// add appends a part, of at most partSize bytes, and returns why the disk refuses it or why
// there is no point in more.
func (u *upload) add(part []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	from := u.end(len(u.ends))
	if _, err := u.file.WriteAt(part, from); err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	u.ends = append(u.ends, from+int64(len(part)))
	u.tell()
	return nil
}

// end is where the first n parts end.
func (u *upload) end(n int) int64 {
	if n == 0 {
		return 0
	}
	return u.ends[n-1]
}

func (u *upload) tell() {
	select {
	case u.grown <- struct{}{}:
	default:
	}
}

func (u *upload) size() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.end(len(u.ends))
}

// at waits until the part at an offset is known to be the last or not.
func (u *upload) at(ctx context.Context, offset int64) ([]byte, bool, error) {
	for {
		from, to, last, known := u.find(offset)
		if known {
			part := make([]byte, to-from)
			if _, err := u.file.ReadAt(part, from); err != nil && !errors.Is(err, io.EOF) {
				return nil, false, fmt.Errorf("read the result: %w", err)
			}
			return part, last, nil
		}
		select {
		case <-u.grown:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// find returns the rest of the part in which an offset lies. A result without parts is one
// that is empty.
func (u *upload) find(offset int64) (from, to int64, last, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := len(u.ends); i > 0 && u.end(i) > offset; i-- {
		from, to, last, known = offset, u.ends[i-1], u.whole && i == len(u.ends), u.whole || i < len(u.ends)
	}
	if !known && u.whole {
		return offset, offset, true, true
	}
	return from, to, last, known
}

// errNotTaken ends the handing over of a result that is whole.
var errNotTaken = fmt.Errorf("the server did not take it within %s", deliverDeadline)

// close waits until the whole result was taken.
func (u *upload) close() error {
	u.mu.Lock()
	u.whole = true
	u.tell()
	u.mu.Unlock()
	timer := time.AfterFunc(deliverDeadline, func() { u.cancel(errNotTaken) })
	defer timer.Stop()
	<-u.done
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// discard ends the handing over and removes the file.
func (u *upload) discard() {
	u.cancel(nil)
	<-u.done
	_ = u.file.Close()
	u.task.runner.record("remove result", u.task.Job, os.Remove(u.file.Name()))
}

// discardUploads leaves nothing of results behind, when the job has ended one way or
// another.
func (t *Task) discardUploads() {
	for _, u := range t.uploads {
		u.discard()
	}
	t.uploads = nil
}
