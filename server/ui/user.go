package ui

import (
	"net/http"
	"net/url"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// auditRow is an entry with who did it in words.
type auditRow struct {
	api.AuditEntry
	Who  string
	Href string // of the host whose agent it was
}

type auditView struct {
	web.Shell
	Entries []auditRow
	Pager   web.Pager
	Filter  []web.Field
}

func (u *UI) audit(v *visit) error {
	shell, err := v.shell("Audit")
	if err != nil {
		return err
	}
	q := url.Values{"page_size": {"50"}}
	for _, name := range []string{"actor", "action", "object_id", "page_token"} {
		if s := v.query(name); s != "" {
			q.Set(name, s)
		}
	}
	page, err := get[api.AuditPage](v, "/api/v1/audit", q)
	if err != nil {
		return err
	}
	rows, err := v.auditRows(page.Entries)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "audit", auditView{Shell: shell, Entries: rows, Pager: v.pager(page.NextPageToken), Filter: []web.Field{
		{Name: "actor", Label: "Who", Value: v.query("actor")}, {Name: "action", Label: "What", Value: v.query("action"), Placeholder: "host.create"},
	}})
}

// auditRows names the hosts whose agents did something.
func (v *visit) auditRows(entries []api.AuditEntry) ([]auditRow, error) {
	names := map[string]string{}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		rows[i] = auditRow{AuditEntry: e, Who: e.Actor}
		id, isAgent := strings.CutPrefix(e.Actor, "agent:")
		if !isAgent {
			continue
		}
		name, asked := names[id]
		if !asked {
			h, ok, err := part[api.Host](v, "/api/v1/hosts/"+url.PathEscape(id), nil)
			if err != nil {
				return nil, err
			}
			if ok {
				name = string(h.Name)
			}
			names[id] = name
		}
		if rows[i].Who = "the agent of " + name; name == "" {
			rows[i].Who = "an agent of a host that is gone, " + short(id)
		} else {
			rows[i].Href = "/hosts/" + id
		}
	}
	return rows, nil
}

type userRow struct {
	User   api.User
	State  web.State
	Role   web.Field
	Delete web.Dialog
}

type usersView struct {
	web.Shell
	Rows                 []userRow
	Refused              *web.Banner
	Name, Password, Role web.Field
	Pager                web.Pager
}

var roleOptions = []web.Option{{Value: "viewer", Label: "viewer: reads"}, {Value: "operator", Label: "operator: also runs and edits schedules"}, {Value: "admin", Label: "admin: everything"}}

func (u *UI) users(v *visit) error {
	return v.showUsers(http.StatusOK, filled(map[string]string{"role": "operator"}), nil)
}

func (v *visit) showUsers(status int, f *form, refused *web.Banner) error {
	shell, err := v.shell("Users")
	if err != nil {
		return err
	}
	q := url.Values{"page_size": {"50"}}
	if t := v.query("page_token"); t != "" {
		q.Set("page_token", t)
	}
	page, err := get[api.UserPage](v, "/api/v1/users", q)
	if err != nil {
		return err
	}
	view := usersView{
		Shell: shell, Refused: refused, Pager: v.pager(page.NextPageToken),
		Name:     f.with(web.Field{Name: "name", Label: "Name", Required: true, Autocomplete: "off"}),
		Password: f.with(web.Field{Name: "password", Label: "First password", Type: "password", Required: true, Autocomplete: "new-password", Hint: "At least 10 characters."}),
		Role:     f.with(web.Field{Name: "role", Label: "Role", Options: roleOptions}),
	}
	for _, user := range page.Users {
		view.Rows = append(view.Rows, userRowOf(user))
	}
	return v.show(status, "users", view)
}

func userRowOf(user api.User) userRow {
	state := web.State{Tone: web.OK, Glyph: "ok", Word: "Enabled"}
	if user.Disabled {
		state = web.State{Tone: web.Idle, Glyph: "stop", Word: "Disabled"}
	}
	return userRow{
		User: user, State: state, Role: web.Field{Name: "role", Label: "Role", Value: string(user.Role), Options: roleOptions},
		Delete: web.Dialog{ID: "delete-" + string(user.Id), Title: "Delete this account?", Text: "The account " + string(user.Name) + " and its sign-ins are removed. What it did stays in the audit log.",
			Action: "/users/" + string(user.Id) + "/delete", Confirm: "Delete account", Keep: "Keep it", Danger: true},
	}
}

func (u *UI) createUser(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	_, err = send[api.User](v, http.MethodPost, "/api/v1/users", api.UserCreate{Name: f.get("name"), Password: f.raw("password"), Role: api.Role(f.raw("role"))})
	if err != nil {
		banner, err := f.refused(err, "name", "password", "role")
		if err != nil {
			return err
		}
		return v.showUsers(http.StatusUnprocessableEntity, f, banner)
	}
	return v.goTo("/users?done=user-created")
}

// saveUser changes the role, or whether the account can sign in.
func (u *UI) saveUser(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	var change api.UserUpdate
	if role := api.UserUpdateRole(f.raw("role")); role != "" {
		change.Role = &role
	}
	if text := f.raw("disabled"); text != "" {
		disabled := text == "true"
		change.Disabled = &disabled
	}
	return v.userChanged(v.call(http.MethodPatch, "/api/v1/users/"+url.PathEscape(v.param("user")), change, nil), "user-saved")
}

func (u *UI) deleteUser(v *visit) error {
	return v.userChanged(v.call(http.MethodDelete, "/api/v1/users/"+url.PathEscape(v.param("user")), nil, nil), "user-deleted")
}

func (v *visit) userChanged(err error, did string) error {
	if err == nil {
		return v.goTo("/users?done=" + did)
	}
	banner, err := filled(nil).refused(err)
	if err != nil {
		return err
	}
	return v.showUsers(http.StatusConflict, filled(map[string]string{"role": "operator"}), banner)
}

type accountView struct {
	web.Shell
	Refused      *web.Banner
	Current, New web.Field
}

func (u *UI) account(v *visit) error { return v.showAccount(http.StatusOK, filled(nil), nil) }

func (v *visit) showAccount(status int, f *form, refused *web.Banner) error {
	shell, err := v.shell("Account")
	if err != nil {
		return err
	}
	return v.show(status, "account", accountView{
		Shell: shell, Refused: refused,
		Current: f.with(web.Field{Name: "current_password", Label: "Current password", Type: "password", Required: true, Autocomplete: "current-password"}),
		New:     f.with(web.Field{Name: "new_password", Label: "New password", Type: "password", Required: true, Autocomplete: "new-password", Hint: "At least 10 characters."}),
	})
}

func (u *UI) changePassword(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	err = v.call(http.MethodPut, "/api/v1/me/password", api.PasswordChange{CurrentPassword: f.raw("current_password"), NewPassword: f.raw("new_password")}, nil)
	switch {
	case is(err, "invalid_credentials"):
		f.errors["current_password"] = "This is not your password."
		return v.showAccount(http.StatusUnauthorized, f, nil)
	case err != nil:
		banner, err := f.refused(err, "current_password", "new_password")
		if err != nil {
			return err
		}
		return v.showAccount(http.StatusUnprocessableEntity, f, banner)
	}
	return v.goTo("/account?done=password-changed")
}
