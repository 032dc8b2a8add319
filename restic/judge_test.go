package restic

import (
	"testing"
	"time"
)

func TestEveryExitCodeHasATrueOutcome(t *testing.T) {
	known := map[int]Code{
		1: CodeResticFailed, 2: CodeResticCrashed, 10: CodeRepoNotFound, 11: CodeRepoLocked, 12: CodeWrongPassword, 130: CodeResticKilled,
	}
	said := newCollector(newRedactor(""), Handlers{}, time.Now)
	for _, command := range []string{"backup", "snapshots"} {
		var exits map[int]exitClass
		if command == "backup" {
			exits = Backup{}.plan(MinVersion).exits
		}
		for code := range 256 {
			f := facts{command: command, version: MinVersion, exit: exitStatus{code: code}, said: said, exits: exits}
			outcome, failure := f.judge()
			want, ok := known[code]
			if !ok {
				want = CodeResticUnknownExit
			}
			switch {
			case code == 0:
				if outcome != Succeeded || failure != nil {
					t.Errorf("%s 0: got %s %v", command, outcome, failure)
				}
			case code == 3 && command == "backup":
				if outcome != Warning {
					t.Errorf("backup 3: got %s", outcome)
				}
			case outcome != Failed || failure.Code != want:
				t.Errorf("%s %d: got %s %v, want %s", command, code, outcome, failure, want)
			}
			f.stop = stopCancelled
			if outcome, _ := f.judge(); code != 0 && (code != 3 || exits == nil) && outcome != Cancelled {
				t.Errorf("%s %d after our interrupt: got %s", command, code, outcome)
			}
		}
	}
}

func TestEveryFailureHasWordsAndANextStep(t *testing.T) {
	codes := []Code{
		CodeRepoNotFound, CodeRepoExists, CodeRepoLocked, CodeRepoUnreachable, CodeRepoTLS, CodeRepoCredentialsRejected,
		CodeRepoForbidden, CodeRepoDamaged, CodeRepositoryFull, CodeDiskFull, CodeWrongPassword, CodePasswordInvalid,
		CodeSourceMissing, CodeLockNotFound, CodeResticCrashed, CodeResticKilled, CodeResticStuck, CodeResticTimeout,
		CodeResticUnknownExit, CodeResticFailed,
	}
	seen := map[string]Code{}
	for _, code := range codes {
		e := failureOf(code)
		if e.Code != code || e.Message == "" || e.Next == "" {
			t.Errorf("%s: %+v", code, e)
		}
		if other, ok := seen[e.Message]; ok {
			t.Errorf("%s and %s have the same words", code, other)
		}
		seen[e.Message] = code
	}
	for _, s := range signsOf() {
		if e := failureOf(s.code); e.Code != s.code {
			t.Errorf("%q leads to %s", s.phrase, e.Code)
		}
	}
}

func TestOnlyWholeLockMessagesNameAHolder(t *testing.T) {
	if h := parseHolder("repository is already locked by PID 7 on a by b c by root (UID 0, GID 0)"); h == nil || h.Exclusive || h.PID != 7 {
		t.Errorf("got %+v", h)
	}
	for _, text := range []string{"", "repository is already locked", "repository is already locked by PID x on y by z (UID 0, GID 0)"} {
		if h := parseHolder(text); h != nil {
			t.Errorf("%q: got %+v", text, h)
		}
	}
}
