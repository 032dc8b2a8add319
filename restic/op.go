package restic

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Op is one restic process that yields a T. The set of Ops is closed: only this
// package can add one, because an Op is what decides restic's arguments.
type Op[T any] interface {
	// Name is restic's command, for logs: "backup", "cat config".
	Name() string
	// Validate returns what restic would reject or misread, as an [Errors].
	Validate() error

	plan(Version) plan
	decode(*output) (T, error)
}

// plan is what an Op wants of the Runner. Arguments are made from it in one
// place, [arguments].
type plan struct {
	verb         []string          // the command, "cat", "config"
	flags        []string          // constant names, each value as --name=value
	files        []listFile        // lists that go by file
	operands     []string          // after the "--"
	reads        bool              // only reads: takes no lock
	document     bool              // stdout is one JSON document, not lines of messages
	noRepository bool              // needs no location and password
	deadline     time.Duration     // 0: the Runner's for probes; noDeadline: none
	watched      bool              // the watchdog looks at its progress
	missing      func() []string   // sources that are missing, looked at before the start
	exits        map[int]exitClass // exit codes that mean something of their own here
	absent       Code              // what it means here that something does not exist
	named        *NamedSource      // the operands are the command that gives the data
	from         bool              // Access.From is the repository that it reads
	newPassword  bool              // it is handed Access.NewPassword
	folder       *os.File          // an open folder that restic inherits, see targetOf
	fenced       bool              // it may write only there, and where every restic writes

	// item takes a line of stdout, one at a time: what it took is neither kept nor logged.
	// stream reads stdout instead, one JSON document, as it comes; it marks with notTaken
	// what the caller made of its values. An error of either stops restic.
	item   func(line []byte) (took bool, err error)
	stream func(*json.Decoder) error

	// lacks says what a restic left out that ended with 1, a summary and errors about
	// items. Without it that is a failure.
	lacks func(*output) *Error
}

// noDeadline is for what may take days; the watchdog guards it instead.
const noDeadline time.Duration = -1

// longDeadline is for what may work for hours without a word.
const longDeadline = 24 * time.Hour

// listFile is content that reaches restic as a private file.
type listFile struct {
	flag    string // "--files-from-raw"
	content []byte
}

// output is what a restic said, ready to decode.
type output struct {
	document []byte            // stdout of a document op, from its first { or [
	lines    []string          // text on stdout, the first few
	messages []json.RawMessage // JSON messages that are not status, the first few
	summary  json.RawMessage   // the last message of type summary
	items    *ItemList         // error messages about items
	missing  []string          // sources that were missing before the start
	taken    int64             // lines that the op's item took
	whole    bool              // the op's stream came to the end of the document

	found     findings // errors of a check
	again     int      // items of a backup that were stored again, since the repository had lost parts of them
	lostBlobs int      // pieces of data that repair packs could not save
}

// text returns the text lines of stdout, for commands that print ids or prose.
func (o *output) text() string {
	var b []byte
	for _, line := range o.lines {
		b = append(append(b, line...), '\n')
	}
	return string(b)
}

// message returns the first JSON message of a type.
func (o *output) message(kind string) (json.RawMessage, bool) {
	for _, m := range o.messages {
		if messageType(m) == kind {
			return m, true
		}
	}
	return nil, false
}

// noResult is the failure of a restic that ended well but said nothing usable.
func noResult(op, what string) *Error {
	return &Error{
		Code:    CodeResticNoResult,
		Message: fmt.Sprintf("restic %s ended without an error but gave no %s", op, what),
		Next:    "look at the job's log; if it happens again, check the installed restic",
	}
}
