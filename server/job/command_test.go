package job_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

func TestCommandsOfOneHostAreNumberedDenselyHoweverManyAsk(t *testing.T) {
	each(t, func(w *world) {
		a := w.host("web-1")
		r := w.repository("main", fleet.RepositoryReady)
		var schedules []*fleet.Schedule
		for i := range 50 {
			schedules = append(schedules, w.schedule(a, r, fmt.Sprint("schedule ", i)))
		}
		var group sync.WaitGroup
		for _, s := range schedules {
			group.Go(func() {
				if _, created, err := w.jobs.RunSchedule(w.Context(), someone, a.id.Host, s.ID, 0); err != nil || !created {
					w.Errorf("created %v, error %v", created, err)
				}
			})
		}
		group.Wait()
		list, err := w.store.QueuedCommands(w.Context(), a.id.Host, 100)
		w.must(err)
		for i, c := range list {
			if c.Seq != int64(i+1) {
				w.Fatalf("command %d has the number %d", i+1, c.Seq)
			}
		}
		if len(list) != 50 || w.hostRow(a).ActiveJobs != 50 {
			w.Errorf("got %d commands and %d active jobs, want 50", len(list), w.hostRow(a).ActiveJobs)
		}
	})
}

func TestAScheduleHasOneJobThatWaits(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		var mu sync.Mutex
		ids, made := map[fleet.JobID]bool{}, 0
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				j, created, err := w.jobs.RunNow(w.Context(), someone, a.id.Host, 0)
				if err != nil {
					w.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[j.ID] = true
				if created {
					made++
				}
			})
		}
		group.Wait()
		if len(ids) != 1 || made != 1 {
			w.Errorf("twenty wishes gave %d jobs, %d of them new; want one", len(ids), made)
		}
		a.sync()
		a.sync() // picked up: the next wish is another job
		if j := w.run(s); ids[j.ID] {
			w.Error("a job that was picked up came back for a new wish")
		}
	})
}

func TestWishesThatCannotBeAreRefusedWithTheirReason(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	never := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "never"}
	off := &fleet.Schedule{ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: s.RepositoryID, Name: "off"}
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateSchedule(t.Context(), off); err != nil {
			return err
		}
		return tx.CreateHost(t.Context(), never)
	})
	stranger := w.repository("other", fleet.RepositoryReady)
	for name, c := range map[string]struct {
		request job.Request
		code    fleet.Code
		field   string
	}{
		"no such host":              {job.Request{Host: "x", Operation: "backup"}, fleet.NotFound, ""},
		"never enrolled":            {job.Request{Host: never.ID, Operation: "backup"}, fleet.HostNotEnrolled, ""},
		"no such operation":         {job.Request{Host: a.id.Host, Operation: "exec"}, fleet.UnknownOperation, "/operation"},
		"no such schedule":          {job.Request{Host: a.id.Host, Operation: "backup", Schedule: "x"}, fleet.NotFound, ""},
		"schedule is off":           {job.Request{Host: a.id.Host, Operation: "backup", Schedule: off.ID}, fleet.ScheduleDisabled, ""},
		"arguments for restic":      {job.Request{Host: a.id.Host, Operation: "backup", Params: []byte(`{"extra_args":["-o"]}`)}, fleet.UnknownField, "/params/extra_args"},
		"params are no object":      {job.Request{Host: a.id.Host, Operation: "backup", Params: []byte(`[1]`)}, fleet.InvalidField, "/params"},
		"schedule twice, not alike": {job.Request{Host: a.id.Host, Operation: "backup", Schedule: s.ID, Params: []byte(`{"schedule_id":"` + off.ID + `"}`)}, fleet.InvalidField, "/params/schedule_id"},
		"no repository":             {job.Request{Host: a.id.Host, Operation: "snapshots"}, fleet.InvalidField, "/repository_id"},
		"another's repository":      {job.Request{Host: a.id.Host, Operation: "snapshots", Repository: stranger.ID}, fleet.InvalidField, "/repository_id"},
		"init of a ready one":       {job.Request{Host: a.id.Host, Operation: "init", Repository: s.RepositoryID}, fleet.InvalidField, "/operation"},
		"a schedule for a listing":  {job.Request{Host: a.id.Host, Operation: "snapshots", Schedule: s.ID}, fleet.InvalidField, "/schedule_id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := w.jobs.Enqueue(t.Context(), someone, c.request)
			if !fleet.Is(err, c.code) {
				t.Fatalf("got %v, want %s", err, c.code)
			}
			if c.field != "" && !strings.Contains(fmt.Sprintf("%+v", fieldsOf(err)), c.field) {
				t.Errorf("got fields %v, want %s", fieldsOf(err), c.field)
			}
		})
	}
	if n := w.hostRow(a).CommandSeq; n != 0 {
		t.Errorf("refused wishes left %d commands", n)
	}
}

func fieldsOf(err error) []string {
	var fields []string
	switch e := err.(type) {
	case *fleet.Error:
		fields = append(fields, e.Field)
	case fleet.Fields:
		for _, f := range e {
			fields = append(fields, f.Field)
		}
	}
	return fields
}

func TestCancelBeforeTheOfferEndsAtOnce(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		j := w.run(s)
		got, err := w.jobs.Cancel(w.Context(), someone, j.ID)
		w.must(err)
		if got.Result != fleet.Cancelled || w.hostRow(a).ActiveJobs != 0 {
			w.Errorf("got %s %s, %d active", got.State, got.Result, w.hostRow(a).ActiveJobs)
		}
		if answer := a.sync(); len(answer.Commands) != 0 {
			w.Errorf("a withdrawn command was offered: %+v", answer.Commands)
		}
		_, err = w.jobs.Cancel(w.Context(), someone, j.ID)
		w.wantCode(err, fleet.JobFinished)
	})
}

func TestCancelAfterTheOfferIsTheAgentsToCarryOut(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		j := w.run(s)
		lost, err := a.ask() // the answer with the command is lost
		w.must(err)
		for range 3 { // asked three times, told once
			got, err := w.jobs.Cancel(w.Context(), someone, j.ID)
			w.must(err)
			if got.State != fleet.Pending || !got.Cancel {
				w.Errorf("got %s, cancel %v", got.State, got.Cancel)
			}
		}
		w.clock.advance(6 * time.Second)
		answer := a.sync()
		if len(answer.Commands) != 2 || answer.Commands[0].ID != lost.Commands[0].ID || answer.Commands[1].Kind != "cancel" {
			w.Fatalf("got %+v, want the run again and one cancel", answer.Commands)
		}
		a.sync()
		a.running = []job.RunningJob{{ID: j.ID, Epoch: 1}}
		if got := a.sync().Directives; len(got) != 1 || got[0].Desired != "stop" {
			w.Errorf("got directives %+v, want stop", got)
		}
		// It had ended by itself before the cancel came: the agent's word wins.
		a.backup(a.jobs[j.ID])
		if got := w.job(j.ID); got.Result != fleet.Succeeded || !got.Cancel {
			w.Errorf("got %s, cancel requested %v", got.Result, got.Cancel)
		}
	})
}

func TestCancelAndOfferNeverBothWin(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		for range 20 {
			j := w.run(s)
			r := a.syncRequest()
			var answer *job.SyncAnswer
			var cancelled *fleet.Job
			var group sync.WaitGroup
			group.Go(func() {
				var err error
				if answer, err = w.jobs.Offer(w.Context(), a.id, r); err != nil {
					w.Error(err)
				}
			})
			group.Go(func() {
				var err error
				if cancelled, err = w.jobs.Cancel(w.Context(), someone, j.ID); err != nil {
					w.Error(err)
				}
			})
			group.Wait()
			if w.Failed() {
				return
			}
			offered := false
			for _, c := range answer.Commands {
				offered = offered || c.JobID == j.ID && c.Kind == "run"
			}
			if offered == (cancelled.State == fleet.Finished) {
				w.Fatalf("offered is %v while the job is %s", offered, cancelled.State)
			}
			w.clock.advance(10 * time.Second)
			a.sync()
			a.sync()
			if offered {
				a.finish(a.jobs[j.ID], job.Outcome{Result: "cancelled"}, nil)
			}
		}
	})
}

func TestCommandsThatAreNotAcknowledgedAreNotHurried(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	w.run(s)
	if got, err := a.ask(); err != nil || len(got.Commands) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	w.clock.advance(time.Second)
	got, err := a.ask()
	w.must(err)
	if len(got.Commands) != 0 || got.Pause != 4*time.Second {
		t.Errorf("a second later got %d commands and pause %s, want none and 4s", len(got.Commands), got.Pause)
	}
	w.clock.advance(4 * time.Second)
	if got, err = a.ask(); err != nil || len(got.Commands) != 1 {
		t.Errorf("after the pause got %+v, %v", got, err)
	}
}

func TestAJobThatNobodyPicksUpExpires(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		j, _, err := w.jobs.RunSchedule(w.Context(), someone, a.id.Host, s.ID, time.Minute)
		w.must(err)
		answer, err := a.ask() // offered; agent journals it, its acknowledgement is lost
		w.must(err)
		if got := answer.Commands[0].StartWithin; got != time.Minute {
			w.Errorf("got %s to start within, want 1m", got)
		}
		a.take(answer)
		w.clock.advance(61 * time.Second)
		w.must(w.jobs.Expire(w.Context()))
		if got := w.job(j.ID); got.Result != fleet.Expired || w.hostRow(a).ActiveJobs != 0 {
			w.Fatalf("got %s %s", got.State, got.Result)
		}
		a.backup(a.jobs[j.ID])
		if got := w.job(j.ID); got.Result != fleet.Succeeded || !got.Late || w.hostRow(a).ActiveJobs != 0 {
			w.Errorf("the agent ran it all the same, got %s, late %v", got.Result, got.Late)
		}
	})
}

func TestACommandThatIsOverdueIsPassedOverWithoutDoubtInTheDatabase(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		other := w.schedule(a, w.repository("second", fleet.RepositoryReady), "later")
		_, _, err := w.jobs.RunSchedule(w.Context(), someone, a.id.Host, s.ID, 10*time.Second)
		w.must(err)
		w.clock.advance(11 * time.Second) // and Expire has not come round
		j := w.run(other)
		a.take(a.sync())
		if answer, err := a.ask(); err != nil || len(answer.Commands) != 0 {
			w.Fatalf("after the acknowledgement got %+v, %v", answer, err)
		}
		if got := w.job(j.ID); got.State == fleet.Pending {
			w.Errorf("the job that was picked up is %s", got.State)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); strings.Contains(got, job.CodeServerSetBack) {
			w.Errorf("the database is said to be set back: %q", got)
		}
	})
}

func TestAServerThatWasSetBackNumbersItsCommandsAnew(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		epoch, err := w.store.Epoch(w.Context())
		w.must(err)
		a.acked = 7 // of the time that the database has forgotten
		j := w.run(s)
		if _, err := a.ask(); err == nil {
			w.Fatal("a session went on although the server does not know what its agent knows")
		} else {
			w.wantCode(err, fleet.SessionUnknown)
		}
		a.open()
		answer := a.sync()
		if len(answer.Commands) != 1 || answer.Commands[0].Seq != 8 || answer.Commands[0].JobID != j.ID {
			w.Errorf("got %+v, want the run of %s with number 8", answer.Commands, j.ID)
		}
		if now, err := w.store.Epoch(w.Context()); err != nil || now == epoch {
			w.Errorf("the epoch is still %s, %v", now, err)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); !strings.Contains(got, job.CodeServerSetBack) {
			w.Errorf("got conditions %q", got)
		}
	})
}
