//go:build !windows

package restic_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestOutcomesFollowFacts(t *testing.T) {
	exitError := func(code int, message string) restictest.Step {
		return errs(fmt.Sprintf(`{"message_type":"exit_error","code":%d,"message":%q}`+"\n", code, message))
	}
	item := errs(`{"message_type":"error","error":{"message":"open /x: permission denied"},"during":"archival","item":"/x"}` + "\n")
	tests := []struct {
		name    string
		reply   restictest.Reply
		outcome restic.Outcome
		code    restic.Code
	}{
		{"a summary with 0 is a success", backupReply(0, out(summary)), restic.Succeeded, ""},
		{"0 without a summary is a failure", backupReply(0), restic.Failed, restic.CodeResticNoResult},
		{"0 with a summary without a snapshot is a failure", backupReply(0, out(`{"message_type":"summary"}`+"\n")), restic.Failed, restic.CodeResticNoResult},
		{"3 with a summary is a warning", backupReply(3, item, out(summary)), restic.Warning, restic.CodeSourceUnreadable},
		{"3 without a summary is a failure", backupReply(3, item), restic.Failed, restic.CodeResticNoResult},
		{"1 is a failure even with a summary", backupReply(1, out(summary)), restic.Failed, restic.CodeResticFailed},
		{"2 is a crash", backupReply(2, errs("panic: runtime error\n\ngoroutine 1 [running]:\n")), restic.Failed, restic.CodeResticCrashed},
		{"10 is no repository", backupReply(10, exitError(10, "Fatal: repository does not exist")), restic.Failed, restic.CodeRepoNotFound},
		{"11 is a lock", backupReply(11), restic.Failed, restic.CodeRepoLocked},
		{"12 is a wrong password", backupReply(12), restic.Failed, restic.CodeWrongPassword},
		{"130 without our asking is somebody else's signal", backupReply(130), restic.Failed, restic.CodeResticKilled},
		{"an unknown code is a failure", backupReply(99, out(summary)), restic.Failed, restic.CodeResticUnknownExit},
		{"a kill from outside is a failure", restictest.Reply{Command: "backup", Die: true}, restic.Failed, restic.CodeResticKilled},
		{"401", backupReply(1, exitError(1, "Fatal: unable to open config file: unexpected HTTP response (401): 401 Unauthorized")), restic.Failed, restic.CodeRepoCredentialsRejected},
		{"403", backupReply(1, exitError(1, "unexpected HTTP response (403): 403 Forbidden")), restic.Failed, restic.CodeRepoForbidden},
		{"403 of what was sent again", backupReply(1, errs("Save(<data/1>) returned error, retrying after 1.1s: Post \"http://x/data/1\": EOF\n"), errs("Save(<data/1>) failed: unexpected HTTP response (403): 403 Forbidden\n"),
			exitError(1, "Fatal: unable to save snapshot: unexpected HTTP response (403): 403 Forbidden")), restic.Failed, restic.CodeRepoAnswerLost},
		{"403 of another than what was sent again", backupReply(1, errs("Save(<data/1>) returned error, retrying after 1.1s: Post \"http://x/data/1\": EOF\n"), errs("Save(<data/2>) failed: unexpected HTTP response (403): 403 Forbidden\n"),
			exitError(1, "Fatal: unable to save snapshot: unexpected HTTP response (403): 403 Forbidden")), restic.Failed, restic.CodeRepoForbidden},
		{"507", backupReply(1, errs("Save(<data/1>) failed: unexpected HTTP response (507): 507 Insufficient Storage\n"), exitError(1, "Fatal: unable to save snapshot")), restic.Failed, restic.CodeRepositoryFull},
		{"413", backupReply(1, errs("Save(<data/1>) failed: unexpected HTTP response (413): 413 Request Entity Too Large\n"), exitError(1, "Fatal: unable to save snapshot")), restic.Failed, restic.CodeRepoUploadRefused},
		{"a full disk", backupReply(1, exitError(1, "write /srv/x: no space left on device")), restic.Failed, restic.CodeDiskFull},
		{"a certificate", backupReply(1, exitError(1, `Head "https://x": tls: failed to verify certificate: x509: certificate signed by unknown authority`)), restic.Failed, restic.CodeRepoTLS},
		{"a refused connection", backupReply(1, exitError(1, `dial tcp 127.0.0.1:1: connect: connection refused`)), restic.Failed, restic.CodeRepoUnreachable},
		{"a damaged repository", backupReply(1, exitError(1, `config or key 1234 is damaged: ciphertext verification failed`)), restic.Failed, restic.CodeRepoDamaged},
		{"no source at all", backupReply(1, exitError(1, `Fatal: all source directories/files do not exist`)), restic.Failed, restic.CodeSourceMissing},
		{"the last reason counts", backupReply(1, errs("Save: connection refused\n"), errs("Save: unexpected HTTP response (507)\n")), restic.Failed, restic.CodeRepositoryFull},
		{"words that are not known", backupReply(1, exitError(1, "Fatal: something new")), restic.Failed, restic.CodeResticFailed},
	}
	s := newStage(t, restic.Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.fake.SetScript(restictest.Script{Replies: []restictest.Reply{test.reply}})
			result := s.backup(t.Context())
			if result.Outcome != test.outcome || code(result) != test.code {
				t.Fatalf("got %s %q (%v), want %s %q", result.Outcome, code(result), result.Failure, test.outcome, test.code)
			}
			if result.Failure != nil && (result.Failure.Message == "" || result.Failure.Next == "") {
				t.Errorf("no words: %+v", result.Failure)
			}
			if (test.outcome == restic.Succeeded || test.outcome == restic.Warning) != (result.Value.SnapshotID == snapshotID) {
				t.Errorf("snapshot %q with outcome %s", result.Value.SnapshotID, result.Outcome)
			}
		})
	}
}

func TestAMissingSourceIsAWarningWhateverResticSays(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0, out(summary)))
	missing := filepath.Join(s.temp, "not there")
	result, err := restic.Run(t.Context(), s.runner, restic.Backup{Sources: []string{s.source(), missing}, Host: "h"}, s.access, s.handlers())
	if err != nil {
		t.Fatal(err)
	}
	if result.Outcome != restic.Warning || code(result) != restic.CodeSourceMissing {
		t.Errorf("got %s %v", result.Outcome, result.Failure)
	}
	if diff := cmp.Diff([]string{missing}, result.Value.MissingSources); diff != "" {
		t.Error(diff)
	}
}

func TestTheHolderOfALockIsNamed(t *testing.T) {
	message := "unable to create lock in backend: repository is already locked exclusively by PID 31651 on vm by root (UID 0, GID 0)\\n" +
		"lock was created at 2026-11-21 17:40:00 (13.8s ago)\\nstorage ID efd3917c\\nthe `unlock` command can be used to remove stale locks"
	s := newStage(t, restic.Config{}, backupReply(11, errs(`{"message_type":"exit_error","code":11,"message":"`+message+`"}`+"\n")))
	result := s.backup(t.Context())
	want := &restic.LockHolder{Exclusive: true, PID: 31651, Host: "vm", User: "root", Created: "2026-11-21 17:40:00 (13.8s ago)", StorageID: "efd3917c"}
	if diff := cmp.Diff(want, result.Holder); diff != "" {
		t.Error(diff)
	}
	if got, want := result.Failure.Message, "the repository is locked by process 31651 on vm"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestItemsAreBoundedAndCounted(t *testing.T) {
	var all strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&all, `{"message_type":"error","error":{"message":"denied"},"during":"archival","item":"/f%d"}`+"\n", i)
	}
	s := newStage(t, restic.Config{}, backupReply(3, errs(all.String()), out(summary)))
	items := s.backup(t.Context()).Items
	if items.Count != 3000 || items.Omitted() != 3000-len(items.First)-len(items.Last) || items.Omitted() == 0 {
		t.Errorf("count %d, omitted %d", items.Count, items.Omitted())
	}
	if items.First[0].Path != "/f0" || items.Last[len(items.Last)-1].Path != "/f2999" {
		t.Errorf("first %v, last %v", items.First[0], items.Last[len(items.Last)-1])
	}
	if len(s.lines) != 3001 {
		t.Errorf("%d lines reached the log, want all 3001", len(s.lines))
	}
}

// TestASnapshotIsCompleteOnlyWhereAllWasStoredAgain has one file that could not be read
// among more than are kept of such a backup.
func TestASnapshotIsCompleteOnlyWhereAllWasStoredAgain(t *testing.T) {
	const items, kept = 400, 250
	for denied, want := range map[int]restic.Code{
		-1: restic.CodeStoredAgain, 0: restic.CodeSourceUnreadable, kept + 20: restic.CodeSourceUnreadable, items - 1: restic.CodeSourceUnreadable,
	} {
		var all strings.Builder
		for i := range items {
			message := "parts of /f not found in the repository index; storing the file again"
			if i == denied {
				message = "open /f: permission denied"
			}
			fmt.Fprintf(&all, `{"message_type":"error","error":{"message":%q},"during":"archival","item":"/f%d"}`+"\n", message, i)
		}
		s := newStage(t, restic.Config{}, backupReply(3, errs(all.String()), out(summary)))
		result := s.backup(t.Context())
		if result.Outcome != restic.Warning || code(result) != want {
			t.Errorf("with item %d denied: %s %q, want %q", denied, result.Outcome, code(result), want)
		}
	}
}

func TestAnItemReportedByScannerAndArchiverCountsOnce(t *testing.T) {
	report := func(during, path string) restictest.Step {
		return errs(`{"message_type":"error","error":{"message":"openfile for readdirnames failed: open ` + path +
			`: permission denied"},"during":"` + during + `","item":"` + path + `"}` + "\n")
	}
	for name, reports := range map[string][]restictest.Step{
		"0.18 scans first":       {report("scan", "/d"), report("archival", "/d"), report("archival", "/f")},
		"0.19 archives first":    {report("archival", "/d"), report("archival", "/f"), report("scan", "/d")},
		"the scanner alone":      {report("scan", "/d"), report("scan", "/f")},
		"one file tried again":   {report("archival", "/f"), report("archival", "/f")},
		"the same and otherwise": {report("scan", "/d"), report("archival", "/d"), report("archival", "/d2")},
	} {
		s := newStage(t, restic.Config{}, backupReply(3, append(reports, out(summary))...))
		if items := s.backup(t.Context()).Items; items.Count != 2 {
			t.Errorf("%s: counted %d", name, items.Count)
		}
	}
}
