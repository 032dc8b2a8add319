package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// Storage is a folder that a rest-server serves, and the file with its users.
type Storage struct {
	Path  string
	Users string // htpasswd file; "" for the folder's name with .htpasswd, beside it
	Owner string // user as whom rest-server runs; "" for the folder's owner
}

// userName is what rest-server can have as the first part of a path.
var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// UsersFile is where the users are.
func (s Storage) UsersFile() string { return orDefault(s.Users, filepath.Clean(s.Path)+".htpasswd") }

// SetUp makes the folder and its users where they are not there yet, and returns those
// that are new. Done again, it changes nothing.
func (s Storage) SetUp(names []string) ([]NewUser, error) {
	as, err := s.check(names)
	if err != nil {
		return nil, err
	}
	if err := s.makeFolder(as); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	if as == nil {
		if owner, err := restic.OwnerOf(s.Path); err == nil {
			as = &owner
		}
	}
	return s.addUsers(names, as)
}

// makeFolder makes the folder for its owner, where it is not there yet. Only what it made
// itself is given away.
func (s Storage) makeFolder(owner *restic.RunAs) error {
	root, err := os.OpenRoot(filepath.Dir(s.Path))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(s.Path)
	err = root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	folder, err := openPlain(root, name)
	if err != nil {
		return err
	}
	defer folder.Close()
	return giveTo(owner)(folder)
}

// check refuses what cannot be set up, before anything is made.
func (s Storage) check(names []string) (*restic.RunAs, error) {
	for _, path := range []string{s.Path, s.UsersFile()} {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return nil, fmt.Errorf("%q must be an absolute path without dot segments", path)
		}
	}
	if l, err := restic.ParseLocation(s.UsersFile()); err == nil {
		if folder, err := restic.ParseLocation(s.Path); err == nil && l.Under(folder) { //guard:users-outside
			return nil, fmt.Errorf("the file with the users, %s, must not lie in the folder that is served", s.UsersFile())
		}
	}
	for _, name := range names {
		if !userName.MatchString(name) || policy.KeptAside(name) { //guard:user-name
			return nil, fmt.Errorf("%q cannot be a user: letters, digits and . _ -, at most 64, not beginning with one of these, and no name of what is kept aside", name)
		}
	}
	if s.Owner == "" {
		return nil, nil
	}
	as, err := restic.UserNamed(s.Owner)
	return &as, err
}

// ServerLine is the command that serves the folder so that hosts can add and not delete.
func (s Storage) ServerLine(listen, cert, key string) string {
	line := "rest-server --append-only --private-repos --path " + s.Path + " --htpasswd-file " + s.UsersFile() + " --listen " + listen
	if cert != "" {
		line += " --tls --tls-cert " + cert + " --tls-key " + key
	}
	return line
}

// PolicyEntry is what makes this host maintain what lies in the folder.
func (s Storage) PolicyEntry() string {
	return fmt.Sprintf("maintenance:\n  - path: %s\n    keep_days: %d\n    keep_last: %d\n    max_delete_fraction: %.1f\n    undo_days: %d\n",
		s.Path, policy.DefaultKeepDays, policy.DefaultKeepLast, policy.DefaultMaxDeleteFraction, policy.DefaultUndoDays)
}

// Kept is an undo copy of a repository in a folder of this machine.
type Kept struct {
	Name   string
	At     time.Time
	Before string // what it was made for: prune, forget
	Files  int
	Path   string // a repository that plain restic reads, where Whole
	Whole  bool
}

// UndoCopies lists what can be brought back, the oldest first.
func UndoCopies(repository string) ([]Kept, error) {
	folder, err := upkeep.OpenFolder(repository, nil)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	copies, err := folder.Copies()
	var list []Kept
	for _, c := range copies {
		list = append(list, Kept{Name: c.Name, At: c.At, Before: c.Before, Files: c.Files, Path: c.Path, Whole: c.Whole})
	}
	return list, err
}

// BroughtBack is what came of bringing an undo copy back.
type BroughtBack = upkeep.Back

// BringBack puts what a repository lacks of an undo copy back into it. It changes and
// removes nothing.
func BringBack(repository, name string) (BroughtBack, error) {
	folder, err := upkeep.OpenFolder(repository, nil)
	if err != nil {
		return BroughtBack{}, err
	}
	defer folder.Close()
	return folder.BringBack(name)
}

// Quarantine moves files of a repository aside, and returns where to.
func Quarantine(repository string, objects []string) (string, error) {
	folder, err := upkeep.OpenFolder(repository, nil)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	return folder.Quarantine(objects, time.Now())
}
