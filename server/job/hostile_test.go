package job_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

// TestTextsThatNoDatabaseTakesAreRejected has NUL characters where they would reach
// a column of their own.
func TestTextsThatNoDatabaseTakesAreRejected(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		at := w.clock.now()
		good := job.Snapshot{ID: snapshotID("ab"), Time: at, Hostname: "web-1", Paths: []string{"/x\x00"}, Tags: []string{"\x00"}}
		host, user := good, good
		host.Hostname, user.Username = "a\x00b", "a\x00b"
		for name, bad := range map[string]job.Event{
			"a kind":                   {Seq: 3, At: at, Kind: "a\x00b"},
			"a code":                   {Seq: 3, At: at, Kind: job.EventWaiting, Code: "a\x00b"},
			"a message":                {Seq: 3, At: at, Kind: job.EventWaiting, Message: "a\x00b"},
			"a long message":           {Seq: 3, At: at, Kind: job.EventWaiting, Message: strings.Repeat("ä", 4001)},
			"a snapshot's host":        {Seq: 3, At: at, Kind: "note", Snapshot: &host},
			"a snapshot's user":        {Seq: 3, At: at, Kind: "note", Snapshot: &user},
			"a negative attempt":       {Seq: 3, At: at, Kind: "note", Attempt: -1},
			"an outcome's code":        {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "failed", Code: "a\x00b"}},
			"a warning":                {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "warning", Warnings: []job.FileWarning{{Path: "\x00"}}}},
			"a lock":                   {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "failed", Locks: []job.Lock{{Hostname: "\x00"}}}},
			"a source":                 {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "failed", Sources: []job.SourceSeen{{Path: "\x00"}}}},
			"facts that are a list":    {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", Facts: []byte(`[1]`)}},
			"facts that are broken":    {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", Facts: []byte(`{"a":`)}},
			"facts of no text":         {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", Facts: []byte("{\"a\":\"\xff\"}")}},
			"facts that are too large": {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", Facts: []byte(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)}},
			"fewer rows than none":     {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", Rows: -1}},
			"many sources":             {Seq: 3, At: at, Kind: job.EventFinished, Outcome: &job.Outcome{Result: "failed", Sources: make([]job.SourceSeen, 201)}},
		} {
			it := wk.item()
			it.Events = []job.Event{bad}
			if v, err := a.send(it); err != nil || v[0].Outcome != job.TakenRejected || v[0].RejectedSeq != 3 {
				w.Errorf("%s: %+v, %v", name, v, err)
			}
		}
		it := wk.item()
		it.Events = []job.Event{{Seq: 3, At: at, Kind: "note", Snapshot: &good}}
		if v, err := a.send(it); err != nil || v[0].Outcome != job.TakenOK {
			w.Errorf("lists with such texts: %+v, %v", v, err)
		}
		born := wk.item()
		born.Job, born.Events, born.Opened = fleet.NewID[fleet.JobID](), nil, &job.Opened{Operation: "back\x00up", Trigger: "\x00", At: at}
		if v, err := a.send(born); err != nil || v[0].Outcome != job.TakenOK {
			w.Errorf("a job of such an operation: %+v, %v", v, err)
		}
		born.Epoch = 1 << 62
		_, err := a.send(born)
		w.wantCode(err, fleet.Invalid)
	})
}

func TestReportsHaveLimits(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	items := make([]job.Item, job.MaxReportItems+1)
	for i := range items {
		items[i] = job.Item{Job: fleet.NewID[fleet.JobID](), Epoch: 1, Writer: wk.writer, Phase: "running"}
	}
	_, err := a.send(items...)
	w.wantCode(err, fleet.BodyTooLarge)
	if _, err := a.send(items[1:]...); err != nil {
		t.Errorf("as many items as may be: %v", err)
	}
	many := wk.item()
	for i := range job.MaxReportRecords + 1 {
		many.Events = append(many.Events, job.Event{Seq: int64(i + 3), At: w.clock.now(), Kind: "note"})
	}
	_, err = a.send(many)
	w.wantCode(err, fleet.BodyTooLarge)
	_, err = a.send(items[1], items[1])
	w.wantCode(err, fleet.Invalid)
}

// TestAChunkThatLiesAboutItsSizeCostsNothing: what a chunk says of itself is bounded
// before anything is made of it.
func TestAChunkThatLiesAboutItsSizeCostsNothing(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	honest := a.chunk(1, 1, "a line")
	for name, spoil := range map[string]func(*fleet.LogChunk){
		"lines":            func(c *fleet.LogChunk) { c.Lines = math.MaxInt },
		"no lines":         func(c *fleet.LogChunk) { c.Lines = 0 },
		"negative lines":   func(c *fleet.LogChunk) { c.Lines = math.MinInt },
		"bytes":            func(c *fleet.LogChunk) { c.Bytes = math.MaxInt64 },
		"negative bytes":   func(c *fleet.LogChunk) { c.Bytes = math.MinInt64 },
		"the first line":   func(c *fleet.LogChunk) { c.FirstLine = math.MaxInt64 },
		"a line before it": func(c *fleet.LogChunk) { c.FirstLine = math.MinInt64 },
		"its number":       func(c *fleet.LogChunk) { c.Seq = math.MinInt64 },
	} {
		c := honest
		spoil(&c)
		it := wk.item()
		it.Events, it.Log = nil, []fleet.LogChunk{c}
		if v, err := a.send(it); err != nil || v[0].Outcome != job.TakenRejected {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestListingsHaveLimits sends what would take the memory or the disk if it were
// believed.
func TestListingsHaveLimits(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	line, err := json.Marshal(a.snapshot(snapshotID("ab")))
	w.must(err)
	put := func(p job.Part) error {
		p.Job, p.Name = wk.job, job.ArtifactSnapshots
		_, _, err := w.jobs.PutPart(t.Context(), a.id, p)
		return err
	}
	w.wantCode(put(job.Part{Data: make([]byte, job.MaxPart+1)}), fleet.BodyTooLarge)
	w.wantCode(put(job.Part{Offset: 64 << 20, Data: []byte("x")}), fleet.BodyTooLarge)
	w.wantCode(put(job.Part{Offset: math.MaxInt64, Data: []byte("x")}), fleet.BodyTooLarge)
	for name, listing := range map[string][]byte{
		"a line without an end": zipped(t, strings.Repeat(" ", 8<<20)),
		"lines of nothing":      zipped(t, strings.Repeat("\n", 2_000_000)),
		"deep nesting":          zipped(t, strings.Repeat("[", 500_000)),
		"huge numbers":          zipped(t, strings.Replace(string(line), `"hostname"`, `"files":1e999,"hostname"`, 1)),
		"no id":                 zipped(t, `{"id":"x","time":"2026-01-02T03:04:05Z","hostname":"h","paths":[]}`),
	} {
		if len(listing) > 64<<20 {
			t.Fatalf("%s: %d bytes", name, len(listing))
		}
		var offset int64
		var err error
		for err == nil && offset < int64(len(listing)) {
			end := min(offset+job.MaxPart, int64(len(listing)))
			err = put(job.Part{Offset: offset, Data: listing[offset:end], Last: end == int64(len(listing))})
			offset = end
		}
		if !fleet.Is(err, fleet.InvalidField) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(w.known(w.job(wk.job).RepositoryID)); n != 0 {
		t.Errorf("%d snapshots are known", n)
	}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := fmt.Fprint(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
