package model_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"

	"restic-manager/server/fleet"
)

func hostID(h enrolled) fleet.HostID { return fleet.HostID(h.identity.HostID) }

// unfold lets people and fate act for a while.
func (w *world) unfold(ctx context.Context) {
	acts := w.repertoire()
	all := 0
	for _, a := range acts {
		all += a.weight
	}
	if w.dice.chance(0.4) {
		w.putOnClock(ctx)
	}
	for range 6 + w.dice.below(11) {
		time.Sleep(w.dice.between(0, time.Minute))
		n := w.dice.below(all)
		for _, a := range acts {
			if n -= a.weight; n < 0 {
				w.cover.hit(coveredActs, a.name)
				a.do(ctx)
				break
			}
		}
	}
	time.Sleep(w.dice.between(0, time.Minute))
}

// act is something that happens in a history.
type act struct {
	name   string
	weight int // against the other acts
	do     func(context.Context)
}

// repertoire lists what happens in this history, and how often.
func (w *world) repertoire() []act {
	list := []act{
		{"run now", 12, w.runNow},
		{"run twice", 4, w.runTwice},
		{"cancel", 6, w.cancel},
		{"look at the repository", 2, w.lookAtRepository},
		{"mend the fresh repository", 2, w.mend},
		{"edit a schedule", 2, w.edit},
		{"watch a job", 3, w.watch},
		{"put a schedule on the clock", 4, w.putOnClock},
		{"take a schedule off the clock", 1, w.offClock},
		{"move a machine's clock", 1, w.moveMachineClock},
		{"kill an agent", 2, func(context.Context) { w.order(machineOrder{kill: true, away: w.absence()}) }},
		{"restart an agent", 2, func(context.Context) { w.order(machineOrder{away: w.absence()}) }},
		{"kill the server", 1, func(context.Context) { w.orderServer(planeOrder{kill: true, away: w.absence()}) }},
		{"restart the server", 1, func(context.Context) { w.orderServer(planeOrder{away: w.absence()}) }},
		{"sever a line", 1, w.sever},
		{"move the server's clock", 1, w.moveClock},
	}
	switch n := w.dice.below(100); {
	case n < 10:
		list = append(list, act{"server away for hours", 3, w.outage})
	case n < 16:
		list = append(list, act{"a day of silence", 3, w.silence})
	case n < 24:
		list = append(list, act{"set the database back", 6, w.setDatabaseBack})
	case n < 32:
		m := pick(w.dice, w.machines)
		m.rolls = true
		list = append(list, act{"set a disk back", 6, func(context.Context) { m.order(machineOrder{kill: true, away: w.absence()}) }})
	}
	return list
}

// absence is how long somebody stays away: minutes mostly, more than an hour now and
// then.
func (w *world) absence() time.Duration {
	if w.dice.chance(0.02) {
		return w.dice.between(time.Hour, 2*time.Hour)
	}
	return w.dice.between(time.Second, 3*time.Minute)
}

// outage is a server that nobody starts again for hours. Agents go on meanwhile.
func (w *world) outage(context.Context) {
	away := w.dice.between(time.Hour, 8*time.Hour)
	if w.orderServer(planeOrder{kill: w.dice.chance(0.5), away: away}) {
		time.Sleep(away)
	}
}

// silence is an agent that is not heard for more than a day: its jobs count as lost
// until it comes back. The server sees the beginning and the end of that.
func (w *world) silence(context.Context) {
	const day = 25 * time.Hour
	if !w.order(machineOrder{kill: true, away: day + time.Hour}) {
		return
	}
	time.Sleep(3 * time.Minute)
	if w.orderServer(planeOrder{away: day}) {
		time.Sleep(day + 10*time.Minute)
	}
}

// setDatabaseBack copies the database by the product's own means, and later returns to
// the copy.
func (w *world) setDatabaseBack(ctx context.Context) {
	l := w.plane.current()
	if l == nil {
		return
	}
	if err := os.Remove(w.plane.copy()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Error(err)
	}
	if err := l.store.Copy(ctx, w.plane.copy()); err != nil {
		if !l.killed() {
			w.t.Errorf("copy the database: %v", err)
		}
		_ = os.Remove(w.plane.copy())
		return
	}
	for range w.dice.below(3) {
		time.Sleep(w.dice.between(0, time.Minute))
		w.runNow(ctx)
	}
	time.Sleep(w.dice.between(20*time.Second, 2*time.Minute))
	w.orderServer(planeOrder{kill: w.dice.chance(0.5), away: w.absence(), setBack: true})
}

// meanwhile does something beside the scenario.
func (w *world) meanwhile(do func()) { w.acts.Go(do) }

// order tells a machine's agent to end, and whether it ran.
func (w *world) order(o machineOrder) bool { return pick(w.dice, w.machines).order(o) }

func (m *machine) order(o machineOrder) bool {
	select {
	case m.asked <- o:
		return true
	default:
		return false
	}
}

// orderServer tells the server to end, and whether it ran.
func (w *world) orderServer(o planeOrder) bool {
	select {
	case w.plane.asked <- o:
		return true
	default:
		return false
	}
}

// ask sends a request that makes a job. The job is accepted once the server said so.
func (w *world) ask(ctx context.Context, path string, body obj) {
	key := uuid.NewString()
	w.meanwhile(func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		var made struct{ ID string }
		err := w.person.insist(ctx, "POST", path, key, body, &made)
		var refusal *problem
		switch {
		case err == nil:
			w.ledger.change(func() { w.accept[made.ID] = true })
		case ctx.Err() != nil, errors.Is(err, errAway):
		case errors.As(err, &refusal) && refusal.Status < 500:
			w.cover.hit(coveredActs, "refused: "+refusal.Code)
		default:
			w.t.Errorf("POST %s: %v", path, err)
		}
	})
}

func (w *world) runNow(ctx context.Context) {
	h := pick(w.dice, w.template.hosts)
	body := obj{"start_within_s": pick(w.dice, []int{10, 60, 300, 900})}
	w.ask(ctx, "/api/v1/hosts/"+h.identity.HostID+"/schedules/"+pick(w.dice, h.schedules)+"/run", body)
}

// runTwice runs a schedule again while its job is under way: the second one waits.
func (w *world) runTwice(ctx context.Context) {
	h := pick(w.dice, w.template.hosts[:len(w.machines)])
	path := "/api/v1/hosts/" + h.identity.HostID + "/schedules/" + h.schedules[0] + "/run"
	w.ask(ctx, path, obj{"start_within_s": 900})
	time.Sleep(w.dice.between(time.Second, 20*time.Second))
	w.ask(ctx, path, obj{"start_within_s": 900})
}

func (w *world) lookAtRepository(ctx context.Context) {
	h := pick(w.dice, w.template.hosts[:len(w.machines)])
	body := obj{"operation": pick(w.dice, []string{"locks", "snapshots"}), "repository_id": w.template.ready, "start_within_s": 600}
	w.ask(ctx, "/api/v1/hosts/"+h.identity.HostID+"/jobs", body)
}

// mend tries again to make the second repository usable.
func (w *world) mend(ctx context.Context) {
	h := pick(w.dice, w.template.hosts[:len(w.machines)])
	operation := "init"
	if _, there := w.depot.identity(w.template.fresh); there {
		operation = "identify"
	}
	w.ask(ctx, "/api/v1/hosts/"+h.identity.HostID+"/jobs", obj{"operation": operation, "repository_id": w.template.fresh})
}

// jobs lists the newest jobs as people see them.
func (w *world) jobs(ctx context.Context) []string {
	var page struct{ Jobs []struct{ ID string } }
	if w.person.call(ctx, "GET", "/api/v1/jobs?page_size=8", "", nil, &page) != nil {
		return nil
	}
	var ids []string
	for _, j := range page.Jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

func (w *world) cancel(ctx context.Context) {
	w.meanwhile(func() {
		ids := w.jobs(ctx)
		if len(ids) == 0 {
			return
		}
		err := w.person.call(ctx, "POST", "/api/v1/jobs/"+ids[min(w.dice.below(4), len(ids)-1)]+"/cancel", "", nil, nil)
		var refusal *problem
		if errors.As(err, &refusal) && refusal.Status >= 500 && refusal.Status != 503 {
			w.t.Errorf("cancel: %v", err)
		}
	})
}

// edit gives a host another configuration.
func (w *world) edit(ctx context.Context) {
	h := pick(w.dice, w.template.hosts)
	body := obj{"name": "second", "repository_id": w.template.fresh, "paths": []string{"/srv/data", fmt.Sprintf("/srv/%d", w.dice.below(100))}, "manual": true}
	w.meanwhile(func() {
		err := w.person.insist(ctx, "PUT", "/api/v1/hosts/"+h.identity.HostID+"/schedules/"+h.schedules[1], "", body, nil)
		var refusal *problem
		if errors.As(err, &refusal) && refusal.Status != 503 {
			w.t.Errorf("edit a schedule: %v", err)
		}
	})
}

// putOnClock gives a host's first schedule times of its own.
func (w *world) putOnClock(ctx context.Context) {
	h := w.template.hosts[w.dice.below(len(w.machines))]
	body := obj{
		"name": "first", "repository_id": w.template.ready, "paths": []string{"/etc"},
		"cron": pick(w.dice, []string{"*/4 * * * *", "*/10 * * * *", "7,37 * * * *", "0 * * * *"}),
		"zone": pick(w.dice, []string{"UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"}),
		"options": obj{
			"catch_up": pick(w.dice, []string{"latest", "latest", "skip"}), "jitter_s": pick(w.dice, []int{0, 0, 30}),
			"max_run_s": pick(w.dice, []int{0, 0, 86400}),
		},
	}
	w.schedule(ctx, h, body)
}

// offClock makes it manual again.
func (w *world) offClock(ctx context.Context) { w.makeManual(ctx, pick(w.dice, w.template.hosts)) }

func (w *world) makeManual(ctx context.Context, h enrolled) {
	w.schedule(ctx, h, obj{"name": "first", "repository_id": w.template.ready, "paths": []string{"/etc"}, "manual": true})
}

// schedule replaces a host's first schedule.
func (w *world) schedule(ctx context.Context, h enrolled, body obj) {
	w.meanwhile(func() {
		err := w.person.insist(ctx, "PUT", "/api/v1/hosts/"+h.identity.HostID+"/schedules/"+h.schedules[0], "", body, nil)
		var refusal *problem
		if errors.As(err, &refusal) && refusal.Status != 503 {
			w.t.Errorf("replace a schedule: %v", err)
		}
	})
}

// moveMachineClock makes the clock of a machine jump; what sleeps wakes up with one that
// has jumped forward.
func (w *world) moveMachineClock(context.Context) {
	m := pick(w.dice, w.machines)
	by := pick(w.dice, []time.Duration{-2 * time.Hour, -10 * time.Minute, -time.Minute, 5 * time.Minute, time.Hour, 26 * time.Hour})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clockMoved = true
	if m.moved += by; by > 0 && w.dice.chance(0.5) {
		m.slept += by
	}
}

// sever cuts a machine off for a while.
func (w *world) sever(ctx context.Context) {
	m := pick(w.dice, w.machines)
	m.line.severed.Store(true)
	for_ := w.absence()
	w.meanwhile(func() {
		sleep(ctx, min(for_, 3*time.Hour))
		m.line.severed.Store(false)
	})
}

// moveClock makes the server's clock jump.
func (w *world) moveClock(context.Context) {
	by := w.dice.between(-10*time.Minute, 10*time.Minute)
	w.skew.Add(int64(by))
}
