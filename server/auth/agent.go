package auth

import (
	"context"
	"net/http"

	"restic-manager/server/fleet"
)

// admitAgent lets no agent in until there is a way to prove which one it is.
func (a *Auth) admitAgent(*http.Request) (context.Context, error) {
	return nil, fleet.Errorf(fleet.CredentialUnknown, "This agent is not known here.")
}
