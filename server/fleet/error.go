package fleet

import (
	"errors"
	"fmt"
)

// Code names a kind of failure. Codes are part of the contract: clients branch
// on them, so one is never renamed or given another meaning.
type Code string

// The codes that the server answers with. Each has one HTTP status, see
// server/api/errors.go.
const (
	Invalid             Code = "invalid_request"
	InvalidField        Code = "invalid_field"
	UnknownField        Code = "unknown_field"
	UnknownOperation    Code = "unknown_operation"
	InvalidPageToken    Code = "invalid_page_token"
	LocationInvalid     Code = "repo_location_invalid"
	SignInRequired      Code = "sign_in_required"
	SignInEnded         Code = "sign_in_ended"
	InvalidCredentials  Code = "invalid_credentials"
	SetupCodeInvalid    Code = "setup_code_invalid"
	SetupDone           Code = "setup_done"
	RoleMissing         Code = "role_missing"
	ReauthRequired      Code = "reauth_required"
	CrossOrigin         Code = "cross_origin_request"
	NotFound            Code = "not_found"
	NameTaken           Code = "name_taken"
	VersionConflict     Code = "version_conflict"
	PickASchedule       Code = "pick_a_schedule"
	ScheduleDisabled    Code = "schedule_disabled"
	JobFinished         Code = "job_finished"
	HostBusy            Code = "host_busy"
	HostDisabled        Code = "host_disabled"
	HostNotEnrolled     Code = "host_not_enrolled"
	RepositoryInUse     Code = "repository_in_use"
	RepositoryNotReady  Code = "repository_not_ready"
	NoMaintenanceHost   Code = "no_maintenance_host"
	NoHostOnline        Code = "no_host_online"
	OperationElsewhere  Code = "operation_elsewhere"
	ConfirmationNeeded  Code = "confirmation_required"
	SnapshotNotIndexed  Code = "snapshot_not_indexed"
	KeyNotProven        Code = "key_not_proven"
	LastAdmin           Code = "last_admin"
	AlertIsResolved     Code = "alert_resolved"
	IdempotencyInFlight Code = "idempotency_in_flight"
	IdempotencyMismatch Code = "idempotency_mismatch"
	BodyTooLarge        Code = "body_too_large"
	TooManyRequests     Code = "too_many_requests"
	Unavailable         Code = "unavailable"
	Draining            Code = "draining"
	ServerDiskFull      Code = "server_disk_full"
	Internal            Code = "internal"

	// At the start of the server.
	DatabaseCorrupt Code = "database_corrupt"
	DatabaseInUse   Code = "database_in_use"
	SchemaNewer     Code = "schema_newer_than_binary"

	// For agents.
	CredentialUnknown     Code = "credential_unknown"
	AgentDisabled         Code = "agent_disabled"
	AgentDeleted          Code = "agent_deleted"
	AgentMismatch         Code = "agent_mismatch"
	SessionSuperseded     Code = "session_superseded"
	SessionUnknown        Code = "session_unknown"
	ProtocolUnsupported   Code = "protocol_unsupported"
	EnrolmentTokenInvalid Code = "enrolment_token_invalid"
	EnrolmentTokenUsed    Code = "enrolment_token_used"
	SecretNotYours        Code = "secret_not_yours"
	SecretIntegrity       Code = "secret_integrity"
	ArtifactOffset        Code = "artifact_offset"
)

// Error carries a Code, a Message that is safe to show to whoever asked, where in
// the request the trouble is, and the cause, which goes to the log alone.
type Error struct {
	Code    Code
	Message string
	Field   string           // JSON pointer or parameter name; may be empty
	Extra   map[string]int64 // numbers that the problem document carries, such as expected_offset
	Err     error
}

// Error gives the code, the public message and the cause: text for logs.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error whose whole text is for the user. It takes no %w: a cause
// belongs to Wrap, so that its text cannot slip into an answer.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap is Errorf with a cause that is logged and never shown.
func Wrap(code Code, err error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// At says where in the request the trouble is and gives the error back.
func (e *Error) At(field string) *Error {
	e.Field = field
	return e
}

// Fields is several field errors at once, so that a form shows every mistake.
type Fields []*Error

// Error joins the texts.
func (f Fields) Error() string {
	errs := make([]error, len(f))
	for i, e := range f {
		errs[i] = e
	}
	return errors.Join(errs...).Error()
}

// Err gives nil when there is no mistake.
func (f Fields) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// CodeOf finds the code in an error's chain; Internal where there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var f Fields
	if errors.As(err, &f) && len(f) > 0 {
		return f[0].Code
	}
	return Internal
}

// Is tells whether an error carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
