package ui

import (
	"net/http"

	"restic-manager/server/api"
	"restic-manager/web"
)

// keyForm adds a key: it sets the second password, and orders the job that adds it.
type keyForm struct {
	Password, Again, Confirm web.Field
	Kept                     int64  // the version of the second password that is kept, 0: none
	At                       string // the host that adds it, "": nobody maintains the repository
}

func keyFormOf(r api.Repository, f *form) keyForm {
	k := keyForm{
		Password: f.with(web.Field{Name: "password", Label: "New password", Type: "password", Required: true, Autocomplete: "new-password", Hint: "At least 10 characters. Kept sealed, never shown again: keep it yourself, too."}),
		Again:    f.with(web.Field{Name: "again", Label: "The same again", Type: "password", Required: true, Autocomplete: "new-password"}),
		Confirm:  f.with(web.Field{Name: "confirm", Label: "Type the repository's name to go on", Mono: true, Autocomplete: "off", Required: true, Hint: visible(string(r.Name))}),
		At:       visible(string(r.Maintenance.HostName)),
	}
	for _, c := range r.Credentials {
		if c.Slot == "second_password" {
			k.Kept = c.Version
		}
	}
	return k
}

func (u *UI) addKey(v *visit) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	f, err := v.typed()
	if err != nil {
		return err
	}
	if f.raw("password") != f.raw("again") {
		f.wrong("again", "This is not the same as the new password.")
	}
	if f.raw("confirm") != string(r.Name) {
		f.wrong("confirm", "This is not the repository's name.")
	}
	if len(f.errors) > 0 {
		return v.showSettings(http.StatusUnprocessableEntity, f, refusal("Not added", "Look at the fields that are marked."))
	}
	err = v.call(http.MethodPut, v.repositoryPath()+"/credentials/second-password", api.SecondPasswordSet{Password: f.raw("password")}, nil)
	if err != nil {
		return v.keyNotAdded(f, err, "Not added")
	}
	job, err := send[api.Job](v, http.MethodPost, v.repositoryPath()+"/jobs", api.RepositoryJobCreate{Operation: "key-add", Confirm: api.Confirm(f.raw("confirm"))})
	if err != nil {
		return v.keyNotAdded(f, err, "The password is kept, and not added yet")
	}
	return v.goTo("/jobs/" + string(job.Id))
}

func (v *visit) keyNotAdded(f *form, err error, word string) error {
	banner, err := f.refused(err, "password", "confirm")
	if err != nil {
		return err
	}
	banner.State.Word = word
	return v.showSettings(http.StatusUnprocessableEntity, f, banner)
}

func (u *UI) forgetSecondPassword(v *visit) error {
	err := v.call(http.MethodDelete, v.repositoryPath()+"/credentials/second-password", nil, nil)
	return v.savedSettings(filled(nil), err, "second-password-forgotten")
}
