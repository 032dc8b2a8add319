//go:build !windows

package restic_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

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
		"RESTIC_KEY_HINT=39a5cee212ec2cab", "RESTIC_PASSWORD_FILE=/dev/fd/3",
		"RESTIC_REPOSITORY=rest:https://nas.test:8000/host1/repo/", "RESTIC_REST_USERNAME=host1", `RESTIC_REST_PASSWORD=rest<&"secret`,
	}
	if diff := cmp.Diff(want, call.Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
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
	if strings.Contains(strings.Join(call.Env, "\n"), "hunter2") {
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
