// Package control is an agent's way to its server: the contract's wire types, and
// a Link that speaks them through whatever lies between.
//
// # What counts as an answer
//
// An answer is the server's only when it is JSON with the protocol marker, or a
// problem document whose type has our prefix. The problem is a Refusal: the
// server's word. Everything else, whatever its status, is a TransportError: the
// network spoke, and nothing but back-off and the learned hold may change by it.
//
// # The order of calls
//
// Enrol once; OpenSession at each start of the process and whenever a Refusal has
// the code session_unknown; then one Sync parked at all times and Report whenever
// there is something to say; CloseSession at a graceful end. Every call may be
// repeated as it was when its answer was lost. Codes and what they mean:
//
//   - credential_unknown: keep schedules and spool, retry with back-off up to 15 min
//   - agent_disabled, agent_deleted: take no commands
//   - session_superseded: another process speaks for this host: take no commands
//   - session_unknown: open a session
//   - body_too_large: halve the report
//   - protocol_unsupported: go on alone, try hourly
//
// OpenSession, Sync and Report never retry by themselves: the loops that call them
// pace themselves by a Backoff, and what they have to say changes meanwhile. The
// other calls retry a few times while their context lasts.
//
// # The hold
//
// A parked request waits as long as the server grants, unless something between
// cuts it earlier. Two cuts after a similar time, late in the hold, teach the Link
// to wait a fifth less than that time. Once a day it tries the whole hold again.
//
// control.gen.go is generated from the contract; its Client is used for nothing
// but the requests' paths. The package imports restic for Secret.
package control
