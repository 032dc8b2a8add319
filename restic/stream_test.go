//go:build !windows

package restic_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

const aSnapshot = "5f6dc4ea5f6dc4ea5f6dc4ea5f6dc4ea5f6dc4ea5f6dc4ea5f6dc4ea5f6dc4ea"

const snapshotLine = `{"time":"2026-11-22T02:49:24.4Z","tree":"x","id":"` + aSnapshot + `","message_type":"snapshot","struct_type":"snapshot"}` + "\n"

// nodeLine is a line of restic ls.
func nodeLine(path string) string {
	return fmt.Sprintf(`{"name":"x","type":"file","path":%q,"uid":0,"gid":0,"size":3,"mode":420,"permissions":"-rw-r--r--","mtime":"2026-11-22T02:49:22.06335987Z","inode":9996113,"message_type":"node","struct_type":"node"}`+"\n", path)
}

func listReply(exit int, steps ...restictest.Step) restictest.Reply {
	return restictest.Reply{Command: "ls", Exit: exit, Steps: steps}
}

func TestEntriesAreHandedOnOneByOneAndNotLogged(t *testing.T) {
	s := newStage(t, restic.Config{}, listReply(0,
		out(snapshotLine), restictest.Step{Out: nodeLine("/a"), Times: 5000}, out("repository opened\n"), out(nodeLine("/b\n"))))
	count, last := 0, restic.Node{}
	result, err := restic.Run(t.Context(), s.runner, restic.List{SnapshotID: aSnapshot, Each: func(n restic.Node) error {
		count, last = count+1, n
		return nil
	}}, s.access, s.handlers())
	if err != nil || result.Outcome != restic.Succeeded || result.Value != 5001 || count != 5001 {
		t.Errorf("%d entries; %+v %v", count, result, err)
	}
	want := restic.Node{Path: "/b\n", Type: "file", Size: 3, Mode: 0o644, ModTime: time.Date(2026, 11, 22, 2, 49, 22, 63359870, time.UTC)}
	if last != want {
		t.Errorf("%+v, want %+v", last, want)
	}
	if len(s.lines) != 2 {
		t.Errorf("%d lines were logged: %.300q", len(s.lines), s.lines)
	}
}

func TestAResticWhoseResultIsNotTakenIsStopped(t *testing.T) {
	full := errors.New("no space left on the disk")
	refuse := func(restic.Node) error { return full }
	for exit, last := range map[int]restictest.Step{130: {Await: true}, 0: {}} { // one ends before it can be stopped
		s := newStage(t, restic.Config{Grace: time.Minute}, listReply(exit, out(snapshotLine), restictest.Step{Out: nodeLine("/a"), Times: 10}, last))
		result, err := restic.Run(t.Context(), s.runner, restic.List{SnapshotID: aSnapshot, Each: refuse}, s.access, s.handlers())
		if err != nil || result.Outcome != restic.Failed || result.Failure.Code != restic.CodeResultNotTaken || !errors.Is(result.Failure, full) {
			t.Errorf("%+v %v", result, err)
		}
	}
	t.Run("unless it was cancelled before", func(t *testing.T) {
		s := newStage(t, restic.Config{Grace: time.Minute}, listReply(130, out(snapshotLine), out(nodeLine("/a")), restictest.Step{Await: true}, out(nodeLine("/b"))))
		ctx, cancel := context.WithCancel(t.Context())
		result, err := restic.Run(ctx, s.runner, restic.List{SnapshotID: aSnapshot, Each: func(n restic.Node) error {
			if n.Path == "/b" {
				return full
			}
			cancel()
			return nil
		}}, s.access, s.handlers())
		if err != nil || result.Outcome != restic.Cancelled {
			t.Errorf("%+v %v", result, err)
		}
	})
}

func TestAListingOfNothingIsAFailureWhereAPathWasAskedFor(t *testing.T) {
	each := func(restic.Node) error { return nil }
	for path, want := range map[string]restic.Code{"/no/such": restic.CodePathNotFound, "/": "", "": ""} {
		paths := []string{path}
		if path == "" {
			paths = nil
		}
		s := newStage(t, restic.Config{}, listReply(0, out(snapshotLine)))
		result, err := restic.Run(t.Context(), s.runner, restic.List{SnapshotID: aSnapshot, Paths: paths, Each: each}, s.access, s.handlers())
		switch {
		case err != nil:
			t.Error(err)
		case want == "" && result.Outcome != restic.Succeeded, want != "" && (result.Failure == nil || result.Failure.Code != want):
			t.Errorf("%q: %+v", path, result)
		}
	}
	s := newStage(t, restic.Config{}, listReply(0))
	result, err := restic.Run(t.Context(), s.runner, restic.List{SnapshotID: aSnapshot, Each: each}, s.access, s.handlers())
	if err != nil || result.Outcome != restic.Failed || result.Failure.Code != restic.CodeResticNoResult {
		t.Errorf("without the snapshot's own line: %+v %v", result, err)
	}
}

func TestAListingTakesNoOptionForAPath(t *testing.T) {
	for _, path := range []string{"--help", "-l", "a", "/..", "/a//b", "/a\x00"} {
		if err := (restic.List{SnapshotID: aSnapshot, Paths: []string{path}}).Validate(); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	for _, id := range []string{"", "latest", "5f6dc4ea", strings.ToUpper(aSnapshot)} {
		if err := (restic.List{SnapshotID: id}).Validate(); err == nil {
			t.Errorf("snapshot %q was taken", id)
		}
	}
}
