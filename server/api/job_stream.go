package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// eventsPerPage is how many events an answer holds at most.
const eventsPerPage = 500

// ListJobEvents reads a job's events after a number.
func (h *Handlers) ListJobEvents(ctx context.Context, r ListJobEventsRequestObject) (ListJobEventsResponseObject, error) {
	id := fleet.JobID(r.JobId)
	page := EventPage{Events: []Event{}, NextAfterSeq: r.Params.AfterSeq}
	err := h.wait(ctx, r.Params.Wait, topicOf(fleet.TopicJobs, id), func() (bool, error) {
		j, err := h.watchedJob(ctx, id, r.Params.Wait)
		if err != nil {
			return false, err
		}
		events, err := h.store.Events(ctx, id, r.Params.AfterSeq, eventsPerPage)
		if err != nil {
			return false, err
		}
		if page.Events, err = toEvents(events); err != nil {
			return false, err
		}
		if n := len(events); n > 0 {
			page.NextAfterSeq = events[n-1].Seq
		}
		page.End = !j.Active() && page.NextAfterSeq >= j.NextEventSeq-1
		return page.End || len(events) > 0, nil
	})
	return ListJobEvents200JSONResponse(page), err
}

// ListJobRows reads a page of the rows of a job's result.
func (h *Handlers) ListJobRows(ctx context.Context, r ListJobRowsRequestObject) (ListJobRowsResponseObject, error) {
	rows, total, next, err := h.jobs.Rows(ctx, fleet.JobID(r.JobId), store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken})
	return ListJobRows200JSONResponse{Rows: orEmpty(rows), Total: total, NextPageToken: next}, err
}

func toEvents(events []fleet.Event) ([]Event, error) {
	views := make([]Event, len(events))
	for i, e := range events {
		if err := e.Body.Read(&views[i]); err != nil {
			return nil, fmt.Errorf("read event %d of job %s: %w", e.Seq, e.JobID, err)
		}
		views[i].Seq, views[i].Kind, views[i].ReceivedAt = e.Seq, e.Kind, e.ReceivedAt.Time()
	}
	return views, nil
}

// ReadJobLog reads a job's log after a chunk, from a line, or its end.
func (h *Handlers) ReadJobLog(ctx context.Context, r ReadJobLogRequestObject) (ReadJobLogResponseObject, error) {
	id := fleet.JobID(r.JobId)
	query := job.LogQuery{AfterSeq: r.Params.AfterSeq, FromLine: r.Params.FromLine, Tail: r.Params.Tail}
	if count(query.AfterSeq > 0, query.FromLine > 0, query.Tail > 0) > 1 {
		return nil, fleet.Errorf(fleet.Invalid, "Give one of after_seq, from_line and tail.").At("after_seq")
	}
	var page job.LogPage
	err := h.wait(ctx, r.Params.Wait, topicOf(fleet.TopicJobs, id), func() (bool, error) {
		if _, err := h.watchedJob(ctx, id, r.Params.Wait); err != nil {
			return false, err
		}
		var err error
		page, err = h.jobs.Log(ctx, id, query)
		return page.End || len(page.Lines) > 0, err
	})
	if err != nil {
		return nil, err
	}
	view := LogPage{Lines: make([]LogLine, len(page.Lines)), NextAfterSeq: page.Next, End: page.End}
	for i, l := range page.Lines {
		view.Lines[i] = LogLine{N: l.N, At: l.At, Stream: LogLineStream(l.Stream), Text: l.Text}
	}
	return ReadJobLog200JSONResponse(view), nil
}

func count(facts ...bool) (n int) {
	for _, f := range facts {
		if f {
			n++
		}
	}
	return n
}

// DownloadJobLog sends a job's whole log, page by page as it is read.
func (h *Handlers) DownloadJobLog(ctx context.Context, r DownloadJobLogRequestObject) (DownloadJobLogResponseObject, error) {
	id := fleet.JobID(r.JobId)
	first, err := h.jobs.Log(ctx, id, job.LogQuery{}) // its errors still get a status
	if err != nil {
		return nil, err
	}
	d := logDownload{page: first, format: r.Params.Format, name: "job-" + r.JobId}
	d.next = func(after int64) (job.LogPage, error) { return h.jobs.Log(ctx, id, job.LogQuery{AfterSeq: after}) }
	return d, nil
}

// logDownload is an answer that is written while it is read, since a log may be
// larger than memory should hold.
type logDownload struct {
	page   job.LogPage
	next   func(after int64) (job.LogPage, error)
	format DownloadJobLogParamsFormat
	name   string
}

// VisitDownloadJobLogResponse writes the log. An error after the first bytes cuts
// the connection, so that nobody takes a part for the whole.
func (d logDownload) VisitDownloadJobLogResponse(w http.ResponseWriter) error {
	media, extension, line := "text/plain; charset=utf-8", ".log", writeText
	if d.format == Ndjson {
		media, extension, line = "application/x-ndjson", ".ndjson", writeNDJSON
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+d.name+extension+`"`)
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriter(w)
	for page := d.page; ; {
		for _, l := range page.Lines {
			if err := line(out, l); err != nil {
				return nil // the client is gone
			}
		}
		if page.End || len(page.Lines) == 0 {
			break
		}
		var err error
		if page, err = d.next(page.Next); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	_ = out.Flush() // the client may be gone
	return nil
}

func writeText(w io.Writer, l job.LogLine) error {
	_, err := fmt.Fprintf(w, "%s %s %s\n", l.At.UTC().Format(time.RFC3339), l.Stream, strings.TrimRight(l.Text, "\r\n"))
	return err
}

func writeNDJSON(w io.Writer, l job.LogLine) error {
	return json.NewEncoder(w).Encode(LogLine{N: l.N, At: l.At, Stream: LogLineStream(l.Stream), Text: l.Text})
}
