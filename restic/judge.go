package restic

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// exitClass is what an exit code means beyond what it means for every command.
type exitClass int

const (
	exitWarning  exitClass = 1 // done, but not everything
	exitFindings exitClass = 2 // done, and what it found is bad, where it says what
)

// stopReason is why we stopped restic.
type stopReason int

const (
	notStopped stopReason = iota
	stopCancelled
	stopDeadline
	stopStuck
	stopHopeless
	stopRefused // the caller takes no more of the result
)

// facts is everything the outcome is decided from.
type facts struct {
	command string // the op's name
	version Version
	exit    exitStatus
	stop    stopReason
	said    *collector
	exits   map[int]exitClass
	absent  Code // what "does not exist" means for this op
	partial bool // some of its items may fail
}

// judge decides how a run ended, apart from decoding its output: Succeeded and
// Warning stand only when that works too. restic's own codes come first, then
// what we did to it, then its words. A code that is not known is a failure.
func (f facts) judge() (Outcome, *Error) {
	switch {
	case f.said.refused != nil: //guard:restic-refused
		return f.notTaken()
	case f.exit.code == 0:
		return Succeeded, nil
	case f.exits[f.exit.code] == exitWarning:
		return Warning, nil
	case f.stop == stopCancelled:
		return Cancelled, nil
	case f.exits[f.exit.code] == exitFindings && f.stop == notStopped && f.said.output.summary != nil && f.said.output.found.real(): //guard:check-verdict
		return Succeeded, nil
	case f.partial && f.exit.code == 1 && f.stop == notStopped && f.said.output.summary != nil && f.said.items.Count > 0:
		return Warning, nil
	}
	failure := f.failure()
	failure.Detail = f.detail()
	return Failed, failure
}

// notTaken is the end of a restic whose result could not be taken.
func (f facts) notTaken() (Outcome, *Error) {
	if f.stop == stopCancelled {
		return Cancelled, nil
	}
	failure := failureOf(CodeResultNotTaken)
	failure.Err, failure.Detail = f.said.refused, firstLine(f.said.refused.Error())
	return Failed, failure
}

func (f facts) failure() *Error {
	switch {
	case f.stop == stopStuck:
		return failureOf(CodeResticStuck)
	case f.stop == stopDeadline, f.stop == stopHopeless:
		if code := f.said.signs.last; code != "" {
			return failureOf(code)
		}
		return failureOf(CodeResticTimeout)
	case f.exit.signal != "":
		failure := failureOf(CodeResticKilled)
		failure.Message += " (" + f.exit.signal + ")"
		return failure
	}
	switch f.exit.code {
	case 1:
		return f.generalFailure()
	case 2:
		return failureOf(CodeResticCrashed)
	case 10:
		return failureOf(CodeRepoNotFound)
	case 11:
		return lockedFailure(f.said.holder)
	case 12:
		return failureOf(CodeWrongPassword)
	case 130:
		return failureOf(CodeResticKilled)
	}
	failure := failureOf(CodeResticUnknownExit)
	failure.Message = fmt.Sprintf("restic %s ended with code %d, which %s is not known to use", f.command, f.exit.code, f.version)
	return failure
}

// generalFailure is code 1, which restic uses for everything without a code of
// its own: its last message says most, then the text before it.
func (f facts) generalFailure() *Error {
	if f.absent != "" && saysAbsent(f.said.exitMessage) {
		return failureOf(f.absent)
	}
	if failure := f.sourceFailure(); failure != nil {
		return failure
	}
	if code := signOf(f.said.exitMessage); code == CodeRepoForbidden && f.said.signs.twice {
		return failureOf(CodeRepoAnswerLost)
	} else if code != "" {
		return failureOf(code)
	}
	if found := f.said.output.found; f.exits[1] == exitFindings && !found.real() && found.why != "" {
		return failureOf(found.why)
	}
	if code := f.said.signs.last; code != "" {
		return failureOf(code)
	}
	return failureOf(CodeResticFailed)
}

// saysAbsent reports whether a message says that what was asked for does not exist: of a
// repository in a folder it is the system's own words that say it of a snapshot.
func saysAbsent(message string) bool {
	return strings.Contains(message, "does not exist") || strings.Contains(message, "no matching ID found") ||
		strings.Contains(message, "/data/") && strings.Contains(message, "no such file or directory") ||
		strings.Contains(message, "failed to find snapshot") && strings.Contains(message, "no such file or directory")
}

var leadingWords = regexp.MustCompile(`^(?:(?:Fatal|Warning|error): )+`)

// detail is restic's own first line.
func (f facts) detail() string {
	if line := firstLine(f.said.exitMessage); line != "" && !strings.Contains(line, "context canceled") {
		return leadingWords.ReplaceAllString(line, "")
	}
	if f.said.signs.line != "" {
		return f.said.signs.line
	}
	return f.said.firstText
}

// sign is a phrase of restic, or of what it is linked with, and what it means.
type sign struct {
	phrase string
	code   Code
}

// signsOf lists the phrases, the more telling first.
func signsOf() []sign {
	return []sign{
		{"unexpected HTTP response (401)", CodeRepoCredentialsRejected},
		{"unexpected HTTP response (403)", CodeRepoForbidden},
		{"unexpected HTTP response (507)", CodeRepositoryFull},
		{"unexpected HTTP response (413)", CodeRepoUploadRefused},
		{"unexpected HTTP response (502)", CodeRepoUnreachable},
		{"unexpected HTTP response (503)", CodeRepoUnreachable},
		{"unexpected HTTP response (504)", CodeRepoUnreachable},
		{"Proxy Authentication Required", CodeRepoUnreachable},
		{"x509: ", CodeRepoTLS},
		{"tls: ", CodeRepoTLS},
		{"server gave HTTP response to HTTPS client", CodeRepoTLS},
		{"wrong password or no key found", CodeWrongPassword},
		{"an empty password is not allowed", CodePasswordInvalid},
		{"config file already exists", CodeRepoExists},
		{"already initialized", CodeRepoExists},
		{"repository already contains keys", CodeRepoHalfMade},
		{"repository is already locked", CodeRepoLocked},
		{"source directories/files do not exist", CodeSourceMissing},
		{"target directories/files do not exist", CodeSourceMissing},
		{"ciphertext verification failed", CodeRepoDamaged},
		{"config or key ", CodeRepoDamaged},
		{"repository could be damaged", CodeRepoDamaged},
		{"no space left on device", CodeDiskFull},
		{"disk quota exceeded", CodeDiskFull},
		{"not enough space on the disk", CodeDiskFull},
		{"connection refused", CodeRepoUnreachable},
		{"actively refused it", CodeRepoUnreachable},
		{"no such host", CodeRepoUnreachable},
		{"server misbehaving", CodeRepoUnreachable},
		{"network is unreachable", CodeRepoUnreachable},
		{"no route to host", CodeRepoUnreachable},
		{"i/o timeout", CodeRepoUnreachable},
		{"request timeout", CodeRepoUnreachable},
		{"connection reset by peer", CodeRepoUnreachable},
		{"context deadline exceeded", CodeRepoUnreachable},
		{"permission denied", CodeRepoForbidden},
	}
}

// signOf returns what a text says, or "".
func signOf(text string) Code {
	for _, s := range signsOf() {
		if strings.Contains(text, s.phrase) {
			return s.code
		}
	}
	return ""
}

// signs is the last telling line of text on stderr: the last, because restic
// writes of every attempt and the reason may change in between.
type signs struct {
	last          Code
	line          string
	retrying      bool
	hopelessSince time.Time // when the first of an unbroken row of vain attempts was reported

	again map[string]bool // files that were sent again, since nobody answered
	twice bool            // the storage refused one of them, as it does a file that it has
}

// mostAgain is how many files are remembered that were sent again.
const mostAgain = 10_000

var (
	sentAgain   = regexp.MustCompile(`^Save\(<([^>]+)>\) returned error, retrying after `)
	refusedOnce = regexp.MustCompile(`^Save\(<([^>]+)>\) failed: unexpected HTTP response \(403\)`)
)

// lookTwice notes a file that the storage took and then refused to take again. A refusal
// of the first attempt ends restic's attempts, so it is none that the first one met.
func (s *signs) lookTwice(text string) {
	if m := sentAgain.FindStringSubmatch(text); m != nil && len(s.again) < mostAgain {
		if s.again == nil {
			s.again = map[string]bool{}
		}
		s.again[m[1]] = true
	}
	if m := refusedOnce.FindStringSubmatch(text); m != nil && s.again[m[1]] {
		s.twice = true
	}
}

// forward notes that what was tried in vain is behind restic.
func (s *signs) forward() { s.hopelessSince, s.retrying = time.Time{}, false }

func (s *signs) look(text string, redact redactor, now time.Time) {
	switch {
	case strings.Contains(text, " operation successful after "):
		s.forward()
	case strings.Contains(text, " returned error, retrying after "):
		s.retrying = true
	}
	s.lookTwice(text)
	code := signOf(text)
	if code == "" {
		return
	}
	s.last, s.line = code, redact.text(firstLine(text))
	switch {
	case !isHopeless(code):
		s.hopelessSince = time.Time{}
	case s.hopelessSince.IsZero():
		s.hopelessSince = now
	}
}

// isHopeless reports whether trying again does not mend it.
func isHopeless(code Code) bool {
	switch code {
	case CodeRepositoryFull, CodeRepoTLS, CodeRepoCredentialsRejected, CodeRepoForbidden, CodeRepoUploadRefused, CodeDiskFull:
		return true
	default:
		return false
	}
}

var holderPattern = regexp.MustCompile(`repository is already locked( exclusively)? by PID (\d+) on (.+?) by (.*?) \(UID \d+, GID \d+\)`)

var (
	holderCreated = regexp.MustCompile(`(?m)^lock was created at (.+)$`)
	holderStorage = regexp.MustCompile(`(?m)^storage ID ([0-9a-f]+)`)
)

// parseHolder finds the lock's owner in restic's message, or returns nil.
func parseHolder(message string) *LockHolder {
	m := holderPattern.FindStringSubmatch(message)
	if m == nil {
		return nil
	}
	holder := &LockHolder{Exclusive: m[1] != "", Host: cleanText([]byte(m[3])), User: cleanText([]byte(m[4]))}
	holder.PID, _ = strconv.Atoi(m[2])
	if m := holderCreated.FindStringSubmatch(message); m != nil {
		holder.Created = cleanText([]byte(roundAge(m[1])))
	}
	if m := holderStorage.FindStringSubmatch(message); m != nil {
		holder.StorageID = m[1]
	}
	return holder
}

// roundAge writes the age at the end of "2026-11-21 17:40:00 (37.582931812s ago)" to a
// tenth of a second.
func roundAge(created string) string {
	at, rest, _ := strings.Cut(created, " (")
	age, err := time.ParseDuration(strings.TrimSuffix(rest, " ago)"))
	if err != nil {
		return created
	}
	return at + " (" + age.Round(time.Second/10).String() + " ago)"
}

func lockedFailure(holder *LockHolder) *Error {
	failure := failureOf(CodeRepoLocked)
	if holder != nil {
		failure.Message = fmt.Sprintf("the repository is locked by process %d on %s", holder.PID, holder.Host)
	}
	return failure
}
