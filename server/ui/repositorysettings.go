package ui

import (
	"net/http"

	"restic-manager/server/api"
	"restic-manager/web"
)

type repositorySettingsView struct {
	repositoryFrame
	Name, Allow, Username, Secret web.Field
	Key                           keyForm
	Delete                        web.Dialog
}

func (u *UI) repositorySettings(v *visit) error { return v.showSettings(http.StatusOK, nil, nil) }

func (v *visit) showSettings(status int, f *form, refused *web.Banner) error {
	frame, f, err := v.repositoryForm("Settings", f, refused)
	if err != nil {
		return err
	}
	r := frame.Repository
	if !f.has("name") {
		f.set("name", string(r.Name))
		if r.AllowDeletingCredential {
			f.set("allow", "true")
		}
	}
	return v.show(status, "repository-settings", repositorySettingsView{
		repositoryFrame: frame,
		Name:            f.with(web.Field{Name: "name", Label: "Name", Required: true}),
		Allow:           f.with(web.Field{Name: "allow", Label: "Allow a credential that can delete", Hint: "Whoever takes a host could then delete its backups. Say yes only where the storage cannot do better."}),
		Username:        f.with(web.Field{Name: "username", Label: "User name", Autocomplete: "off"}),
		Secret:          f.with(web.Field{Name: "secret", Label: "Password", Type: "password", Autocomplete: "off"}),
		Key:             keyFormOf(r, f),
		Delete: web.Dialog{ID: "delete", Title: "Forget this repository?", Text: "It is removed here, with its password. Its data stays where it is; without the recovery sheet nobody can read it.",
			Action: frame.Prefix + "/delete", Confirm: "Forget " + string(r.Name), Keep: "Keep it", Danger: true, Typed: string(r.Name)},
	})
}

func (u *UI) saveRepository(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	name, allow := f.get("name"), f.checked("allow")
	_, err = send[api.Repository](v, http.MethodPatch, v.repositoryPath(), api.RepositoryUpdate{Name: &name, AllowDeletingCredential: &allow})
	return v.savedSettings(f, err, "repository-saved", "name")
}

func (u *UI) saveCredential(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	err = v.call(http.MethodPut, v.repositoryPath()+"/credentials/append", api.CredentialSet{Username: f.get("username"), Secret: f.raw("secret")}, nil)
	return v.savedSettings(f, err, "credential-saved", "username", "secret")
}

// savedSettings answers a form of this page.
func (v *visit) savedSettings(f *form, err error, did string, shown ...string) error {
	if err == nil {
		return v.goTo("/repositories/" + v.param("repository") + "/settings?done=" + did)
	}
	banner, err := f.refused(err, shown...)
	if err != nil {
		return err
	}
	return v.showSettings(http.StatusUnprocessableEntity, f, banner)
}

func (u *UI) deleteRepository(v *visit) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	f, err := v.typed()
	if err != nil {
		return err
	}
	if f.raw("typed") != string(r.Name) {
		return v.showSettings(http.StatusUnprocessableEntity, nil, refusal("Not forgotten", "What you typed is not the repository's name."))
	}
	if err := v.call(http.MethodDelete, v.repositoryPath(), nil, nil); err != nil {
		if is(err, "repository_in_use") {
			return v.showSettings(http.StatusConflict, nil, refusal("Not forgotten", "A schedule uses it. Delete or change that schedule first."))
		}
		return err
	}
	return v.goTo("/repositories?done=repository-deleted")
}
