package spool

import (
	"fmt"
	"testing"
)

// BenchmarkLog writes lines as restic does and commits them once a thousand, which
// is more often than once a second at any rate that matters.
func BenchmarkLog(b *testing.B) {
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), FreeSpace: roomy})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	job, _, err := s.OpenJob(b.Context(), NewJob{ID: id(1), Operation: "backup", Trigger: "schedule"})
	if err != nil {
		b.Fatal(err)
	}
	line := Line{At: s.now(), Stream: Stdout, Text: `{"message_type":"verbose_status","action":"new","item":"/srv/data/2026/03/photo-000001.jpg","duration":0.1}`}
	b.SetBytes(int64(len(line.Text)))
	n := 0
	for b.Loop() {
		s.Log(job.ID, line)
		if n++; n%1000 == 0 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(s.Summary().Bytes)/float64(max(n, 1)), "bytes/line")
}

// BenchmarkPhases takes a job from its opening to the server's confirmation: six
// commits, each with its fsync.
func BenchmarkPhases(b *testing.B) {
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), FreeSpace: roomy})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	n := 0
	for b.Loop() {
		n++
		name := fmt.Sprintf("job-%d", n)
		if err := phases(b, s, name); err != nil {
			b.Fatal(err)
		}
	}
}

func phases(b *testing.B, s *Spool, name string) error {
	if _, _, err := s.OpenJob(b.Context(), NewJob{ID: name, Operation: "backup", Trigger: "schedule"}); err != nil {
		return err
	}
	if _, err := s.Start(b.Context(), name); err != nil {
		return err
	}
	if err := s.Attach(b.Context(), name, []byte(`{"pid":7}`)); err != nil {
		return err
	}
	if err := s.Finish(b.Context(), name, Outcome{Result: Succeeded}, nil); err != nil {
		return err
	}
	items, err := s.Batch(b.Context(), DefaultBatchLimits(), func(string) bool { return true })
	if err != nil {
		return err
	}
	return s.Applied(b.Context(), allTaken(items))
}
