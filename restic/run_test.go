//go:build !windows

package restic_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

const (
	snapshotID = "198a377b9b29c3e9318b554a98d602afeb1800c2e8c52a8538823af2ac9e9d5a"
	summary    = `{"message_type":"summary","files_new":1,"data_added":2109,"total_files_processed":1,` +
		`"backup_start":"2026-11-21T20:10:12.39Z","snapshot_id":"` + snapshotID + `"}` + "\n"
)

// stage is a Runner on a Fake, with what its handlers were called with.
type stage struct {
	t      *testing.T
	fake   *restictest.Fake
	runner *restic.Runner
	access restic.Access
	temp   string

	mu       sync.Mutex
	lines    []string
	progress []restic.Progress
	refs     []restic.ProcessRef
}

func newStage(t *testing.T, config restic.Config, replies ...restictest.Reply) *stage {
	t.Helper()
	location, err := restic.ParseLocation("rest:https://nas.test:8000/host1/repo/")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, fake: restictest.NewFake(t, restictest.Script{Replies: replies}), temp: t.TempDir()}
	config.Binary, config.CacheDir, config.TempDir = s.fake.Path(), filepath.Join(s.temp, "cache"), filepath.Join(s.temp, "run")
	s.runner = restic.New(config)
	s.access = restic.Access{
		Location: location, Password: restic.NewSecret("hunter2-äß"),
		Username: "host1", RESTPassword: restic.NewSecret(`rest<&"secret`), KeyHint: "39a5cee212ec2cab",
	}
	return s
}

func (s *stage) handlers() restic.Handlers {
	return restic.Handlers{
		Started: func(ref restic.ProcessRef) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refs = append(s.refs, ref)
			return nil
		},
		Line: func(l restic.Line) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lines = append(s.lines, string(l.Stream)+": "+l.Text)
		},
		Progress: func(p restic.Progress) { s.mu.Lock(); defer s.mu.Unlock(); s.progress = append(s.progress, p) },
	}
}

func (s *stage) source() string {
	s.t.Helper()
	path := filepath.Join(s.temp, "source")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *stage) backup(ctx context.Context) restic.Result[restic.BackupSummary] {
	s.t.Helper()
	result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, s.handlers())
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func code[T any](result restic.Result[T]) restic.Code {
	if result.Failure == nil {
		return ""
	}
	return result.Failure.Code
}

func out(text string) restictest.Step  { return restictest.Step{Out: text} }
func errs(text string) restictest.Step { return restictest.Step{Err: text} }

func backupReply(exit int, steps ...restictest.Step) restictest.Reply {
	return restictest.Reply{Command: "backup", Exit: exit, Steps: steps}
}

func TestABackupIsStartedWithAnArgumentListFromTheTable(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0, out(summary)))
	s.access.RetryLock = 90 * time.Second
	source := s.source()
	op := restic.Backup{
		Sources:    []string{source, "/--password-command=x", "/a\nb", "/c\xff"},
		Excludes:   []string{"*.o", "#x", "$HOME/a"},
		Host:       "web-1.example",
		Tags:       []string{"daily"},
		ScheduleID: "0193a5c0-0000-7000-8000-000000000001",
		JobID:      "0193a5c0-0000-7000-8000-000000000002",
	}
	if _, err := restic.Run(t.Context(), s.runner, op, s.access, s.handlers()); err != nil {
		t.Fatal(err)
	}
	call := s.fake.Calls()[0]
	dir := regexpDir(call.Args)
	want := []string{
		"--json", "--retry-lock=1m30s", "--stuck-request-timeout=5m0s", "backup", "--host=web-1.example",
		"--tag=rm:schedule:0193a5c0-0000-7000-8000-000000000001", "--tag=rm:job:0193a5c0-0000-7000-8000-000000000002",
		"--tag=daily", "--files-from-raw=" + dir + "/list-0", "--exclude-file=" + dir + "/list-1",
	}
	if diff := cmp.Diff(want, call.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if got, want := string(call.Files["--files-from-raw"]), source+"\x00/--password-command=x\x00/a\nb\x00/c\xff\x00"; got != want {
		t.Errorf("source list: got %q, want %q", got, want)
	}
	if got, want := string(call.Files["--exclude-file"]), "# patterns of the schedule\n*.o\n[#]x\n$$HOME/a\n"; got != want {
		t.Errorf("exclude list: got %q, want %q", got, want)
	}
	for option, mode := range call.Modes {
		if mode != "-rw-------" {
			t.Errorf("%s has mode %s", option, mode)
		}
	}
	if call.Stdin != 0 {
		t.Error("standard input is not empty")
	}
	if left, _ := filepath.Glob(filepath.Join(s.temp, "run", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func regexpDir(args []string) string {
	for _, arg := range args {
		if path, ok := strings.CutPrefix(arg, "--files-from-raw="); ok {
			return filepath.Dir(path)
		}
	}
	return ""
}

func TestEveryReadingOpRunsWithoutLock(t *testing.T) {
	s := newStage(t, restic.Config{})
	ops := map[string]func() error{
		"--json --no-lock --stuck-request-timeout=5m0s cat -- config": func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, s.access, restic.Handlers{})
			return err
		},
		"--json --no-lock --stuck-request-timeout=5m0s key list": func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.ListKeys{}, s.access, restic.Handlers{})
			return err
		},
		"--json --no-lock --stuck-request-timeout=5m0s list -- locks": func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.ListLocks{}, s.access, restic.Handlers{})
			return err
		},
		"--json --no-lock --stuck-request-timeout=5m0s cat -- lock " + snapshotID: func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.CatLock{ID: snapshotID}, s.access, restic.Handlers{})
			return err
		},
		"--json --no-lock --stuck-request-timeout=5m0s snapshots -- " + snapshotID: func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.Snapshots{ID: snapshotID}, s.access, restic.Handlers{})
			return err
		},
		"--json --no-lock --stuck-request-timeout=5m0s snapshots --tag=a,rm:job:b --host=h": func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.Snapshots{Tags: []string{"a", "rm:job:b"}, Host: "h"}, s.access, restic.Handlers{})
			return err
		},
		"--json --stuck-request-timeout=5m0s init": func() error {
			_, err := restic.Run(t.Context(), s.runner, restic.Init{}, s.access, restic.Handlers{})
			return err
		},
	}
	for want, run := range ops {
		before := len(s.fake.Calls())
		if err := run(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.fake.Calls()[before].Args, " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestTheEnvironmentStartsEmptyAndNoSecretIsAnArgument(t *testing.T) {
	for _, name := range []string{"RESTIC_PASSWORD_COMMAND", "RESTIC_REPOSITORY_FILE", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD_CANARY", "http_proxy"} {
		t.Setenv(name, "inherited")
	}
	s := newStage(t, restic.Config{
		HTTPSProxy: restic.NewSecret("http://p:proxysecret@proxy.test:3128"), NoProxy: "localhost", CACertFile: "/etc/ca.pem",
	}, backupReply(0, out(summary)))
	s.backup(t.Context())
	call := s.fake.Calls()[0]
	dir := regexpDir(call.Args)
	want := []string{
		"HOME=" + filepath.Join(s.temp, "cache"), "RESTIC_CACHE_DIR=" + filepath.Join(s.temp, "cache"), "RESTIC_PROGRESS_FPS=2",
		"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + dir,
		"HTTPS_PROXY=http://p:proxysecret@proxy.test:3128", "NO_PROXY=localhost", "RESTIC_CACERT=/etc/ca.pem",
		"RESTIC_REPOSITORY=rest:https://nas.test:8000/host1/repo/", "RESTIC_KEY_HINT=39a5cee212ec2cab",
		"RESTIC_PASSWORD_FILE=/dev/fd/3", "RESTIC_REST_USERNAME=host1", `RESTIC_REST_PASSWORD=rest<&"secret`,
	}
	if runtime.GOOS != "windows" {
		if diff := cmp.Diff(want, call.Env); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
	}
	if string(call.Password) != "hunter2-äß" {
		t.Errorf("the password arrived as %q", call.Password)
	}
	all := strings.Join(call.Args, " ")
	for _, secret := range []string{"hunter2", "rest<&", "proxysecret"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in the arguments", secret)
		}
	}
	if strings.Contains(strings.Join(call.Env, "\n"), "hunter2") && runtime.GOOS != "windows" {
		t.Error("the repository's password is in the environment")
	}
}

func TestPasswordsArriveUnchanged(t *testing.T) {
	for _, password := range []string{" a", "a\n", "\xef\xbb\xbfbom", "\xfe\xffx", "ü 1\nb", "$HOME `id`", strings.Repeat("x", 70_000)} {
		s := newStage(t, restic.Config{}, restictest.Reply{Command: "cat config"})
		s.access.Password = restic.NewSecret(password)
		if _, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, s.access, restic.Handlers{}); err != nil {
			t.Fatal(err)
		}
		if got := string(s.fake.Calls()[0].Password); got != password {
			t.Errorf("got %.20q, want %.20q", got, password)
		}
	}
}

func TestNothingIsDoneBeforeTheProcessIsRecorded(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0, out(summary)))
	refused := errors.New("disk full")
	h := s.handlers()
	h.Started = func(restic.ProcessRef) error { return refused }
	_, err := restic.Run(t.Context(), s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
	if !errors.Is(err, refused) {
		t.Fatalf("got %v, want the handler's error", err)
	}
	if calls := s.fake.Calls(); len(calls) > 0 {
		t.Errorf("restic got its password: %d calls", len(calls))
	}

	h.Started = func(ref restic.ProcessRef) error {
		if ref.PID == 0 || ref.Start == 0 {
			t.Errorf("incomplete reference %+v", ref)
		}
		if calls := s.fake.Calls(); len(calls) > 0 {
			t.Error("restic went on before Started returned")
		}
		return nil
	}
	if _, err := restic.Run(t.Context(), s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h); err != nil {
		t.Fatal(err)
	}
}

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
		{"507", backupReply(1, errs("Save(<data/1>) failed: unexpected HTTP response (507): 507 Insufficient Storage\n"), exitError(1, "Fatal: unable to save snapshot")), restic.Failed, restic.CodeRepositoryFull},
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

func TestCancellingInterruptsOnceAndWaits(t *testing.T) {
	steps := []restictest.Step{
		out(`{"message_type":"status","files_done":1}` + "\n"),
		{Await: true},
		errs("\x1b[2Ksignal interrupt received, cleaning up\n"),
	}
	for _, exit := range []int{1, 130} {
		s := newStage(t, restic.Config{Grace: time.Minute}, backupReply(exit, steps...))
		ctx, cancel := context.WithCancel(t.Context())
		h := s.handlers()
		h.Progress = func(restic.Progress) { cancel() }
		result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != restic.Cancelled || result.Killed || result.ExitCode != exit {
			t.Errorf("got %+v", result)
		}
		if diff := cmp.Diff([]string{"stderr: signal interrupt received, cleaning up"}, s.lines); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWorkThatWasFinishedCountsDespiteTheCancel(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0,
		out(`{"message_type":"status","files_done":1}`+"\n"), restictest.Step{Await: true}, out(summary)))
	ctx, cancel := context.WithCancel(t.Context())
	h := s.handlers()
	h.Progress = func(restic.Progress) { cancel() }
	result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
	if err != nil || result.Outcome != restic.Succeeded {
		t.Errorf("got %s %v %v", result.Outcome, result.Failure, err)
	}
}

func TestAResticThatDoesNotStopIsKilledWithItsChildren(t *testing.T) {
	s := newStage(t, restic.Config{Grace: 50 * time.Millisecond}, backupReply(0,
		restictest.Step{Ignore: true, Spawn: true},
		out(`{"message_type":"status","files_done":1}`+"\n"), restictest.Step{Forever: true}))
	ctx, cancel := context.WithCancel(t.Context())
	h := s.handlers()
	h.Progress = func(restic.Progress) { cancel() }
	result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
	if err != nil {
		t.Fatal(err)
	}
	if result.Outcome != restic.Cancelled || !result.Killed || result.ExitCode != -1 {
		t.Errorf("got %+v", result)
	}
	call := s.fake.Calls()[0]
	if call.Group != call.PID {
		t.Errorf("process %d is in group %d, not its own", call.PID, call.Group)
	}
	waitGone(t, call.Spawned)
}

func TestAChildLeftBehindDoesNotOutliveAGoodRun(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0, restictest.Step{Spawn: true}, out(summary)))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("got %s %v", result.Outcome, result.Failure)
	}
	waitGone(t, s.fake.Calls()[0].Spawned)
}

func TestAProbeHasADeadline(t *testing.T) {
	s := newStage(t, restic.Config{ProbeDeadline: 100 * time.Millisecond, Grace: time.Minute},
		restictest.Reply{Command: "cat config", Steps: []restictest.Step{{Forever: true}}},
		restictest.Reply{Command: "cat config", Steps: []restictest.Step{
			errs("Stat(<config/>) returned error, retrying after 1.2s: dial tcp 127.0.0.1:1: connect: connection refused\n"), {Forever: true},
		}})
	for _, want := range []restic.Code{restic.CodeResticTimeout, restic.CodeRepoUnreachable} {
		result, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, s.access, s.handlers())
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != restic.Failed || code(result) != want {
			t.Errorf("got %s %v, want %s", result.Outcome, result.Failure, want)
		}
	}
}

func TestABackupWithoutProgressIsStopped(t *testing.T) {
	var steps []restictest.Step
	for range 20 { // the clock moves, the counters do not
		steps = append(steps, restictest.Step{Out: `{"message_type":"status","files_done":1,"seconds_elapsed":1}` + "\n", Pause: 20 * time.Millisecond})
	}
	s := newStage(t, restic.Config{StuckAfter: 150 * time.Millisecond, Grace: time.Minute}, backupReply(0, append(steps, restictest.Step{Forever: true})...))
	result := s.backup(t.Context())
	if result.Outcome != restic.Failed || code(result) != restic.CodeResticStuck {
		t.Errorf("got %s %v", result.Outcome, result.Failure)
	}

	steps = nil
	for n := range 20 {
		steps = append(steps, restictest.Step{Out: fmt.Sprintf(`{"message_type":"status","bytes_done":%d}`+"\n", n+1), Pause: 40 * time.Millisecond})
	}
	s = newStage(t, restic.Config{StuckAfter: 400 * time.Millisecond}, backupReply(0, append(steps, out(summary))...))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("a backup that moves was stopped: %s %v", result.Outcome, result.Failure)
	}
}

func TestTryingInVainIsStopped(t *testing.T) {
	full := "Save(<lock/200022da70>) returned error, retrying after 827ms: unexpected HTTP response (507): 507 Insufficient Storage\n"
	away := "Save(<lock/200022da70>) returned error, retrying after 827ms: dial tcp 127.0.0.1:1: connect: connection refused\n"
	config := restic.Config{HopelessAfter: 200 * time.Millisecond, Grace: time.Minute}

	s := newStage(t, config, backupReply(0, errs(full), restictest.Step{Forever: true}))
	if result := s.backup(t.Context()); result.Outcome != restic.Failed || code(result) != restic.CodeRepositoryFull {
		t.Errorf("a full storage: got %s %v", result.Outcome, result.Failure)
	}
	pause := restictest.Step{Pause: 400 * time.Millisecond}
	s = newStage(t, config, backupReply(0, errs(full), errs(away), pause, out(summary)))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("a storage that was away: got %s %v", result.Outcome, result.Failure)
	}
	s = newStage(t, config, backupReply(0, errs(full), errs("Save(<lock/200022da70>) operation successful after 1 retries\n"), pause, out(summary)))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("a storage that had room again: got %s %v", result.Outcome, result.Failure)
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

func TestTheVersionIsAskedOnceAndAgainForANewFile(t *testing.T) {
	s := newStage(t, restic.Config{})
	for range 2 {
		if v, err := s.runner.Version(t.Context()); err != nil || v.String() != "0.18.0" {
			t.Fatalf("got %s %v", v, err)
		}
	}
	s.fake.SetScript(restictest.Script{Version: "0.14.0"})
	if _, err := s.runner.Version(t.Context()); err != nil {
		t.Fatal("the version of an unchanged file was asked again")
	}
	if err := os.Chtimes(s.fake.Path(), time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, err := s.runner.Version(t.Context())
	var e *restic.Error
	if !errors.As(err, &e) || e.Code != restic.CodeResticTooOld || e.Message != "0.14.0 < 0.18.0" || e.Next == "" {
		t.Errorf("got %v", err)
	}
	if _, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, s.access, restic.Handlers{}); restic.CodeOf(err) != restic.CodeResticTooOld {
		t.Errorf("got %v", err)
	}
	if calls := s.fake.Calls(); len(calls) > 0 {
		t.Errorf("an old restic was run on the repository: %v", calls[0].Args)
	}
}

func TestInvalidAccessIsRefusedBeforeAnythingStarts(t *testing.T) {
	s := newStage(t, restic.Config{})
	for name, change := range map[string]func(*restic.Access){
		"no location":                  func(a *restic.Access) { a.Location = restic.Location{} },
		"no password":                  func(a *restic.Access) { a.Password = restic.Secret{} },
		"a NUL in the password":        func(a *restic.Access) { a.Password = restic.NewSecret("a\x00b") },
		"a line break in the user":     func(a *restic.Access) { a.Username = "a\r\nX: y" },
		"a colon in the user":          func(a *restic.Access) { a.Username = "a:b" },
		"a line break in its password": func(a *restic.Access) { a.RESTPassword = restic.NewSecret("a\nb") },
		"a key hint that is none":      func(a *restic.Access) { a.KeyHint = "--help" },
		"a negative wait":              func(a *restic.Access) { a.RetryLock = -1 },
	} {
		access := s.access
		change(&access)
		if _, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, access, restic.Handlers{}); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if calls := s.fake.Calls(); len(calls) > 0 {
		t.Errorf("restic was run: %v", calls[0].Args)
	}
}

func TestLeftoversAreRemovedAtStart(t *testing.T) {
	s := newStage(t, restic.Config{})
	left := filepath.Join(s.temp, "run", "restic-run-1")
	other := filepath.Join(s.temp, "run", "other")
	for _, dir := range []string{left, other} {
		if err := os.MkdirAll(filepath.Join(dir, "below"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.runner.RemoveLeftovers(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Error("the folder of a run is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("something else was removed")
	}
}
