package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
)

// problemType is before every code in a problem's type; agents believe no problem
// without it.
const problemType = "urn:restic-manager:problem:"

// kind is how a code looks to a client.
type kind struct {
	status    int
	title     string
	retryable bool // the same request may succeed later
}

// kinds is the one table from codes to HTTP.
func kinds() map[fleet.Code]kind {
	return map[fleet.Code]kind{
		fleet.Invalid:          {http.StatusBadRequest, "Malformed request", false},
		fleet.UnknownField:     {http.StatusBadRequest, "Unknown field", false},
		fleet.InvalidPageToken: {http.StatusBadRequest, "Page token not usable", false},

		fleet.SignInRequired:     {http.StatusUnauthorized, "Sign in first", false},
		fleet.SignInEnded:        {http.StatusUnauthorized, "The sign-in has ended", false},
		fleet.InvalidCredentials: {http.StatusUnauthorized, "Wrong name or password", false},
		fleet.SetupCodeInvalid:   {http.StatusUnauthorized, "Wrong set-up code", false},

		fleet.RoleMissing:    {http.StatusForbidden, "Role missing", false},
		fleet.CrossOrigin:    {http.StatusForbidden, "Request from another site", false},
		fleet.ReauthRequired: {http.StatusForbidden, "Password asked for again", false},

		fleet.NotFound:  {http.StatusNotFound, "Not found", false},
		fleet.SetupDone: {http.StatusNotFound, "Set-up is done", false},

		fleet.NameTaken:           {http.StatusConflict, "Name taken", false},
		fleet.VersionConflict:     {http.StatusConflict, "Changed by somebody else", false},
		fleet.PickASchedule:       {http.StatusConflict, "Pick a schedule", false},
		fleet.ScheduleDisabled:    {http.StatusConflict, "Schedule disabled", false},
		fleet.JobFinished:         {http.StatusConflict, "Job finished", false},
		fleet.HostBusy:            {http.StatusConflict, "Host busy", true},
		fleet.HostDisabled:        {http.StatusConflict, "Host disabled", false},
		fleet.HostNotEnrolled:     {http.StatusConflict, "Host not enrolled", false},
		fleet.RepositoryInUse:     {http.StatusConflict, "Repository in use", false},
		fleet.RepositoryNotReady:  {http.StatusConflict, "Repository not ready", true},
		fleet.NoMaintenanceHost:   {http.StatusConflict, "No maintenance host", false},
		fleet.NoHostOnline:        {http.StatusConflict, "No host online", true},
		fleet.OperationElsewhere:  {http.StatusConflict, "Not at this host", false},
		fleet.SnapshotNotIndexed:  {http.StatusConflict, "Snapshot not indexed", true},
		fleet.KeyNotProven:        {http.StatusConflict, "Key not proven", false},
		fleet.LastAdmin:           {http.StatusConflict, "Last admin", false},
		fleet.AlertIsResolved:     {http.StatusConflict, "Alert resolved", false},
		fleet.IdempotencyInFlight: {http.StatusConflict, "First request still running", true},

		fleet.BodyTooLarge: {http.StatusRequestEntityTooLarge, "Body too large", false},

		fleet.InvalidField:        {http.StatusUnprocessableEntity, "Field not valid", false},
		fleet.UnknownOperation:    {http.StatusUnprocessableEntity, "Unknown operation", false},
		fleet.ConfirmationNeeded:  {http.StatusUnprocessableEntity, "Confirmation required", false},
		fleet.LocationInvalid:     {http.StatusUnprocessableEntity, "Repository location not valid", false},
		fleet.IdempotencyMismatch: {http.StatusUnprocessableEntity, "Idempotency key used for something else", false},

		fleet.TooManyRequests: {http.StatusTooManyRequests, "Too many requests", true},
		fleet.Internal:        {http.StatusInternalServerError, "Internal error", true},
		fleet.Unavailable:     {http.StatusServiceUnavailable, "Not available now", true},
		fleet.Draining:        {http.StatusServiceUnavailable, "Server is stopping", true},
		fleet.ServerDiskFull:  {http.StatusServiceUnavailable, "The server's disk is full", true},

		fleet.CredentialUnknown:     {http.StatusUnauthorized, "Agent not known", false},
		fleet.EnrolmentTokenInvalid: {http.StatusUnauthorized, "Enrolment token not valid", false},
		fleet.AgentDisabled:         {http.StatusForbidden, "Host disabled", false},
		fleet.AgentMismatch:         {http.StatusForbidden, "Another host's", false},
		fleet.SecretNotYours:        {http.StatusNotFound, "Secret not for this host", false},
		fleet.SessionSuperseded:     {http.StatusConflict, "Session superseded", false},
		fleet.SessionUnknown:        {http.StatusConflict, "Session not known", false},
		fleet.EnrolmentTokenUsed:    {http.StatusConflict, "Enrolment token used", false},
		fleet.ArtifactOffset:        {http.StatusConflict, "Another offset expected", false},
		fleet.AgentDeleted:          {http.StatusGone, "Host deleted", false},
		fleet.ProtocolUnsupported:   {http.StatusUpgradeRequired, "Protocol not supported", false},
		fleet.SecretIntegrity:       {http.StatusInternalServerError, "Stored secret damaged", false},
		fleet.DatabaseCorrupt:       {http.StatusInternalServerError, "Database damaged", false},
		fleet.DatabaseInUse:         {http.StatusInternalServerError, "Database in use", false},
		fleet.SchemaNewer:           {http.StatusInternalServerError, "Database of a newer program", false},
	}
}

// problems writes errors as problem documents. It is the only way an error leaves.
type problems struct {
	kinds map[fleet.Code]kind
}

func newProblems() problems { return problems{kinds: kinds()} }

// write answers with the problem that an error is, and notes code and cause for the
// request's line in the log. Causes and texts of foreign errors are never shown.
func (p problems) write(w http.ResponseWriter, r *http.Request, err error) {
	visit := auth.VisitOf(r.Context())
	visit.Err = err
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // nobody is there to read it
	}
	doc, retryAfter := p.document(err)
	doc.RequestId = visit.ID
	body, err := json.Marshal(doc)
	if err != nil { // strings and numbers always encode
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(retryAfter, 10))
	}
	w.WriteHeader(doc.Status)
	_, _ = w.Write(body) // the client may be gone; there is nothing left to do
}

// document turns an error into a problem and the seconds for Retry-After.
func (p problems) document(err error) (Problem, int64) {
	e, fields := public(err)
	k, known := p.kinds[e.Code]
	if !known {
		e.Code, k = fleet.Internal, p.kinds[fleet.Internal]
	}
	doc := Problem{
		Type: problemType + string(e.Code), Title: k.title, Status: k.status, Code: string(e.Code),
		Detail: e.Message, Field: e.Field, Retryable: k.retryable, Fields: fields,
		ExpectedOffset: e.Extra["expected_offset"],
		MinProtocol:    int(e.Extra["min_protocol"]), MaxProtocol: int(e.Extra["max_protocol"]),
	}
	retryAfter := e.Extra[auth.RetryAfter]
	if retryAfter == 0 && (k.status == http.StatusServiceUnavailable || k.status == http.StatusTooManyRequests) {
		retryAfter = 2
	}
	return doc, retryAfter
}

// public finds what an error may show: the domain's own words, or, for any other
// error, that something went wrong and nothing of it.
func public(err error) (fleet.Error, []FieldProblem) {
	var fields fleet.Fields
	if errors.As(err, &fields) && len(fields) > 0 {
		list := make([]FieldProblem, len(fields))
		for i, f := range fields {
			list[i] = FieldProblem{Field: f.Field, Code: string(f.Code), Detail: f.Message}
		}
		return *fields[0], list
	}
	var e *fleet.Error
	if errors.As(err, &e) {
		return *e, nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return *fleet.Errorf(fleet.BodyTooLarge, "The body is larger than %d bytes.", tooLarge.Limit), nil
	}
	return *fleet.Errorf(fleet.Internal, "Something went wrong on the server; its log has the cause under this request id."), nil
}

// badParameter answers what the generated router finds wrong with a parameter. Its
// own texts may repeat the value, so only the parameter's name is taken from them.
func (p problems) badParameter(w http.ResponseWriter, r *http.Request, err error) {
	name := ""
	var format *InvalidParamFormatError
	var required *RequiredParamError
	var header *RequiredHeaderError
	var many *TooManyValuesForParamError
	switch {
	case errors.As(err, &format):
		name = format.ParamName
	case errors.As(err, &required):
		name = required.ParamName
	case errors.As(err, &header):
		name = header.ParamName
	case errors.As(err, &many):
		name = many.ParamName
	}
	p.write(w, r, fleet.Wrap(fleet.Invalid, err, "A parameter is missing or has a wrong form.").At(name))
}

// badBody answers a body that cannot be decoded. The decoder's text may repeat
// values, so it goes to the log alone.
func (p problems) badBody(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	var own *fleet.Error
	if errors.As(err, &tooLarge) || errors.As(err, &own) {
		p.write(w, r, err)
		return
	}
	p.write(w, r, fleet.Wrap(fleet.Invalid, err, "The body is not the JSON that this operation takes."))
}
