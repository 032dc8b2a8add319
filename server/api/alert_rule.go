package api

import (
	"context"

	"restic-manager/server/fleet"
)

// ReadAlertRules is not built yet.
func (h *Handlers) ReadAlertRules(context.Context, ReadAlertRulesRequestObject) (ReadAlertRulesResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ReplaceAlertRules is not built yet.
func (h *Handlers) ReplaceAlertRules(context.Context, ReplaceAlertRulesRequestObject) (ReplaceAlertRulesResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}
