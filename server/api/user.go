package api

import (
	"context"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ReadSetup tells that the first account can still be made.
func (h *Handlers) ReadSetup(ctx context.Context, _ ReadSetupRequestObject) (ReadSetupResponseObject, error) {
	if err := h.auth.SetupOpen(ctx); err != nil {
		return nil, err
	}
	return ReadSetup200JSONResponse{Open: true}, nil
}

// CompleteSetup makes the first account.
func (h *Handlers) CompleteSetup(ctx context.Context, r CompleteSetupRequestObject) (CompleteSetupResponseObject, error) {
	user, cookie, err := h.auth.CompleteSetup(ctx, r.Body.Code, r.Body.Name, r.Body.Password)
	if err != nil {
		return nil, err
	}
	return CompleteSetup201JSONResponse{Body: toUser(user), Headers: CompleteSetup201ResponseHeaders{SetCookie: cookie.String()}}, nil
}

// SignIn begins a sign-in.
func (h *Handlers) SignIn(ctx context.Context, r SignInRequestObject) (SignInResponseObject, error) {
	user, cookie, err := h.auth.SignIn(ctx, r.Body.Name, r.Body.Password)
	if err != nil {
		return nil, err
	}
	return SignIn200JSONResponse{Body: toUser(user), Headers: SignIn200ResponseHeaders{SetCookie: cookie.String()}}, nil
}

// SignOut ends the sign-in of the request.
func (h *Handlers) SignOut(ctx context.Context, _ SignOutRequestObject) (SignOutResponseObject, error) {
	cookie, err := h.auth.SignOut(ctx)
	if err != nil {
		return nil, err
	}
	return SignOut204Response{Headers: SignOut204ResponseHeaders{SetCookie: cookie.String()}}, nil
}

// ReadMe reads the account of the request.
func (h *Handlers) ReadMe(ctx context.Context, _ ReadMeRequestObject) (ReadMeResponseObject, error) {
	return ReadMe200JSONResponse(toUser(auth.Person(ctx))), nil
}

// ChangePassword changes the password of the request's account.
func (h *Handlers) ChangePassword(ctx context.Context, r ChangePasswordRequestObject) (ChangePasswordResponseObject, error) {
	err := h.auth.ChangePassword(ctx, r.Body.CurrentPassword, r.Body.NewPassword)
	return ChangePassword204Response{}, err
}

// ListUsers lists accounts by name.
func (h *Handlers) ListUsers(ctx context.Context, r ListUsersRequestObject) (ListUsersResponseObject, error) {
	users, next, err := h.store.Users(ctx, store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken})
	if err != nil {
		return nil, err
	}
	page := UserPage{Users: make([]User, len(users)), NextPageToken: next}
	for i := range users {
		page.Users[i] = toUser(&users[i])
	}
	return ListUsers200JSONResponse(page), nil
}

// CreateUser makes an account.
func (h *Handlers) CreateUser(ctx context.Context, r CreateUserRequestObject) (CreateUserResponseObject, error) {
	user, err := h.auth.CreateUser(ctx, r.Body.Name, r.Body.Password, fleet.Role(r.Body.Role))
	if err != nil {
		return nil, err
	}
	return CreateUser201JSONResponse(toUser(user)), nil
}

// UpdateUser changes an account's role, password or state.
func (h *Handlers) UpdateUser(ctx context.Context, r UpdateUserRequestObject) (UpdateUserResponseObject, error) {
	change := auth.UserChange{Password: r.Body.Password, Disabled: r.Body.Disabled}
	if r.Body.Role != nil {
		role := fleet.Role(*r.Body.Role)
		change.Role = &role
	}
	user, err := h.auth.UpdateUser(ctx, fleet.UserID(r.UserId), change)
	if err != nil {
		return nil, err
	}
	return UpdateUser200JSONResponse(toUser(user)), nil
}

// DeleteUser deletes an account.
func (h *Handlers) DeleteUser(ctx context.Context, r DeleteUserRequestObject) (DeleteUserResponseObject, error) {
	return DeleteUser204Response{}, h.auth.DeleteUser(ctx, fleet.UserID(r.UserId))
}

func toUser(u *fleet.User) User {
	return User{
		Id: string(u.ID), Name: u.Name, Role: Role(u.Role), Disabled: u.Disabled,
		CreatedAt: u.CreatedAt.Time(), LastSignInAt: u.LastSignIn.Time(),
	}
}
