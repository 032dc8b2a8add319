package restic

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func keyAddOperation() Operation {
	return Operation{
		Name: "key-add", Group: GroupMaintain,
		Title:       "Add a key",
		Description: "Has the repository's second password open it, too. Nothing that opens it now is removed.",
		Fields: []Field{
			repositoryField(),
			{Name: "secret_id", Type: FieldUUID, Required: true, Label: "Second password", Help: "the id of the repository's second password; the server fills it in"},
			{Name: "secret_version", Type: FieldInt, Required: true, Min: 1, Max: 1 << 53, Label: "Version", Help: "the version of that password; the server fills it in"},
		},
		Lock: LockShared, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost}, Confirm: true,
		Facts: []Column{{"key_id", "Key", ColumnID}, {"keys", "Keys now", ColumnInt}},
	}
}

// KeyAdd has [Access].NewPassword open the repository, beside what opens it already.
type KeyAdd struct{}

// NewKey is a key that a KeyAdd has made.
type NewKey struct{ ID string } // 64 hexadecimal digits

var _ Op[NewKey] = KeyAdd{}

// Name returns "key add".
func (KeyAdd) Name() string { return "key add" }

// Validate returns nil.
func (KeyAdd) Validate() error { return nil }

func (KeyAdd) plan(Version) plan {
	return plan{verb: []string{"key", "add"}, deadline: repairDeadline, newPassword: true}
}

var savedKey = regexp.MustCompile(`(?m)^saved new key with ID ([0-9a-f]{64})$`)

func (k KeyAdd) decode(out *output) (NewKey, error) {
	said := savedKey.FindStringSubmatch(out.text())
	if said == nil {
		return NewKey{}, noResult(k.Name(), "id of a key")
	}
	return NewKey{ID: said[1]}, nil
}

// handNewPassword hands the password of a new key over: through a pipe, and where the
// system has none in a private file of the run.
func (s *childSpec) handNewPassword(password Secret, seen string) error {
	if err := CheckNewPassword(password.Reveal()); err != nil { //guard:new-password-unchanged
		return err
	}
	const flag = "--new-password-file="
	if pipesPassword(password.Reveal()) {
		s.args = append(s.args, flag+secretFD(len(s.secrets)))
		s.secrets = append(s.secrets, password.Reveal())
		return nil
	}
	const name = "new-password"
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(password.Reveal()), 0o600); err != nil {
		return notStarted("the new password cannot be handed over", err)
	}
	s.args = append(s.args, flag+filepath.Join(seen, name))
	return nil
}

// CheckNewPassword refuses a password that restic would read as another one from a file:
// it trims blanks and decodes byte order marks there. The error holds nothing of it.
func CheckNewPassword(password string) error {
	if password != "" && readUnchanged(password) && !strings.ContainsAny(password, "\x00\r\n") {
		return nil
	}
	return &Error{
		Code: CodePasswordInvalid, Field: "password", Message: "the new password is empty, begins or ends with a blank, or has a line break",
		Next: "choose another one",
	}
}

// readUnchanged reports whether restic reads a password from a file or pipe as it is.
func readUnchanged(password string) bool {
	if strings.TrimSpace(password) != password {
		return false
	}
	for _, mark := range []string{"\xef\xbb\xbf", "\xfe\xff", "\xff\xfe"} {
		if strings.HasPrefix(password, mark) {
			return false
		}
	}
	return true
}

func keyRemoveOperation() Operation {
	return Operation{
		Name: "key-remove", Group: GroupMaintain,
		Title:       "Remove a key",
		Description: "Removes a key, so that its password opens the repository no more. The key that is in use is never removed.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "key_id", Type: FieldString, Pattern: "[0-9a-f]{64}", Required: true, Label: "Key",
				Help: "the full id of a key that was added since its maintenance host watches; no order removes another",
				From: []Source{{"inspect", "object", "keys/"}},
			},
		},
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost}, Deletes: true, Confirm: true,
		Facts: []Column{{"keys", "Keys left", ColumnInt}},
	}
}

// KeyRemove removes a key.
type KeyRemove struct{ ID string } // 64 hexadecimal digits

var _ Op[Done] = KeyRemove{}

// Name returns "key remove".
func (KeyRemove) Name() string { return "key remove" }

// Validate refuses anything but a full id.
func (k KeyRemove) Validate() error { return idErrors("key_id", []string{k.ID}).orNil() }

func (k KeyRemove) plan(Version) plan {
	return plan{verb: []string{"key", "remove"}, operands: []string{k.ID}, deadline: repairDeadline, absent: CodeKeyNotFound}
}

func (KeyRemove) decode(*output) (Done, error) { return Done{}, nil }
