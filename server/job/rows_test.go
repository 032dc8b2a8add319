package job_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// packed is gzip of lines.
func packed(lines ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(strings.Join(lines, "\n") + "\n"))
	_ = z.Close()
	return b.Bytes()
}

func numbered(from, to int) []string {
	var lines []string
	for n := from; n <= to; n++ {
		lines = append(lines, fmt.Sprintf(`{"n":%d}`, n))
	}
	return lines
}

func (a *agent) putRows(id fleet.JobID, offset int64, last bool, data []byte) (int64, bool, error) {
	return a.world.jobs.PutPart(a.Context(), a.id, job.Part{Job: id, Name: job.ArtifactRows, Offset: offset, Last: last, Data: data})
}

// newer is a job of an operation that only a newer agent knows: whatever it says of its
// result is taken.
func (w *world) newer(a *agent, s *fleet.Schedule) fleet.JobID {
	w.Helper()
	wk := a.bear(fleet.NewID[fleet.JobID](), &job.Opened{
		Operation: "of-a-newer-agent", Trigger: fleet.BySchedule, Schedule: s.ID, At: w.clock.now(),
	})
	a.event(wk, job.Event{Kind: job.EventRunning})
	a.report(wk)
	return wk.job
}

func TestRowsOfAResultAreReadInPagesAndTheirPartsMayBeRepeated(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.newer(a, s)
		first, second := packed(numbered(1, 150)...), packed(numbered(151, 203)...)
		for range 2 {
			if next, whole, err := a.putRows(id, 0, false, first); err != nil || whole || next != int64(len(first)) {
				t.Fatalf("the first part got %d, %v, %v", next, whole, err)
			}
		}
		_, _, err := a.putRows(id, int64(len(first))+1, false, second)
		w.wantCode(err, fleet.ArtifactOffset)
		if _, total, _, err := w.jobs.Rows(t.Context(), id, store.Page{}); err != nil || total != 0 {
			t.Errorf("before all have come there are said to be %d rows, %v", total, err)
		}
		for range 2 {
			if next, whole, err := a.putRows(id, int64(len(first)), true, second); err != nil || !whole || next != int64(len(first)+len(second)) {
				t.Fatalf("the last part got %d, %v, %v", next, whole, err)
			}
		}
		var got []string
		page := store.Page{Size: 60}
		for pages := 1; ; pages++ {
			rows, total, next, err := w.jobs.Rows(t.Context(), id, page)
			w.must(err)
			if total != 203 {
				t.Fatalf("%d rows", total)
			}
			for _, r := range rows {
				got = append(got, string(r))
			}
			if page.Token = next; next == "" {
				if pages != 4 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if want := strings.Join(numbered(1, 203), " "); strings.Join(got, " ") != want {
			t.Errorf("got %s", got)
		}
		if _, _, _, err := w.jobs.Rows(t.Context(), fleet.NewID[fleet.JobID](), page); !fleet.Is(err, fleet.NotFound) {
			t.Errorf("rows of no job: %v", err)
		}
	})
}

func TestRowsThatAreNoneAreRefused(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.newer(a, s)
		for what, data := range map[string][]byte{
			"text":          []byte("hello"),
			"a list":        packed(`[1]`),
			"half a row":    packed(`{"n":`),
			"too many":      packed(numbered(1, 5001)...),
			"a bomb":        packed(strings.Repeat(`{"n":"`+strings.Repeat("x", 60_000)+`"}`+"\n", 100)),
			"one too large": packed(`{"n":"` + strings.Repeat("x", 70_000) + `"}`),
			"blank lines":   packed("", " "),
		} {
			if _, _, err := a.putRows(id, 0, false, data); !fleet.Is(err, fleet.InvalidField) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if next, whole, err := a.putRows(id, 0, true, nil); err != nil || !whole || next != 0 {
			t.Errorf("an empty result got %d, %v, %v", next, whole, err)
		}
	})
}

func TestAnOperationWithoutRowsTakesNone(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "snapshots", Repository: s.RepositoryID})
		w.must(err)
		_, _, err = a.putRows(j.ID, 0, true, packed(`{"n":1}`))
		w.wantCode(err, fleet.NotFound)
	})
}

func TestAResultHasAMillionRowsAtMost(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.newer(a, s)
		part := packed(numbered(1, 5000)...)
		offset := int64(0)
		for range 200 {
			next, _, err := a.putRows(id, offset, false, part)
			w.must(err)
			offset = next
		}
		_, _, err := a.putRows(id, offset, true, packed(`{"n":1}`))
		w.wantCode(err, fleet.BodyTooLarge)
	})
}

func TestAResultComesInSoManyPartsAtMost(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	id := w.newer(a, s)
	part := packed(`{"n":1}`)
	offset := int64(0)
	w.write(func(tx *store.Tx) error { // as if it had come so
		for n := range int64(19_999) {
			if err := tx.AddRowChunk(t.Context(), &fleet.RowChunk{JobID: id, Offset: offset, First: n + 1, Count: 1, Data: part}); err != nil {
				return err
			}
			offset += int64(len(part))
		}
		return nil
	})
	next, _, err := a.putRows(id, offset, false, part)
	w.must(err)
	_, _, err = a.putRows(id, next, false, part)
	w.wantCode(err, fleet.BodyTooLarge)
	if _, whole, err := a.putRows(id, next, true, nil); err != nil || !whole {
		t.Errorf("what came cannot be ended: %v, %v", whole, err)
	}
}

func TestTheOldestResultsMakeRoomAndNoneOfAJobThatHasNotEnded(t *testing.T) {
	each(t, func(w *world) {
		part := packed(numbered(1, 150)...)
		w.jobs.RowsBytes = int64(2 * len(part))
		a, s := w.ready()
		filled := func() fleet.JobID {
			id := w.newer(a, s)
			_, _, err := a.putRows(id, 0, true, part)
			w.must(err)
			return id
		}
		rows := func(id fleet.JobID) int {
			list, _, _, err := w.jobs.Rows(t.Context(), id, store.Page{Size: 200})
			w.must(err)
			return len(list)
		}
		first, second := filled(), filled()
		third := w.newer(a, s)
		_, _, err := a.putRows(third, 0, true, part)
		w.wantCode(err, fleet.TooManyRequests)
		for _, id := range []fleet.JobID{first, second} {
			a.done(a.jobs[id])
			w.clock.advance(time.Minute)
		}
		_, _, err = a.putRows(third, 0, true, part)
		w.must(err)
		if rows(first) != 0 || rows(second) != 150 || rows(third) != 150 {
			t.Errorf("the first has %d rows, the second %d, the third %d", rows(first), rows(second), rows(third))
		}
	})
}
