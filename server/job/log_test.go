package job_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/job"
)

func numbers(p job.LogPage) string {
	if len(p.Lines) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d-%d", p.Lines[0].N, p.Lines[len(p.Lines)-1].N)
}

func TestALogIsReadFromAnyPlace(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		for range 5 {
			a.say(wk, strings.Split(strings.Repeat("line ", 1000), " ")[:1000]...)
		}
		a.report(wk)
		for name, c := range map[string]struct {
			query job.LogQuery
			want  string
			next  int64
		}{
			"from the start":  {job.LogQuery{}, "1-2000", 2},
			"behind a chunk":  {job.LogQuery{AfterSeq: 2}, "2001-4000", 4},
			"behind the last": {job.LogQuery{AfterSeq: 5}, "none", 5},
			"from a line":     {job.LogQuery{FromLine: 3500}, "3001-5000", 5},
			"the end":         {job.LogQuery{Tail: 10}, "4001-5000", 5},
			"more than all":   {job.LogQuery{Tail: 10_000}, "1-2000", 2},
		} {
			page, err := w.jobs.Log(w.Context(), wk.job, c.query)
			w.must(err)
			if numbers(page) != c.want || page.Next != c.next || page.End {
				w.Errorf("%s: got %s, next %d, end %v; want %s and %d", name, numbers(page), page.Next, page.End, c.want, c.next)
			}
		}
	})
}

func TestALogEndsWhenItsJobIsFinishedAndQuiet(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	a.say(wk, "one")
	a.backup(wk)
	read := func() bool {
		page, err := w.jobs.Log(t.Context(), wk.job, job.LogQuery{})
		w.must(err)
		return page.End
	}
	if read() {
		t.Error("the log ended at once; more of it may still travel")
	}
	w.clock.advance(6 * time.Second)
	if !read() {
		t.Error("the log of a finished job that is quiet has no end")
	}
}

func TestALogEndsWithTheChunksThatItsAgentToldOf(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	a.say(wk, "one")
	read := func() bool {
		page, err := w.jobs.Log(t.Context(), wk.job, job.LogQuery{})
		w.must(err)
		return page.End
	}
	a.finish(wk, job.Outcome{Result: "failed", LogNextSeq: 3}, nil)
	if w.clock.advance(30 * time.Second); read() {
		t.Error("the log ended before its second chunk was there")
	}
	a.say(wk, "two")
	a.report(wk)
	if !read() {
		t.Error("the log is complete and has no end")
	}
}

func TestALogWhoseRestNeverComesEndsAfterAWhile(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	a.finish(wk, job.Outcome{Result: "failed", LogNextSeq: 9}, nil)
	w.clock.advance(2 * time.Minute)
	if page, err := w.jobs.Log(t.Context(), wk.job, job.LogQuery{}); err != nil || !page.End {
		t.Errorf("got end %t, %v", page.End, err)
	}
}

func TestAChunkThatIsNotWhatItSaysBecomesOneLine(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	bomb := a.chunk(1, 1, strings.Repeat("x", 1<<20))
	bomb.Bytes = 100 // it decompresses to far more
	short := a.chunk(2, 2, "a", "b", "c")
	short.Lines = 1
	junk := a.chunk(3, 5, "d")
	junk.Data = []byte("no zstd at all")
	long := a.chunk(4, 6, strings.Repeat("ä", 20_000)+"\x1b")
	wk.log = append(wk.log, bomb, short, junk, long)
	if v := a.report(wk); v.Outcome != job.TakenOK {
		t.Fatalf("got %+v", v)
	}
	page, err := w.jobs.Log(t.Context(), wk.job, job.LogQuery{})
	w.must(err)
	var texts []string
	for _, l := range page.Lines {
		texts = append(texts, fmt.Sprintf("%d %.30s", l.N, l.Text))
	}
	want := []string{"1 [1 lines cannot be read: their", "2 [1 lines cannot be read: their", "5 [1 lines cannot be read: their", "6 " + strings.Repeat("ä", 30)}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if n := len(page.Lines[3].Text); n > 17<<10 {
		t.Errorf("a line of %d bytes was given out", n)
	}
}
