package agent

import (
	"context"
	"time"

	"restic-manager/agent/control"
)

// keepReported hands over job records until the session ends: what happened at
// once, samples and logs at intervals. One report is under way at a time, so that
// none overtakes another.
func (a *Agent) keepReported(ctx context.Context, session string, granted limits) error {
	backoff := control.Backoff{Rand: a.rand}
	now := a.learnedLimits(granted)
	var last unanswered
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		sent, full, err := a.reportOnce(ctx, session, now, &last)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && endsSession(err):
			return err
		case err != nil:
			now = a.shrink(ctx, now, err)
			a.noteTrouble(err)
			if err := control.Sleep(ctx, backoff.Next(err)); err != nil {
				return err
			}
			continue
		case sent:
			backoff.Next(nil)
			now = a.regrow(now, granted)
		}
		if full {
			continue
		}
		timer.Reset(a.untilNextReport())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.spool.Changed():
		case <-a.directives.changed:
		case <-timer.C:
		}
	}
}

// untilNextReport is the interval that the most closely watched job asks for, with
// up to a tenth of jitter so that a fleet does not report in step.
func (a *Agent) untilNextReport() time.Duration {
	var ids []string
	for _, job := range a.spool.AgentJobs() {
		ids = append(ids, job.JobId)
	}
	a.directives.keep(ids)
	every := a.directives.reportEvery(ids)
	return every - a.jitter(every/10)
}

// unanswered is a report as it was made, for as long as it would be made the same
// again: an agent that is alone for days makes it once and not at each try.
type unanswered struct {
	report *control.Prepared // nil for none
	size   weight
	of     made
}

// made is what a report depends on.
type made struct {
	spool  int64
	wishes int
	limits limits
}

// next makes the next report, or returns the one that was not answered; nil if there is
// nothing to say.
func (a *Agent) next(ctx context.Context, session string, l limits, last *unanswered) error {
	of := made{spool: a.spool.Version(), wishes: a.directives.asOf(), limits: l}
	if last.report != nil && last.of == of {
		return nil
	}
	*last = unanswered{of: of}
	items, err := a.spool.Batch(ctx, l.batch, a.directives.logTravels)
	if err != nil || len(items) == 0 {
		return err
	}
	last.size = weigh(items)
	last.report, err = control.PrepareReport(control.ReportRequest{SessionId: session, Items: items})
	return err
}

// reportOnce hands over the next batch, if there is one. full says that more of the
// same is likely to wait.
func (a *Agent) reportOnce(ctx context.Context, session string, l limits, last *unanswered) (sent, full bool, err error) {
	if err := a.next(ctx, session, l, last); err != nil || last.report == nil {
		return false, false, err
	}
	answer, err := a.link.Report(ctx, last.report)
	if err != nil {
		return false, false, err
	}
	size := last.size
	*last = unanswered{}
	applied := a.spool.Applied(context.WithoutCancel(ctx), answer.Items)
	if applied != nil {
		a.log.Error("verdicts not recorded", "err", applied)
	}
	for _, v := range answer.Items {
		a.obey(control.JobDirective{JobId: v.JobId, Desired: v.Desired, Detail: v.Detail, ReportIntervalMs: v.IntervalMs})
	}
	if h := answer.Hints; h != nil {
		a.directives.suggest(h.ReportIntervalMs)
		if h.UploadBytesPerS > 0 {
			a.uploadRate.Store(h.UploadBytesPerS)
		}
	}
	// What the disk did not take note of would be sent again, and at once, without end.
	return true, applied == nil && size.nearly(l), a.throttle(ctx, size.bytes)
}

// throttle keeps to the upload rate that the server has asked for.
func (a *Agent) throttle(ctx context.Context, bytes int64) error {
	rate := a.uploadRate.Load()
	if rate <= 0 {
		return nil
	}
	return control.Sleep(ctx, min(time.Minute, time.Duration(float64(bytes)/float64(rate)*float64(time.Second))))
}

// weight is what a report holds.
type weight struct {
	items, records int
	bytes          int64
}

func weigh(items []control.ReportItem) weight {
	w := weight{items: len(items)}
	for _, item := range items {
		w.records += len(item.Events) + len(item.Log)
		for _, chunk := range item.Log {
			w.bytes += int64(len(chunk.Data))
		}
	}
	return w
}

// nearly reports whether a batch came close to its limits, so that it was probably
// cut off there. Samples alone never are.
func (w weight) nearly(l limits) bool {
	return w.records > 0 &&
		(w.items >= l.batch.Items || w.records >= l.batch.Records/2 || w.bytes >= l.batch.Bytes/2)
}
