//go:build !windows

package e2e_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/slot"
)

// scheduled is a job of a schedule as the contract tells it.
type scheduled struct {
	job
	Trigger string
	Slot    time.Time
}

// slots lists the jobs of a host that came from its schedule's times, oldest slot first.
func (h *host) slots() []scheduled {
	h.w.t.Helper()
	var page struct{ Jobs []scheduled }
	h.w.api.must("GET", "/api/v1/jobs?page_size=200&host_id="+h.id, nil, &page)
	list := slices.DeleteFunc(page.Jobs, func(j scheduled) bool { return j.Slot.IsZero() })
	slices.SortFunc(list, func(a, b scheduled) int { return a.Slot.Compare(b.Slot) })
	return list
}

// reschedule changes members of the host's schedule.
func (h *host) reschedule(change obj) {
	h.w.t.Helper()
	body := obj{"name": "minutely", "repository_id": h.repository}
	for name, value := range change {
		body[name] = value
	}
	h.w.api.must("PUT", "/api/v1/hosts/"+h.id+"/schedules/"+h.schedule, body, nil)
}

// snapshots counts the snapshots in a repository by the job in their tags, without
// asking the server for anything.
func snapshotsOf(t *testing.T, listing *exec.Cmd) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, listing.Path, listing.Args[1:]...)
	cmd.Env = listing.Env
	out, err := cmd.Output()
	if err != nil {
		t.Logf("list snapshots: %v", err)
		return nil
	}
	var list []struct{ Tags []string }
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := map[string]int{}
	for _, s := range list {
		for _, tag := range s.Tags {
			if id, ok := strings.CutPrefix(tag, "rm:job:"); ok {
				n[id]++
			}
		}
	}
	return n
}

// TestSlotsFireWhileTheServerIsStopped has a schedule of each minute and no server for
// two of its slots and more. The agent dies once meanwhile.
func TestSlotsFireWhileTheServerIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, waiting)
	repository := w.addRepository("minutely", repositorySpec{})
	source := []string{files(t, 3)}
	h := w.addHost("minutely", repository, source)
	h.backUp("succeeded")
	listing := w.plainRestic(t.Context(), repository, "snapshots", "--json", "--no-lock")
	h.reschedule(obj{"paths": source, "cron": "* * * * *", "zone": "Europe/Berlin"})
	eventually(t, "a slot with the server there", 3*time.Minute, func() bool {
		list := h.slots()
		return len(list) > 0 && list[0].State == "finished"
	})
	if first := h.slots()[0]; first.Outcome.Result != "succeeded" || first.Trigger != "schedule" {
		t.Fatalf("the first slot's job is %+v", first)
	}

	before := len(snapshotsOf(t, listing))
	w.server.stop()
	stopped := time.Now()
	eventually(t, "a snapshot without the server", 3*time.Minute, func() bool { return len(snapshotsOf(t, listing)) > before })
	h.agent.kill()
	h.agent.again()
	eventually(t, "one more without the server", 5*time.Minute, func() bool { return len(snapshotsOf(t, listing)) > before+1 })
	back := time.Now()
	w.server.again()
	w.waitReady()
	h.waitOnline()

	eventually(t, "what came after it was back", 3*time.Minute, func() bool {
		list := h.slots()
		return len(list) > 0 && list[len(list)-1].Slot.After(back)
	})
	h.reschedule(obj{"paths": source, "manual": true})
	eventually(t, "an end of all", 3*time.Minute, func() bool {
		return !slices.ContainsFunc(h.slots(), func(j scheduled) bool { return j.State != "finished" })
	})
	list, away, results := h.slots(), 0, map[string]int{}
	made := snapshotsOf(t, listing)
	for i, j := range list {
		if i > 0 && j.Slot.Sub(list[i-1].Slot) != time.Minute {
			t.Errorf("slot %s follows %s", j.Slot, list[i-1].Slot)
		}
		if want := slot.JobID(uuid.MustParse(h.schedule), j.Slot).String(); j.ID != want {
			t.Errorf("the job of slot %s is %s, want %s", j.Slot, j.ID, want)
		}
		if j.Slot.After(stopped) && j.Slot.Before(back) {
			away++ // so many snapshots were seen before the server was back
		}
		results[j.Outcome.Result]++
		good := j.Outcome.Result == "succeeded" || j.Outcome.Result == "warning"
		if good != (made[j.ID] == 1) || made[j.ID] > 1 {
			t.Errorf("the job of slot %s is %s and has %d snapshots", j.Slot, j.Outcome.Result, made[j.ID])
		}
		w.wantDenseEvents(j.job)
	}
	if cutOff := 1; away < 2 || results["succeeded"] < len(list)-cutOff || len(list) < 4 || results["missed"] > 0 {
		t.Errorf("%d slots came while the server was away; results %v", away, results)
	}
}
