package agent

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
)

// limits bound one report. They shrink when a report is refused for its size, and
// when one of its records is refused: halving finds which.
type limits struct {
	batch   spool.BatchLimits
	hunting bool // for a record that the server cannot take
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

// keyReportBytes is where the size is kept that gets through to the server.
const keyReportBytes = "report_bytes"

// learnedLimits are the granted ones, within the size that was found to pass.
func (a *Agent) learnedLimits(granted limits) limits {
	if text, ok := a.spool.Value(keyReportBytes); ok {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && n >= leastBytes {
			granted.batch.Bytes = min(granted.batch.Bytes, n)
		}
	}
	return granted
}

// shrink returns smaller limits where a report was refused for what it holds. When a
// single record is refused, a gap record takes its place.
func (a *Agent) shrink(ctx context.Context, now limits, err error) limits {
	switch {
	case tooLarge(err):
		now = now.halved()
		text := strconv.AppendInt(nil, now.batch.Bytes, 10)
		if err := a.spool.SetValue(ctx, keyReportBytes, text); err != nil {
			a.log.Warn("learned report size not kept", "err", err)
		}
	case malformed(err):
		now = now.halved()
		now.hunting = true
	default:
		return now
	}
	a.log.Warn("report refused, halving", "records", now.batch.Records, "err", err)
	if now.single() {
		a.rejectFirst(ctx, now, err)
	}
	return now
}

// rejectFirst puts the record that a report of one would hold aside.
func (a *Agent) rejectFirst(ctx context.Context, now limits, cause error) {
	items, err := a.spool.Batch(ctx, now.batch, a.directives.logTravels)
	if err != nil || len(items) == 0 {
		return
	}
	item := items[0]
	stream, seq := control.GapStream("log"), int64(0)
	switch {
	case len(item.Events) > 0:
		stream, seq = "events", item.Events[0].Seq
	case len(item.Log) > 0:
		seq = item.Log[0].Seq
	default:
		return
	}
	if err := a.spool.Reject(ctx, item.JobId, stream, seq, "refused by the server: "+cause.Error()); err != nil {
		a.log.Error("refused record not put aside", "job", item.JobId, "err", err)
	}
}

// regrow returns to the granted limits once the record that was hunted is out.
func (a *Agent) regrow(now, granted limits) limits {
	if now.hunting && now.single() {
		return a.learnedLimits(granted)
	}
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
