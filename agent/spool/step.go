package spool

import "fmt"

// The writes that the disk is made to remember, each by one commit and one fsync.
const (
	stepJournal   = "journal"   // commands taken
	stepOpen      = "open"      // a job that the agent bears
	stepWait      = "wait"      // a job waits
	stepStart     = "start"     // an attempt begins; restic may start after it
	stepAttach    = "attach"    // the process that works for a job
	stepStop      = "stop"      // a job is told to end
	stepCancel    = "cancel"    // a job is to be cancelled
	stepNote      = "note"      // an event that changes no phase
	stepFinish    = "finish"    // a result, with the rest of the log
	stepLog       = "log"       // log lines, at most once a second
	stepBatch     = "batch"     // log lines that are about to be reported
	stepApplied   = "applied"   // what the server has is dropped
	stepReject    = "reject"    // a record set aside
	stepReconcile = "reconcile" // what a session's opening said
	stepBudget    = "budget"    // log dropped for room
	stepValue     = "value"     // a small value
	stepConfig    = "config"    // the configuration file
)

// Steps lists the names that Options.Step is called with: each write's name
// followed by ":before" and ":after".
func Steps() []string {
	var names []string
	for _, write := range []string{
		stepJournal, stepOpen, stepWait, stepStart, stepAttach, stepStop, stepCancel, stepNote,
		stepFinish, stepLog, stepBatch, stepApplied, stepReject, stepReconcile, stepBudget, stepValue, stepConfig,
	} {
		names = append(names, write+":before", write+":after")
	}
	return names
}

// afterError is a Step's error that came when the write already held.
type afterError struct{ err error }

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// stepped does write between its two steps.
func (s *Spool) stepped(name string, write func() error) error {
	if s.step == nil {
		return write()
	}
	if err := s.step(name + ":before"); err != nil {
		return fmt.Errorf("step %s:before: %w", name, err)
	}
	if err := write(); err != nil {
		return err
	}
	if err := s.step(name + ":after"); err != nil {
		return &afterError{fmt.Errorf("step %s:after: %w", name, err)}
	}
	return nil
}
