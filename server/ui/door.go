package ui

import (
	"net/http"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// doorView is the view of the set-up and the sign-in.
type doorView struct {
	web.Plain
	Fields  []web.Field
	Refused *web.Banner
	To      string // where to go on after signing in
}

var setupFields = []web.Field{
	{Name: "code", Label: "Set-up code", Hint: "It stands in the server's log, and in the file setup-code in its data directory.", Required: true, Mono: true, Autofocus: true, Autocomplete: "off"},
	{Name: "name", Label: "Your name", Hint: "Letters, digits and . _ @ -", Required: true, Autocomplete: "username"},
	{Name: "password", Label: "Password", Type: "password", Hint: "At least 10 characters.", Required: true, Autocomplete: "new-password"},
}

func (u *UI) setupForm(v *visit) error {
	if _, err := get[api.Setup](v, "/api/v1/setup", nil); err != nil {
		return err
	}
	return v.showSetup(http.StatusOK, filled(map[string]string{"name": "admin"}), nil)
}

func (v *visit) showSetup(status int, f *form, refused *web.Banner) error {
	view := doorView{Plain: v.plain("First run"), Refused: refused}
	for _, field := range setupFields {
		view.Fields = append(view.Fields, f.with(field))
	}
	return v.show(status, "setup", view)
}

func (u *UI) setup(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	_, err = send[api.User](v, http.MethodPost, "/api/v1/setup", api.SetupRequest{Code: f.get("code"), Name: f.get("name"), Password: f.raw("password")})
	if is(err, "setup_code_invalid") {
		f.errors["code"] = "This is not the code of this server."
		return v.showSetup(http.StatusUnauthorized, f, nil)
	}
	if err != nil {
		banner, err := f.refused(err, "code", "name", "password")
		if err != nil {
			return err
		}
		return v.showSetup(http.StatusUnprocessableEntity, f, banner)
	}
	return v.goTo("/")
}

func (u *UI) signInForm(v *visit) error {
	if _, err := get[api.Setup](v, "/api/v1/setup", nil); err == nil {
		return v.goTo("/setup")
	}
	return v.showSignIn(http.StatusOK, filled(nil), nil)
}

func (v *visit) showSignIn(status int, f *form, refused *web.Banner) error {
	to := local(v.query("to"))
	if to == "" {
		to = local(f.raw("to"))
	}
	return v.show(status, "sign-in", doorView{Plain: v.plain("Sign in"), Refused: refused, To: to, Fields: []web.Field{
		f.with(web.Field{Name: "name", Label: "Name", Required: true, Autofocus: true, Autocomplete: "username"}),
		f.with(web.Field{Name: "password", Label: "Password", Type: "password", Required: true, Autocomplete: "current-password"}),
	}})
}

func (u *UI) signIn(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	_, err = send[api.User](v, http.MethodPost, "/api/v1/sign-in", api.SignInRequest{Name: f.get("name"), Password: f.raw("password")})
	switch {
	case err == nil:
		if to := local(f.raw("to")); to != "" {
			return v.goTo(to)
		}
		return v.goTo("/")
	case is(err, "invalid_credentials"):
		return v.showSignIn(http.StatusUnauthorized, f, refusal("Not signed in", "Name and password do not belong together."))
	}
	banner, err := f.refused(err, "name", "password")
	if err != nil {
		return err
	}
	return v.showSignIn(http.StatusUnprocessableEntity, f, banner)
}

func (u *UI) signOut(v *visit) error {
	if err := v.call(http.MethodPost, "/api/v1/sign-out", nil, nil); err != nil {
		return err
	}
	return v.goTo("/sign-in")
}

// theme keeps what the viewer chose, for browsers without scripts.
func (u *UI) theme(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: web.ThemeCookie, Value: string(web.ThemeOf(f.raw("theme"))), Path: "/", MaxAge: 365 * 24 * 3600, SameSite: http.SameSiteLaxMode,
	})
	back := local(f.raw("back"))
	if back == "" {
		back = "/"
	}
	return v.goTo(back)
}

// local lets an address through that leads nowhere but here.
func local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return ""
	}
	return path
}
