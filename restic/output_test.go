//go:build !windows

package restic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestStatusIsSampledAndIsNoLine(t *testing.T) {
	status := func(n int) restictest.Step {
		return out(fmt.Sprintf(`{"message_type":"status","percent_done":0.5,"files_done":%d,"current_files":["/a"]}`+"\n", n))
	}
	steps := []restictest.Step{out("text in between\n")}
	for n := range 200 {
		steps = append(steps, status(n+1))
	}
	steps = append(steps, out(summary))
	s := newStage(t, restic.Config{}, backupReply(0, steps...))
	s.backup(t.Context())
	if diff := cmp.Diff([]string{"stdout: text in between", "stdout: " + strings.TrimSpace(summary)}, s.lines); diff != "" {
		t.Error(diff)
	}
	if n := len(s.progress); n < 2 || n > 5 {
		t.Fatalf("%d samples of a run shorter than a second, want the first and the last", n)
	}
	if s.progress[0].FilesDone != 1 || s.progress[len(s.progress)-1].FilesDone != 200 {
		t.Errorf("first %+v, last %+v", s.progress[0], s.progress[len(s.progress)-1])
	}
}

func TestSecretsAreRedactedInEverythingThatLeaves(t *testing.T) {
	forms := []string{
		"hunter2-äß", "hunter2-%C3%A4%C3%9F", `rest<&"secret`, `rest\u003c\u0026\"secret`, `rest<&\"secret`,
		"rest%3C%26%22secret", "rest%3C&%22secret",
		"aG9zdDE6cmVzdDwmInNlY3JldA==", // host1:rest<&"secret
	}
	var steps []restictest.Step
	for _, form := range forms {
		steps = append(steps, errs("text "+form+" end\n"), out("{"+form+"\n"))
	}
	steps = append(steps,
		errs(`{"message_type":"error","error":{"message":"open hunter2-äß: denied"},"during":"archival","item":"/hunter2-äß"}`+"\n"),
		out(`{"message_type":"status","files_done":1,"current_files":["/hunter2-äß"]}`+"\n"),
		errs(`{"message_type":"exit_error","code":1,"message":"Fatal: hunter2-äß"}`+"\n"))
	s := newStage(t, restic.Config{}, backupReply(1, steps...))
	result := s.backup(t.Context())
	said := fmt.Sprint(s.lines, s.progress, result.Items, result.Failure, result.Failure.Detail)
	for _, form := range append(forms, "hunter2", "secret") {
		if strings.Contains(said, form) {
			t.Errorf("%q got out", form)
		}
	}
	if n := strings.Count(said, "[redacted]"); n < 2*len(forms)+4 {
		t.Errorf("redacted %d times", n)
	}
}

func TestEndlessLinesAreCutAndCounted(t *testing.T) {
	const megabytes = 40
	s := newStage(t, restic.Config{}, backupReply(0,
		restictest.Step{Out: strings.Repeat("x", 1<<20), Times: megabytes}, out("\n"), out("after\n"), out(summary)))
	var omitted int64
	var texts []int
	h := s.handlers()
	h.Line = func(l restic.Line) { omitted += l.Omitted; texts = append(texts, len(l.Text)) }
	result, err := restic.Run(t.Context(), s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
	if err != nil || result.Outcome != restic.Succeeded {
		t.Fatalf("%v %v", result.Failure, err)
	}
	if want := int64((megabytes - 1) << 20); omitted != want || texts[0] != 1<<20 || texts[1] != len("after") {
		t.Errorf("omitted %d, want %d; lengths %v", omitted, want, texts)
	}
}

func TestDocumentsAreFoundAmongText(t *testing.T) {
	list := `[{"id":"` + snapshotID + `","time":"2026-11-21T20:10:12.39+01:00","paths":null,"tags":null,"hostname":"h"}]`
	for _, text := range []string{list, list + "\n", "create exclusive lock for repository\n" + list + "\nafter\n", "\r\n\n" + list} {
		s := newStage(t, restic.Config{}, restictest.Reply{Command: "snapshots", Steps: []restictest.Step{out(text)}})
		result, err := restic.Run(t.Context(), s.runner, restic.Snapshots{}, s.access, s.handlers())
		if err != nil || result.Outcome != restic.Succeeded || len(result.Value) != 1 || result.Value[0].ID != snapshotID {
			t.Errorf("%q: got %+v %v", text, result, err)
		}
		for _, line := range s.lines {
			if strings.Contains(line, snapshotID) {
				t.Errorf("the document is in the log: %s", line)
			}
		}
	}
	for _, text := range []string{"", "[", list[:40], "[0:00] 100%\n", "null"} {
		s := newStage(t, restic.Config{}, restictest.Reply{Command: "snapshots", Steps: []restictest.Step{out(text)}})
		result, err := restic.Run(t.Context(), s.runner, restic.Snapshots{}, s.access, s.handlers())
		if err != nil || result.Outcome != restic.Failed || code(result) != restic.CodeResticNoResult {
			t.Errorf("%q: got %+v %v", text, result, err)
		}
	}
}
