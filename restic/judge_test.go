package restic

import (
	"fmt"
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
		CodeRepoForbidden, CodeRepoUploadRefused, CodeRepoAnswerLost, CodeRepoDamaged, CodeRepositoryFull, CodeDiskFull, CodeWrongPassword, CodePasswordInvalid,
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
	for age, want := range map[string]string{"37.582931812s": "37.6s", "1h2m3.04s": "1h2m3s", "long": "long"} {
		h := parseHolder("repository is already locked by PID 7 on a by b (UID 0, GID 0)\nlock was created at 2026-11-21 17:40:00 (" + age + " ago)\n")
		if h == nil || h.Created != "2026-11-21 17:40:00 ("+want+" ago)" {
			t.Errorf("%s: got %+v", age, h)
		}
	}
	for _, text := range []string{"", "repository is already locked", "repository is already locked by PID x on y by z (UID 0, GID 0)"} {
		if h := parseHolder(text); h != nil {
			t.Errorf("%q: got %+v", text, h)
		}
	}
}

// TestDataThatCouldNotBeReadIsNoDamage has what check says of a storage that went away, and
// of an interrupt: an error, in the same summary as of damage.
func TestDataThatCouldNotBeReadIsNoDamage(t *testing.T) {
	for _, structure := range []bool{false, true} {
		op := Check{ReadData: !structure}
		for _, test := range []struct {
			name, said string
			stop       stopReason
			outcome    Outcome
			code       Code
		}{
			{"a storage that is away", "Load(<data/1234>) failed: dial tcp 127.0.0.1:1: connect: connection refused", notStopped, Failed, CodeRepoUnreachable},
			{"our own interrupt", "context canceled", stopCancelled, Cancelled, ""},
			{"damage", "pack 1234 contains 1 errors: blob 5678: invalid data", notStopped, Succeeded, ""},
		} {
			c := newCollector(newRedactor(""), Handlers{}, time.Now)
			c.line(Stderr, []byte(`{"message_type":"error","message":"`+test.said+`"}`), 0)
			c.line(Stdout, []byte(`{"message_type":"summary","num_errors":1,"broken_packs":null}`), 0)
			f := facts{command: op.Name(), version: MinVersion, exit: exitStatus{code: 1}, stop: test.stop, said: c, exits: op.plan(MinVersion).exits}
			outcome, failure := f.judge()
			var got Code
			if failure != nil {
				got = failure.Code
			}
			if outcome != test.outcome || got != test.code {
				t.Errorf("%s, %s: got %s %q, want %s %q", op.Name(), test.name, outcome, got, test.outcome, test.code)
			}
			if found, err := op.decode(&c.output); err != nil || found.Good() {
				t.Errorf("%s, %s: what it found is %+v, %v", op.Name(), test.name, found, err)
			}
		}
	}
}

// TestDamageBetweenOtherErrorsIsSeen has one error of a check that is damage among more of
// the network's than are kept, before it and after it.
func TestDamageBetweenOtherErrorsIsSeen(t *testing.T) {
	op := Check{ReadData: true}
	c := newCollector(newRedactor(""), Handlers{}, time.Now)
	say := func(text string) { c.line(Stderr, []byte(`{"message_type":"error","message":"`+text+`"}`), 0) }
	away := func(n int) {
		for i := range n {
			say(fmt.Sprintf("Load(<data/%d>) failed: dial tcp 127.0.0.1:1: connect: connection refused", i))
		}
	}
	const damage = "pack 1234 contains 1 errors: blob 5678: invalid data"
	away(300)
	say(damage)
	away(300)
	c.line(Stdout, []byte(`{"message_type":"summary","num_errors":601,"broken_packs":null}`), 0)
	f := facts{command: op.Name(), version: MinVersion, exit: exitStatus{code: 1}, said: c, exits: op.plan(MinVersion).exits}
	if outcome, failure := f.judge(); outcome != Succeeded {
		t.Errorf("the check could look, and is %s, %v", outcome, failure)
	}
	report, err := op.decode(&c.output)
	if err != nil || report.Good() || len(report.Errors) != 251 || report.Errors[0] != damage {
		t.Errorf("it found %d errors, of which it names %d, %q first; %v", report.NumErrors, len(report.Errors), report.Errors[0], err)
	}
}
