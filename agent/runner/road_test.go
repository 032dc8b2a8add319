package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"restic-manager/agent/schedule"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// fired is the job that the local cron makes of the latest minute.
func (p *place) fired() spool.Job {
	p.t.Helper()
	slots, err := slot.Parse("* * * * *", "UTC")
	if err != nil {
		p.t.Fatal(err)
	}
	started := make(chan struct{}, 1)
	s := schedule.New(schedule.Options{
		Spool: p.spool, Start: func() { started <- struct{}{} }, Locked: func() bool { return false }, BootID: "boot", Log: slog.New(slog.DiscardHandler),
	})
	s.Configure(1, time.Now().Add(-90*time.Second), []schedule.Entry{{
		ID: uuid.MustParse(scheduleID), Version: 3, RepositoryID: repositoryID, Slots: slots, Times: "* * * * * UTC", CatchUp: true,
	}})
	ctx, stop := context.WithCancel(p.t.Context())
	over := make(chan struct{})
	go func() { s.Run(ctx); close(over) }()
	<-started
	stop()
	<-over
	pending := p.spool.Pending()
	if len(pending) != 1 {
		p.t.Fatalf("%d jobs wait", len(pending))
	}
	return pending[0]
}

// changing is what differs between any two jobs: ids, times, and names of temporary files.
var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|` +
	`"(?:at|from|to|slot|time)":"[^"]*"|"t":\d+|"duration_ms":\d+|restic-run-\d+|"(?:epoch|first_seq|data|bytes)":("[^"]*"|\d+)`)

// road is everything that a run leaves: what restic was called with, and its records.
func (p *place) road(job spool.Job, fake *restictest.Fake) []string {
	p.t.Helper()
	before := len(fake.Calls())
	p.runner.Run(p.t.Context(), job)
	var road []string
	for _, call := range fake.Calls()[before:] {
		road = append(road, "restic "+strings.Join(call.Args, " "))
	}
	items, err := p.spool.Batch(p.t.Context(), everything, func(string) bool { return true })
	if err != nil {
		p.t.Fatal(err)
	}
	for _, item := range items {
		if item.JobId != job.ID {
			continue
		}
		opened := *item.Opened
		opened.Trigger, opened.Slot, opened.RepositoryId = "", time.Time{}, ""
		for _, part := range []any{opened, item.Phase, item.Events, item.Log} {
			text, err := json.Marshal(part)
			if err != nil {
				p.t.Fatal(err)
			}
			road = append(road, string(text))
		}
	}
	road = append(road, p.recorded(job.ID).lines())
	for i := range road {
		road[i] = changing.ReplaceAllString(strings.ReplaceAll(road[i], job.ID, "JOB"), "…")
	}
	return road
}

// TestASlotGoesTheWayOfARunThatAPersonStarted compares all that either leaves.
func TestASlotGoesTheWayOfARunThatAPersonStarted(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string][]restictest.Reply{
		"that succeeds": {catConfig(), says("backup", summary(), 0), listed("x")},
		"that warns":    {catConfig(), says("backup", summary(), 3), listed("x")},
		"that fails":    {catConfig(), says("backup", `{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}`, 12)},
	} {
		t.Run(name, func(t *testing.T) {
			fake := restictest.NewFake(t, fakeScript(replies...))
			p := newPlace(t, fake.Path())
			p.schedule(func(s *Schedule) { s.MaxRun, s.Retries, s.Excludes = time.Hour, 2, []string{"*.o"} })
			person := p.road(p.command("backup", backupParams()), fake)
			cron := p.road(p.fired(), fake)
			if diff := cmp.Diff(person, cron); diff != "" {
				t.Errorf("a person's run (-) and the cron's (+) differ:\n%s", diff)
			}
			if len(person) < 5 {
				t.Errorf("compared too little: %s", fmt.Sprint(person))
			}
		})
	}
}
