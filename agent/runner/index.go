package runner

import (
	"context"
	"fmt"
	"strings"

	"restic-manager/restic"
	"restic-manager/restic/listing"
)

type indexFacts struct {
	Entries    int64 `json:"entries"`
	Folders    int64 `json:"folders"`
	TotalBytes int64 `json:"total_bytes"`
	Bytes      int64 `json:"bytes"`
	Skipped    int64 `json:"skipped"`
}

// runIndex lists a snapshot once, and hands over the index of it while it is made.
func runIndex(ctx context.Context, t *Task) *Ending {
	id := t.Params.String("snapshot_id")
	if e := t.chosen(ctx, id); e != nil {
		return e
	}
	up, err := t.upload(ctx, "index")
	if err != nil {
		return failed(CodeListingNotDelivered, err.Error(), "make room in the agent's temporary folder")
	}
	out := &partWriter{up: up}
	index := listing.NewWriter(out)
	_, e := perform(ctx, t, restic.List{SnapshotID: id, Each: func(n restic.Node) error { return index.Add(entryOf(n)) }})
	if e != nil {
		return e
	}
	summary, err := index.Close()
	if err == nil {
		err = out.close()
	}
	if err == nil {
		err = up.close()
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return stopped(ctx)
	case err != nil:
		return failed(CodeListingNotDelivered, "the index could not be handed over: "+err.Error(), "run it again when the server is reached")
	}
	e = outcomeOf(fmt.Sprintf("%s indexed", counted(summary.Entries, "entry", "entries")))
	if summary.Skipped > 0 {
		e.addMessage(counted(summary.Skipped, "entry has a path too long to be listed", "entries have paths too long to be listed"))
	}
	e.facts(indexFacts{Entries: summary.Entries, Folders: summary.Folders, TotalBytes: summary.Bytes, Bytes: out.written, Skipped: summary.Skipped})
	return e
}

// entryOf is an entry of a snapshot as the index has it.
func entryOf(n restic.Node) listing.Entry {
	cut := strings.LastIndexByte(n.Path, '/')
	e := listing.Entry{Folder: n.Path[:max(cut, 1)], Name: n.Path[cut+1:], Size: n.Size, Mode: n.Mode, ModTime: n.ModTime}
	switch n.Type {
	case "file":
	case "dir":
		e.Type = listing.Dir
	case "symlink":
		e.Type = listing.Symlink
	default:
		e.Type = listing.Other
	}
	return e
}

// partWriter cuts what is written into the parts of an upload.
type partWriter struct {
	up      *upload
	part    []byte
	written int64
}

func (w *partWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), partSize-len(w.part))
		w.part, p = append(w.part, p[:take]...), p[take:]
		if len(w.part) == partSize {
			if err := w.close(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// close hands on what is left.
func (w *partWriter) close() error {
	if len(w.part) == 0 {
		return nil
	}
	err := w.up.add(w.part)
	w.written += int64(len(w.part))
	w.part = w.part[:0]
	return err
}
