package job_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/restic/listing"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// container is an index of so many files.
func (w *world) container(files int) []byte {
	w.Helper()
	var b bytes.Buffer
	index := listing.NewWriter(&b)
	w.must(index.Add(listing.Entry{Folder: "/", Name: "srv", Type: listing.Dir, Mode: 0o755, ModTime: time.Unix(1, 0)}))
	for n := range files {
		w.must(index.Add(listing.Entry{Folder: "/srv", Name: fmt.Sprintf("file-%07d", n), Size: int64(n * 7919), Mode: 0o644, ModTime: time.Unix(int64(n*7717), 0)}))
	}
	_, err := index.Close()
	w.must(err)
	return b.Bytes()
}

func (a *agent) putIndex(id fleet.JobID, offset int64, last bool, data []byte) (int64, bool, error) {
	return a.world.jobs.PutPart(a.Context(), a.id, job.Part{Job: id, Name: job.ArtifactIndex, Offset: offset, Last: last, Data: data})
}

// deliver hands an index over in parts.
func (a *agent) deliver(id fleet.JobID, data []byte) error {
	for at := 0; at < len(data); at += job.MaxPart {
		end := min(at+job.MaxPart, len(data))
		if _, _, err := a.putIndex(id, int64(at), end == len(data), data[at:end]); err != nil {
			return err
		}
	}
	return nil
}

// snapshotOf is a snapshot that an agent has just made.
func (w *world) snapshotOf(a *agent, s *fleet.Schedule) string {
	w.Helper()
	return a.backup(a.start(w.run(s)))
}

func (w *world) index(r fleet.RepositoryID, snapshot string) *fleet.Index {
	w.Helper()
	w.must(w.store.FlushContacts(w.Context()))
	w.must(w.jobs.Index(w.Context(), someone, r, snapshot))
	return w.listed(r, snapshot)
}

// listed is the index of a snapshot, with state none where there is none.
func (w *world) listed(r fleet.RepositoryID, snapshot string) *fleet.Index {
	w.Helper()
	l, err := w.store.Index(w.Context(), r, snapshot)
	if fleet.Is(err, fleet.NotFound) {
		return &fleet.Index{RepositoryID: r, SnapshotID: snapshot, State: fleet.IndexNone}
	}
	w.must(err)
	return l
}

// blocks counts those of an index.
func (w *world) blocks(l *fleet.Index) (n int) {
	w.Helper()
	for kind := range 3 {
		list, err := w.store.IndexBlocks(w.Context(), l, kind, 0, listing.MaxBlocks)
		w.must(err)
		n += len(list)
	}
	return n
}

func TestASnapshotIsMadeBrowsableOnce(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		w.must(w.store.FlushContacts(w.Context()))
		var group sync.WaitGroup
		for range 10 { // people and tabs
			group.Go(func() {
				if err := w.jobs.Index(w.Context(), someone, s.RepositoryID, id); err != nil {
					w.Error(err)
				}
			})
		}
		group.Wait()
		jobs, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "index"}, store.Page{})
		w.must(err)
		l := w.listed(s.RepositoryID, id)
		if len(jobs) != 1 || l.State != fleet.IndexBuilding || l.JobID != jobs[0].ID || jobs[0].CreatedBy != "ana" {
			t.Fatalf("ten wishes made %d jobs, and the index is %+v", len(jobs), l)
		}
		data := w.container(20_000)
		wk := a.start(&jobs[0])
		w.must(a.deliver(wk.job, data))
		if _, whole, err := a.putIndex(wk.job, int64(len(data)/job.MaxPart*job.MaxPart), true, data[len(data)/job.MaxPart*job.MaxPart:]); err != nil || !whole {
			t.Errorf("the last part again got %v, %v", whole, err)
		}
		ready := w.listed(s.RepositoryID, id)
		if ready.State != fleet.IndexReady || ready.Entries != 20_001 || ready.Bytes == 0 || ready.Bytes > int64(len(data)) || ready.Version <= l.Version {
			t.Errorf("the index is %+v", ready)
		}
		if parts, err := w.store.ArtifactBytes(w.Context(), a.id.Host, job.ArtifactIndex); err != nil || parts != 0 {
			t.Errorf("%d bytes of parts are left, %v", parts, err)
		}
		a.finish(wk, job.Outcome{Result: "succeeded"}, nil)
		if again := w.index(s.RepositoryID, id); again.State != fleet.IndexReady || again.JobID != l.JobID || again.Version != ready.Version {
			t.Errorf("asked for again, the index is %+v", again)
		}
		// By hand, the operation makes it once more.
		j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{
			Host: a.id.Host, Operation: "index", Repository: s.RepositoryID, Params: []byte(`{"snapshot_id":"` + id + `"}`),
		})
		w.must(err)
		if l := w.listed(s.RepositoryID, id); l.State != fleet.IndexBuilding || l.JobID != j.ID {
			w.Errorf("made again by hand, the index is %+v", l)
		}
		smaller := w.container(100)
		w.must(a.deliver(a.start(j).job, smaller))
		anew := w.listed(s.RepositoryID, id)
		blocks := 0
		_, err = listing.Split(bytes.NewReader(smaller), func(listing.Block) error { blocks++; return nil })
		w.must(err)
		if anew.State != fleet.IndexReady || anew.Entries != 101 || w.blocks(anew) != blocks {
			w.Errorf("the index that came is %+v with %d blocks, want %d: none of the one before", anew, w.blocks(anew), blocks)
		}
	})
}

// TestBlocksOfAnIndexBeforeGoFirst has an index begun anew whose blocks go in slices, and
// somebody in between who would write the new ones already.
func TestBlocksOfAnIndexBeforeGoFirst(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		w.must(a.deliver(a.start(w.job(w.index(s.RepositoryID, id).JobID)).job, w.container(20_000)))
		before := w.blocks(w.listed(s.RepositoryID, id))
		again, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{
			Host: a.id.Host, Operation: "index", Repository: s.RepositoryID, Params: []byte(`{"snapshot_id":"` + id + `"}`),
		})
		w.must(err)
		l := &fleet.Index{RepositoryID: s.RepositoryID, SnapshotID: id, JobID: again.ID}
		add := func() (added bool) {
			w.write(func(tx *store.Tx) (err error) {
				added, err = tx.AddIndexBlocks(w.Context(), l, []fleet.IndexBlock{{RepositoryID: l.RepositoryID, SnapshotID: id, Kind: 1, Number: 1 << 20, Data: []byte("new")}})
				return err
			})
			return added
		}
		slices := 0
		for more := true; more; slices++ {
			if add() {
				w.Fatalf("with %d blocks of the one before, a block was written", w.blocks(l))
			}
			w.write(func(tx *store.Tx) (err error) {
				more, err = tx.ClearIndexBlocks(w.Context(), l, 3)
				return err
			})
		}
		if want := before/3 + 1; slices != want || w.blocks(l) != 0 {
			w.Errorf("%d blocks went in %d slices, want %d, and %d are left", before, slices, want, w.blocks(l))
		}
		if !add() {
			w.Error("after that no block is taken")
		}
	})
}

func TestASnapshotIsListedWhereSomebodyIsOnline(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	b := w.host("web-2")
	w.schedule(b, &fleet.Repository{ID: s.RepositoryID}, "daily")
	c := w.host("maintainer")
	w.write(func(tx *store.Tx) error {
		return tx.SetMaintenance(t.Context(), s.RepositoryID, c.id.Host, "/srv/restic")
	})
	far := w.host("far")
	near := w.host("near")
	id := w.snapshotOf(a, s)
	policy := func(x *agent, value string) {
		x.told.Policy = &job.PolicyReport{State: "ok", Rules: []job.PolicyRule{{Name: "Repositories", Value: value}}}
	}
	policy(far, "rest:https://elsewhere.test/")
	policy(near, "/mnt/nas, rest:https://nas.test/")
	all := []*agent{a, b, c, far, near}
	for _, x := range all[1:] {
		x.open()
		x.sync()
	}
	away := map[*agent]bool{}
	for _, step := range []struct {
		leaves *agent
		want   *agent
	}{{nil, a}, {a, b}, {b, c}, {c, near}} {
		away[step.leaves] = true
		w.clock.advance(time.Hour)
		for _, x := range all {
			if !away[x] {
				if _, err := x.ask(); err != nil {
					x.open()
					x.sync()
				}
			}
		}
		w.must(w.store.FlushContacts(t.Context()))
		w.must(w.jobs.Expire(t.Context()))
		if step.want == near {
			viewer := someone
			viewer.Operates = false
			w.wantCode(w.jobs.Index(t.Context(), viewer, s.RepositoryID, id), fleet.NoHostOnline)
		}
		l := w.index(s.RepositoryID, id)
		if got := w.job(l.JobID); got.HostID != step.want.id.Host {
			t.Errorf("the snapshot is listed at %s, want %s", w.name(got.HostID), w.name(step.want.id.Host))
		}
	}
	w.clock.advance(time.Hour)
	w.must(w.jobs.Expire(t.Context()))
	_, _ = far.ask()
	w.must(w.store.FlushContacts(t.Context()))
	err := w.jobs.Index(t.Context(), someone, s.RepositoryID, id)
	w.wantCode(err, fleet.NoHostOnline)
	if err == nil || !strings.Contains(err.Error(), "web-1, web-2, maintainer") {
		t.Errorf("the error is %v, want one that names who could", err)
	}
	if l := w.listed(s.RepositoryID, id); l.State != fleet.IndexFailed || l.Message == "" {
		t.Errorf("after jobs that nobody picked up the index is %+v", l)
	}
}

func (w *world) name(id fleet.HostID) string {
	w.Helper()
	names, err := w.store.HostNames(w.Context(), []fleet.HostID{id})
	w.must(err)
	return names[id]
}

func TestAnIndexThatDoesNotComeSaysWhy(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		l := w.index(s.RepositoryID, id)
		data := w.container(20_000)
		wk := a.start(w.job(l.JobID))
		if _, _, err := a.putIndex(wk.job, 0, false, data[:1000]); err != nil {
			w.Fatal(err)
		}
		a.finish(wk, job.Outcome{Result: "failed", Code: "x", Message: "The storage is away."}, nil)
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexFailed || got.Message != "The storage is away." {
			w.Fatalf("the index is %+v", got)
		}
		// What comes after all is taken.
		if _, whole, err := a.putIndex(wk.job, 1000, true, data[1000:]); err != nil || !whole {
			w.Fatalf("the rest got %v, %v", whole, err)
		}
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexReady || got.Message != "" || w.blocks(got) == 0 {
			w.Errorf("the index is %+v", got)
		}
	})
}

func TestAnIndexIsTakenFromTheJobThatIsToMakeIt(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		first := w.index(s.RepositoryID, id)
		wk := a.start(w.job(first.JobID))
		data := w.container(100)
		// An agent that bears a job by itself, or a backup, makes no index.
		own := a.bear(fleet.NewID[fleet.JobID](), &job.Opened{
			Operation: "index", Trigger: fleet.ByRunNow, At: w.clock.now(), Repository: s.RepositoryID, Schedule: s.ID,
		})
		a.event(own, job.Event{Kind: job.EventRunning})
		a.report(own)
		if err := a.deliver(own.job, data); err != nil {
			w.Error(err)
		}
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexBuilding {
			w.Errorf("a job that an agent bore made the index: %+v", got)
		}
		backup := a.start(w.run(s))
		_, _, err := a.putIndex(backup.job, 0, true, data)
		w.wantCode(err, fleet.NotFound)
		b := w.other("web-2")
		_, _, err = b.putIndex(wk.job, 0, true, data)
		w.wantCode(err, fleet.AgentMismatch)

		// Of a job that another one has replaced, it is let go.
		a.finish(wk, job.Outcome{Result: "failed"}, nil)
		second := w.index(s.RepositoryID, id)
		w.must(a.deliver(wk.job, data))
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexBuilding || got.JobID != second.JobID || w.blocks(got) != 0 {
			w.Errorf("a job that was replaced made the index: %+v", got)
		}
		w.must(a.deliver(a.start(w.job(second.JobID)).job, data))
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexReady {
			w.Errorf("the index is %+v", got)
		}
	})
}

func TestADamagedIndexIsRefusedAndLeavesNothing(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		good := w.container(50_000)
		end := len(good) - 3
		for name, data := range map[string][]byte{
			"cut":                 good[:end],
			"no container":        bytes.Repeat([]byte("x"), 4000),
			"something behind it": append(slices.Clone(good), 0),
			"a bit is wrong":      append(append(slices.Clone(good[:8]), 7), good[9:]...),
		} {
			l := w.index(s.RepositoryID, id)
			wk := a.start(w.job(l.JobID))
			w.wantCode(a.deliver(wk.job, data), fleet.InvalidField)
			got := w.listed(s.RepositoryID, id)
			w.must(w.jobs.RetainIndexes(w.Context()))
			if got.State != fleet.IndexFailed || got.Message == "" || w.blocks(got) != 0 {
				w.Errorf("%s: after a round the index is %+v with %d blocks", name, got, w.blocks(got))
			}
			if parts, err := w.store.ArtifactBytes(w.Context(), a.id.Host, job.ArtifactIndex); err != nil || parts != 0 {
				w.Errorf("%s: %d bytes of parts are left, %v", name, parts, err)
			}
			a.finish(wk, job.Outcome{Result: "failed", Message: "another message"}, nil)
			if again := w.listed(s.RepositoryID, id); again.Message != got.Message {
				w.Errorf("%s: the message became %q", name, again.Message)
			}
		}
	})
}

func TestIndexesHaveLimits(t *testing.T) {
	w := lite(t)
	w.jobs.BrowseBytes = 1 << 20
	a, s := w.ready()
	id := w.snapshotOf(a, s)
	wk := a.start(w.job(w.index(s.RepositoryID, id).JobID))
	part := bytes.Repeat([]byte("x"), job.MaxPart)
	for n := range int64(2) {
		if _, _, err := a.putIndex(wk.job, n*job.MaxPart, false, part); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := a.putIndex(wk.job, 2*job.MaxPart, false, part[:1])
	w.wantCode(err, fleet.BodyTooLarge)
	_, _, err = a.putIndex(wk.job, 0, false, append(part, 0))
	w.wantCode(err, fleet.BodyTooLarge)

	w.jobs.BrowseBytes = 0
	var ids []string
	for range 20 {
		ids = append(ids, w.snapshotOf(a, s))
	}
	refused := 0
	for _, id := range ids {
		if err := w.jobs.Index(t.Context(), someone, s.RepositoryID, id); err != nil {
			w.wantCode(err, fleet.TooManyRequests)
			refused++
		}
	}
	if refused != 5 {
		t.Errorf("%d of twenty more were refused, want 5", refused)
	}
}

func TestIndexesThatWereNotUsedForLongestGo(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		data := w.container(3000)
		var ids []string
		for range 4 {
			id := w.snapshotOf(a, s)
			ids = append(ids, id)
			w.must(a.deliver(a.start(w.job(w.index(s.RepositoryID, id).JobID)).job, data))
			w.clock.advance(10 * time.Minute)
		}
		before := w.listed(s.RepositoryID, ids[0])
		w.must(w.jobs.Used(w.Context(), before))
		used := w.listed(s.RepositoryID, ids[0])
		if used.UsedAt != fleet.At(w.clock.now()) || used.Version != before.Version {
			w.Errorf("an index that was used is %+v", used)
		}
		w.clock.advance(time.Second)
		w.must(w.jobs.Used(w.Context(), used))
		if again := w.listed(s.RepositoryID, ids[0]); again.UsedAt != used.UsedAt {
			w.Error("used again a second later, it was written again")
		}
		w.jobs.BrowseBytes = 2*used.Bytes + 1
		w.must(w.jobs.RetainIndexes(w.Context()))
		for i, want := range []fleet.IndexState{fleet.IndexReady, fleet.IndexNone, fleet.IndexNone, fleet.IndexReady} {
			l := w.listed(s.RepositoryID, ids[i])
			if l.State != want || (w.blocks(l) > 0) != (want == fleet.IndexReady) {
				w.Errorf("index %d is %s with %d blocks, want %s", i+1, l.State, w.blocks(l), want)
			}
		}
		a.sync()
		if l := w.index(s.RepositoryID, ids[1]); l.State != fleet.IndexBuilding || l.Version <= before.Version {
			w.Errorf("made anew it is %+v", l)
		}
	})
}

func TestASnapshotThatIsGoneTakesItsIndexAlong(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		w.must(a.deliver(a.start(w.job(w.index(s.RepositoryID, id).JobID)).job, w.container(1000)))
		w.clock.advance(time.Hour)
		list, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "snapshots", Repository: s.RepositoryID})
		w.must(err)
		a.start(list)
		_, _, err = a.put(list.ID, 0, true, w.listing(a.snapshot(snapshotID("0f"))))
		w.must(err)
		if l := w.listed(s.RepositoryID, id); l.State != fleet.IndexDropped {
			w.Errorf("the index of a snapshot that is gone is %s", l.State)
		}
		w.wantCode(w.jobs.Index(w.Context(), someone, s.RepositoryID, id), fleet.NotFound)
		w.must(w.jobs.RetainIndexes(w.Context()))
		if l := w.listed(s.RepositoryID, id); l.State != fleet.IndexNone || w.blocks(l) != 0 {
			w.Errorf("after a round the index is %s with %d blocks", l.State, w.blocks(l))
		}
	})
}

func TestARepositoryThatIsGivenUpHasNoIndexes(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		var all []*fleet.Index
		for range 2 {
			id := w.snapshotOf(a, s)
			w.must(a.deliver(a.start(w.job(w.index(s.RepositoryID, id).JobID)).job, w.container(20_000)))
			all = append(all, w.listed(s.RepositoryID, id))
		}
		w.must(w.jobs.GiveUpIndexes(w.Context(), s.RepositoryID))
		for _, l := range all {
			if got := w.listed(l.RepositoryID, l.SnapshotID); got.State != fleet.IndexNone || w.blocks(l) != 0 {
				w.Errorf("the index is %s with %d blocks", got.State, w.blocks(l))
			}
		}
	})
}

func TestAnIndexWhoseHostWasDeletedCanBeMadeElsewhere(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		b := w.host("web-2")
		w.schedule(b, &fleet.Repository{ID: s.RepositoryID}, "daily")
		id := w.snapshotOf(a, s)
		first := w.index(s.RepositoryID, id)
		w.write(func(tx *store.Tx) error { return tx.DeleteHost(w.Context(), a.id.Host) })
		b.open()
		b.sync()
		w.must(w.jobs.RetainIndexes(w.Context()))
		if l := w.listed(s.RepositoryID, id); l.State != fleet.IndexFailed {
			w.Errorf("the index is %s", l.State)
		}
		l := w.index(s.RepositoryID, id)
		if l.State != fleet.IndexBuilding || l.JobID == first.JobID || w.job(l.JobID).HostID != b.id.Host {
			w.Errorf("the index is %+v", l)
		}
		var params map[string]string
		w.must(json.Unmarshal([]byte(w.job(l.JobID).Params), &params))
		if params["snapshot_id"] != id || params["repository_id"] != string(s.RepositoryID) {
			w.Errorf("the job has %v", params)
		}
	})
}
