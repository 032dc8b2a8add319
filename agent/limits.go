package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
)

// limits bound one report. They shrink when a report is refused for its size, and
// when one of its records is refused: halving finds which.
type limits struct {
	batch spool.BatchLimits
	found bool // the record that was refused, and is out of the way now
}

func limitsOf(l control.Limits) limits {
	batch := spool.DefaultBatchLimits()
	if l.ReportItems > 0 {
		batch.Items = min(batch.Items, l.ReportItems)
	}
	if l.ReportRecords > 0 {
		batch.Records = min(batch.Records, l.ReportRecords)
	}
	if l.ReportBytes > 0 {
		batch.Bytes = min(batch.Bytes, l.ReportBytes)
	}
	return limits{batch: batch}
}

const (
	leastBytes = 16 << 10
	leastPlain = 128 << 10
)

// halved is half as much; a single record stays one.
func (l limits) halved() limits {
	l.batch.Items = max(1, l.batch.Items/2)
	l.batch.Records = max(1, l.batch.Records/2)
	l.batch.Bytes = max(leastBytes, l.batch.Bytes/2)
	l.batch.Plain = max(leastPlain, l.batch.Plain/2)
	return l
}

func (l limits) single() bool { return l.batch.Records == 1 && l.batch.Items == 1 }

// keyReportBytes is where the size is kept that gets through to the server, and when
// that was found out.
const keyReportBytes = "report_bytes"

// learnedFor is how long a learned size is believed: boxes are replaced, too.
const learnedFor = 24 * time.Hour

type learnedSize struct {
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"`
}

// learnedLimits are the granted ones, within the size that was found to pass.
func (a *Agent) learnedLimits(granted limits) limits {
	text, ok := a.spool.Value(keyReportBytes)
	var learned learnedSize
	if ok && json.Unmarshal(text, &learned) == nil && learned.Bytes >= leastBytes && time.Since(learned.At) < learnedFor {
		granted.batch.Bytes = min(granted.batch.Bytes, learned.Bytes)
	}
	return granted
}

// learn keeps a size that gets through.
func (a *Agent) learn(ctx context.Context, bytes int64) {
	text, err := json.Marshal(learnedSize{Bytes: bytes, At: time.Now()})
	if err == nil {
		err = a.spool.SetValue(ctx, keyReportBytes, text)
	}
	if err != nil {
		a.log.Warn("learned report size not kept", "err", err)
	}
}

// shrink returns smaller limits where a report was refused for what it holds. When it
// held a single record, and it was the server's own word, a gap record takes that
// one's place: a box on the way must not make an agent throw anything away.
func (a *Agent) shrink(ctx context.Context, now limits, err error) limits {
	large := tooLarge(err)
	switch {
	case !large && !malformed(err):
		return now
	case now.single():
		var refusal *control.Refusal
		if errors.As(err, &refusal) {
			now.found = a.rejectFirst(ctx, now, err)
		}
		return now
	}
	now = now.halved()
	if large {
		a.learn(ctx, now.batch.Bytes)
	}
	a.log.Warn("report refused, halving", "records", now.batch.Records, "err", err)
	return now
}

// rejectFirst puts the record that a report of one would hold aside, and reports
// whether it did.
func (a *Agent) rejectFirst(ctx context.Context, now limits, cause error) bool {
	items, err := a.spool.Batch(ctx, now.batch, a.directives.logTravels)
	if err != nil || len(items) == 0 {
		return false
	}
	item := items[0]
	stream, seq := control.GapStream("log"), int64(0)
	switch {
	case len(item.Events) > 0:
		stream, seq = "events", item.Events[0].Seq
	case len(item.Log) > 0:
		seq = item.Log[0].Seq
	default:
		return false
	}
	if err := a.spool.Reject(ctx, item.JobId, stream, seq, "refused by the server: "+cause.Error()); err != nil {
		a.log.Error("refused record not put aside", "job", item.JobId, "err", err)
		return false
	}
	return true
}

// regrow returns to the granted limits once the record that was refused is out, and
// else doubles the numbers of jobs and records. The bytes stay at what was learned.
func (a *Agent) regrow(now, granted limits) limits {
	most := a.learnedLimits(granted)
	if now.found {
		return most
	}
	now.batch.Items = min(most.batch.Items, 2*now.batch.Items)
	now.batch.Records = min(most.batch.Records, 2*now.batch.Records)
	now.batch.Plain = min(most.batch.Plain, 2*now.batch.Plain)
	return now
}

// tooLarge reports whether the size of a report was refused, by the server or by
// something on the way.
func tooLarge(err error) bool {
	var transport *control.TransportError
	return control.IsRefusal(err, codeBodyTooLarge) ||
		errors.As(err, &transport) && transport.Status == http.StatusRequestEntityTooLarge
}

// malformed reports whether the server refused a report for a record in it.
func malformed(err error) bool {
	var refusal *control.Refusal
	return errors.As(err, &refusal) && (refusal.Status == http.StatusBadRequest || refusal.Status == http.StatusUnprocessableEntity)
}
