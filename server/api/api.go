package api

import (
	"log/slog"
	"time"
)

// Handlers answers every operation of the contract. Its methods are the generated
// StrictServerInterface: they return the answer, or an error that the adapter in
// errors.go writes as a problem document.
type Handlers struct {
	log *slog.Logger
	now func() time.Time
}
