// Package api serves openapi.yaml: the strict handlers behind /api/v1 for people
// and automation and behind /agent/v1 for agents. Handlers decode, call a verb of
// server/job or a method of server/store, and encode; every error leaves through
// one adapter as a problem document with a stable code. api.gen.go is generated.
//
// It may import server/{job, alert, store, auth, notify, wake, fleet} and restic.
package api
