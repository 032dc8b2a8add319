package model_test

import (
	"context"
	"fmt"
	"time"
)

// seenEvent is what readers look at of an event.
type seenEvent struct {
	Seq  int64
	Kind string
	Gap  *struct {
		Stream   string
		FirstSeq int64 `json:"first_seq"`
		LastSeq  int64 `json:"last_seq"`
		Lines    int64
	}
}

// last is the number of the last record that the event stands for.
func (e seenEvent) last() int64 {
	if e.Gap != nil && e.Gap.Stream == "events" {
		return e.Gap.LastSeq
	}
	return e.Seq
}

// watch follows one of the newest jobs for a while, as a browser does, by cursors and
// parked requests. Whatever happens meanwhile, nothing is shown twice or left out.
func (w *world) watch(ctx context.Context) {
	w.meanwhile(func() {
		ids := w.jobs(ctx)
		if len(ids) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, w.dice.between(10*time.Second, 3*time.Minute))
		defer cancel()
		v := &viewer{w: w, job: ids[min(w.dice.below(3), len(ids)-1)]}
		for !v.over && ctx.Err() == nil {
			if !v.readEvents(ctx) || !v.readLog(ctx) {
				sleep(ctx, time.Second)
			}
		}
	})
}

// viewer is where somebody stands in a job's streams.
type viewer struct {
	w     *world
	job   string
	event int64 // number of the last event that was read
	chunk int64 // number of the last chunk
	line  int64 // number of the last line
	over  bool  // nothing more will come
}

func (v *viewer) readEvents(ctx context.Context) bool {
	var page struct{ Events []seenEvent }
	path := fmt.Sprintf("/api/v1/jobs/%s/events?after_seq=%d&wait=2", v.job, v.event)
	if v.w.person.call(ctx, "GET", path, "", nil, &page) != nil {
		return false
	}
	for _, e := range page.Events {
		if e.Seq != v.event+1 {
			v.w.t.Errorf("a reader of job %s got event %d after %d", v.job, e.Seq, v.event)
		}
		v.event = e.last()
	}
	return true
}

func (v *viewer) readLog(ctx context.Context) bool {
	var page struct {
		Lines []struct{ N int64 }
		Next  int64 `json:"next_after_seq"`
		End   bool
	}
	path := fmt.Sprintf("/api/v1/jobs/%s/log?after_seq=%d&wait=5", v.job, v.chunk)
	if v.w.person.call(ctx, "GET", path, "", nil, &page) != nil {
		return false
	}
	for _, l := range page.Lines {
		if l.N <= v.line {
			v.w.t.Errorf("a reader of job %s got line %d after %d", v.job, l.N, v.line)
		}
		v.line = l.N
	}
	if page.Next < v.chunk {
		v.w.t.Errorf("a reader of job %s was sent back from chunk %d to %d", v.job, v.chunk, page.Next)
	}
	v.chunk, v.over = page.Next, page.End
	return true
}
