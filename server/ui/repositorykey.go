package ui

import (
	"net/http"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// keyForm adds a key: it sets the second password, and orders the job that adds it.
type keyForm struct {
	Password, Again, Confirm web.Field
	Kept                     int64  // the version of the second password that is kept, 0: none
	At                       string // the host that adds it, "": nobody maintains the repository
	Second                   *secondForm
}

// secondForm makes the second password that is kept the one that hosts use, or takes that
// back.
type secondForm struct {
	Confirm, Own web.Field
	Key          string    // that it opens the repository with; empty: nothing is proven
	Former       bool      // hosts used it before
	Since        time.Time // then: until when
	Waiting      string    // then: who has not fetched the other one yet
	Remove       *web.Copy // then: how root removes its key
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
			k.Kept, k.Second = c.Version, secondFormOf(r, c, f)
		}
	}
	return k
}

func secondFormOf(r api.Repository, c api.CredentialInfo, f *form) *secondForm {
	s := &secondForm{
		Confirm: f.with(web.Field{Name: "use_confirm", Label: "Type the repository's name to go on", Mono: true, Autocomplete: "off", Required: true, Hint: visible(string(r.Name))}),
		Own:     f.with(web.Field{Name: "own_password", Label: "Your own password", Type: "password", Autocomplete: "current-password", Required: true, Hint: "The one you sign in with."}),
		Key:     c.KeyId, Former: c.Former, Since: r.PasswordExchangedAt,
	}
	former := r.FormerPassword
	if former == nil {
		return s
	}
	var names []string
	for _, name := range former.HostNames {
		names = append(names, visible(string(name)))
	}
	if more := former.Hosts - len(names); more > 0 {
		names = append(names, plural(more, "more", "more"))
	}
	s.Waiting = strings.Join(names, ", ")
	if former.Remove != "" {
		s.Remove = &web.Copy{ID: "remove-key", Text: former.Remove, Label: "the command that removes the former key", Lines: true}
	}
	return s
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
		return v.keyRefused(f, err, "Not added", "password", "confirm")
	}
	job, err := send[api.Job](v, http.MethodPost, v.repositoryPath()+"/jobs", api.RepositoryJobCreate{Operation: "key-add", Confirm: api.Confirm(f.raw("confirm"))})
	if err != nil {
		return v.keyRefused(f, err, "The password is kept, and not added yet", "password", "confirm")
	}
	return v.goTo("/jobs/" + string(job.Id))
}

// keyRefused shows the forms again with what was refused of one of them.
func (v *visit) keyRefused(f *form, err error, word string, shown ...string) error {
	banner, err := f.refused(err, shown...)
	if err != nil {
		return err
	}
	banner.State.Word = word
	return v.showSettings(http.StatusUnprocessableEntity, f, banner)
}

// useSecondPassword has hosts use the second password, by the key that the page has shown.
func (u *UI) useSecondPassword(v *visit) error {
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	f, err := v.typed()
	if err != nil {
		return err
	}
	if f.raw("use_confirm") != string(r.Name) {
		f.wrong("use_confirm", "This is not the repository's name.")
		return v.showSettings(http.StatusUnprocessableEntity, f, refusal("Not exchanged", "Look at the field that is marked."))
	}
	_, err = send[api.Repository](v, http.MethodPost, v.repositoryPath()+"/credentials/second-password/use",
		api.SecondPasswordUse{KeyId: f.raw("key_id"), Confirm: f.raw("use_confirm"), OwnPassword: f.raw("own_password")})
	if err != nil {
		return v.keyRefused(f, err, "Not exchanged", "own_password")
	}
	return v.goTo("/repositories/" + v.param("repository") + "?done=password-exchanged#sheet")
}

func (u *UI) forgetSecondPassword(v *visit) error {
	err := v.call(http.MethodDelete, v.repositoryPath()+"/credentials/second-password", nil, nil)
	return v.savedSettings(filled(nil), err, "second-password-forgotten")
}
