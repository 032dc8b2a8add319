package restic

import (
	"errors"
	"strings"
)

// Code names a kind of refusal or failure. Codes are stable: they are stored,
// shown and branched on.
type Code string

// Codes of a refused request.
const (
	CodeUnknownOperation    Code = "unknown_operation"
	CodeUnknownField        Code = "unknown_field"
	CodeFieldRequired       Code = "field_required"
	CodeFieldInvalid        Code = "field_invalid"
	CodeParamsInvalid       Code = "params_invalid" // not a JSON object, or a name twice
	CodeRepoLocationInvalid Code = "repo_location_invalid"
	CodePasswordInvalid     Code = "password_invalid"
	CodeSourceInvalid       Code = "source_invalid"
	CodeExcludeInvalid      Code = "exclude_invalid"
	CodeTagInvalid          Code = "tag_invalid"
	CodeCopyCredentials     Code = "copy_credentials"
)

// Codes of a restic that was not started.
const (
	CodeResticMissing        Code = "restic_missing"
	CodeResticBinaryInsecure Code = "restic_binary_insecure"
	CodeResticTooOld         Code = "restic_too_old"
	CodeResticNotStarted     Code = "restic_not_started"
	CodeRunAsRefused         Code = "run_as_refused" // it is to run as a user that the agent cannot become
)

// Codes of a restic that ran and failed.
const (
	CodeRepoNotFound            Code = "repo_not_found"
	CodeRepoExists              Code = "repo_exists"
	CodeRepoHalfMade            Code = "repo_half_made" // keys, and no repository
	CodeRepoLocked              Code = "repo_locked"
	CodeRepoUnreachable         Code = "repo_unreachable"
	CodeRepoTLS                 Code = "repo_tls"
	CodeRepoCredentialsRejected Code = "repo_credentials_rejected"
	CodeRepoForbidden           Code = "repo_forbidden"
	CodeRepoUploadRefused       Code = "repo_upload_refused" // too large for what is on the way
	CodeRepoAnswerLost          Code = "repo_answer_lost"    // it has a file, and restic did not learn it
	CodeRepoDamaged             Code = "repo_damaged"
	CodeRepositoryFull          Code = "repository_full"
	CodeDiskFull                Code = "disk_full"
	CodeWrongPassword           Code = "wrong_password"
	CodeSourceMissing           Code = "source_missing"
	CodeSourceUnreadable        Code = "source_unreadable"
	CodeStoredAgain             Code = "stored_again"  // what the repository had lost
	CodeSourceFailed            Code = "source_failed" // a named source's script
	CodeSourceEmpty             Code = "source_empty"  // likewise: it wrote nothing
	CodeSnapshotNotFound        Code = "snapshot_not_found"
	CodeLockNotFound            Code = "lock_not_found"
	CodePathNotFound            Code = "path_not_found"   // in the snapshot
	CodeResultNotTaken          Code = "result_not_taken" // what restic listed could not be kept
	CodeKeyNotFound             Code = "key_not_found"
	CodePackNotFound            Code = "pack_not_found"
	CodeNothingRestored         Code = "nothing_restored"
	CodeRestoreIncomplete       Code = "restore_incomplete"
	CodeResticFailed            Code = "restic_failed"
	CodeResticCrashed           Code = "restic_crashed"
	CodeResticKilled            Code = "restic_killed"
	CodeResticStuck             Code = "restic_stuck"
	CodeResticTimeout           Code = "restic_timeout"
	CodeResticNoResult          Code = "restic_no_result"
	CodeResticUnknownExit       Code = "restic_unknown_exit"
)

// Error is a refusal or failure that a person is meant to read. No part of it
// contains a secret or an unchecked value from outside; Detail, restic's own
// first line, is redacted.
type Error struct {
	Code    Code
	Field   string // the field of a request it is about, if any
	Message string // what is wrong, in plain words
	Next    string // what to do about it
	Detail  string // restic's own words, one line, may be empty
	Err     error  // the cause, for the log
}

// Error returns the code, the field and the message.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors is every mistake found in one request, in the order of its fields.
type Errors []*Error

// Error joins the messages.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets errors.Is and errors.As see each mistake.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// orNil returns nil, not an empty list, where nothing is wrong.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// CodeOf returns the code of the first Error in err's tree, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
