//go:build !windows

package restic_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func readReply(command, stdout string, exit int) restictest.Reply {
	return restictest.Reply{Command: command, Exit: exit, Steps: []restictest.Step{out(stdout)}}
}

const found = `[{"matches":[{"path":"/a","type":"file","size":3,"mode":420,"mtime":"2026-11-22T02:49:22Z","user":"root"},{"path":"/b","type":"dir"}],"hits":2,"snapshot":"` +
	aSnapshot + `"},{"matches":null,"hits":0,"new":{"x":[1]},"snapshot":"b"}]` + "\n"

func TestWhatIsFoundIsHandedOnBySnapshot(t *testing.T) {
	s := newStage(t, restic.Config{}, readReply("find", "text before\n"+found+"text behind\n", 0))
	var got []restic.Matches
	result, err := restic.Run(t.Context(), s.runner, restic.Find{Patterns: []string{"--help", "*"}, Each: func(m restic.Matches) error {
		got = append(got, m)
		return nil
	}}, s.access, s.handlers())
	if err != nil || result.Outcome != restic.Succeeded || len(got) != 2 || got[0].Hits != 2 || got[0].SnapshotID != aSnapshot || got[0].Nodes[1].Path != "/b" || got[1].SnapshotID != "b" {
		t.Errorf("%+v; %+v %v", got, result, err)
	}
	if diff := cmp.Diff([]string{"stdout: text before", "stdout: text behind"}, s.lines); diff != "" {
		t.Error(diff)
	}
}

func TestAListThatEndsTooEarlyIsNoResult(t *testing.T) {
	for _, text := range []string{"", found[:len(found)/2], "[{", `{"matches":[]}`, "[1]", `[{"matches":[1],"snapshot":"x"}]`} {
		s := newStage(t, restic.Config{}, readReply("find", text, 0))
		result, err := restic.Run(t.Context(), s.runner, restic.Find{Patterns: []string{"x"}, Each: func(restic.Matches) error { return nil }}, s.access, s.handlers())
		if err != nil || result.Outcome != restic.Failed || result.Failure.Code != restic.CodeResticNoResult {
			t.Errorf("%q: %+v %v", text, result, err)
		}
	}
	t.Run("and restic's own failure comes first", func(t *testing.T) {
		s := newStage(t, restic.Config{}, readReply("find", found[:20], 12))
		result, err := restic.Run(t.Context(), s.runner, restic.Find{Patterns: []string{"x"}, Each: func(restic.Matches) error { return nil }}, s.access, s.handlers())
		if err != nil || result.Failure == nil || result.Failure.Code != restic.CodeWrongPassword {
			t.Errorf("%+v %v", result, err)
		}
	})
	t.Run("and who does not take it is told apart", func(t *testing.T) {
		full := errors.New("full")
		s := newStage(t, restic.Config{}, readReply("find", found, 0))
		result, err := restic.Run(t.Context(), s.runner, restic.Find{Patterns: []string{"x"}, Each: func(restic.Matches) error { return full }}, s.access, s.handlers())
		if err != nil || result.Failure == nil || !errors.Is(result.Failure, full) {
			t.Errorf("%+v %v", result, err)
		}
	})
}

func TestNumbersOfNoSnapshotAreAFailure(t *testing.T) {
	for text, want := range map[string]restic.Code{
		`{"total_size":0,"snapshots_count":0}`: restic.CodeSnapshotNotFound, `{"total_size":0}`: restic.CodeResticNoResult, "": restic.CodeResticNoResult,
	} {
		s := newStage(t, restic.Config{}, readReply("stats", text+"\n", 0))
		result, err := restic.Run(t.Context(), s.runner, restic.Stats{Mode: restic.StatsRawData, SnapshotID: aSnapshot}, s.access, s.handlers())
		if err != nil || result.Failure == nil || result.Failure.Code != want {
			t.Errorf("%q: %+v %v", text, result, err)
		}
	}
	s := newStage(t, restic.Config{}, readReply("stats", `{"total_size":0,"snapshots_count":0}`, 0))
	if result, err := restic.Run(t.Context(), s.runner, restic.Stats{Mode: restic.StatsRawData}, s.access, s.handlers()); err != nil || result.Outcome != restic.Succeeded {
		t.Errorf("of an empty repository: %+v %v", result, err)
	}
}

func TestAComparisonWithoutStatisticsIsAFailure(t *testing.T) {
	s := newStage(t, restic.Config{}, readReply("diff", `{"message_type":"change","path":"/a","modifier":"+"}`+"\n", 0))
	result, err := restic.Run(t.Context(), s.runner, restic.Diff{From: aSnapshot, To: aSnapshot, Each: func(restic.Change) error { return nil }}, s.access, s.handlers())
	if err != nil || result.Outcome != restic.Failed || result.Failure.Code != restic.CodeResticNoResult {
		t.Errorf("%+v %v", result, err)
	}
}

func TestADumpGoesIntoAFileOfAPlainName(t *testing.T) {
	folder, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for entry, want := range map[string]string{
		"/a/report.txt": "report.txt", "/a/-rf": "dump", "/a/.bashrc": "dump", "/a/new\nline": "dump", "/": "dump", "/a/\u202egpj.exe": "dump", "/a b (1)": "dump", "/a b": "a b",
	} {
		if got := restic.DumpName(entry, ""); got != want {
			t.Errorf("%q is dumped into %q, want %q", entry, got, want)
		}
	}
	for archive, most := range map[string]int{"": 200, restic.ArchiveTar: 196} {
		for _, length := range []int{195, 196, 197, 200, 201, 255} {
			name := restic.DumpName("/"+strings.Repeat("x", length), archive)
			dump := restic.Dump{SnapshotID: aSnapshot, Path: "/a", Archive: restic.ArchiveTar, File: name, Folder: folder}
			if err := dump.Validate(); err != nil || (name[0] == 'x') != (length <= most) {
				t.Errorf("a name of %d, %q: %s, %v", length, archive, name, err)
			}
		}
	}
	for _, file := range []string{"", "..", "a/b", "../x", "-x", ".x", "a\nb"} {
		dump := restic.Dump{SnapshotID: aSnapshot, Path: "/a", Archive: restic.ArchiveTar, File: file, Folder: folder}
		if dump.Validate() == nil {
			t.Errorf("%q was taken", file)
		}
		dump.File = "fine"
		if err := dump.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsNoPatternIsRefused(t *testing.T) {
	for _, pattern := range []string{"", "[a", "a\\", "a\x00b"} {
		if (restic.Find{Patterns: []string{"*", pattern}}).Validate() == nil {
			t.Errorf("%q was taken", pattern)
		}
	}
	if err := (restic.Find{Patterns: []string{"*", "--help", "[[]x", "a\nb"}, SnapshotID: aSnapshot}).Validate(); err != nil {
		t.Error(err)
	}
	if (restic.Find{}).Validate() == nil || (restic.Find{Patterns: []string{"a"}, SnapshotID: "latest"}).Validate() == nil {
		t.Error("no pattern, or no full id, was taken")
	}
}
