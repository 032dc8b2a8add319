package agent

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"restic-manager/restic"
)

// NewUser is a user that was made. Its password is kept nowhere.
type NewUser struct {
	Name     string
	Password restic.Secret
}

const maxUsersFile = 4 << 20

// usersFile is the htpasswd file while it is changed. What is done there goes by the opened
// folder and by no link, since its owner may rename what he likes in it.
type usersFile struct {
	root  *os.Root
	name  string
	lines []string
	was   fs.FileInfo // nil where there is none yet
}

// openUsers reads the users; none where there is no file yet.
func (s Storage) openUsers() (*usersFile, error) {
	root, err := os.OpenRoot(filepath.Dir(s.UsersFile()))
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	u := &usersFile{root: root, name: filepath.Base(s.UsersFile())}
	if err := u.read(); err != nil {
		root.Close()
		return nil, fmt.Errorf("read the users of %s: %w", s.UsersFile(), err)
	}
	return u, nil
}

func (u *usersFile) close() { _ = u.root.Close() }

func (u *usersFile) read() error {
	file, err := openPlain(u.root, u.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	u.was, err = file.Stat()
	if err != nil {
		return err
	}
	if u.was.Size() > maxUsersFile {
		return errors.New("it is too large to be one of users")
	}
	text, err := io.ReadAll(io.LimitReader(file, maxUsersFile))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		if line := strings.TrimSpace(string(line)); line != "" {
			u.lines = append(u.lines, line)
		}
	}
	return nil
}

// openPlain opens a file that is no link and nothing else than a file, or a folder.
func openPlain(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	switch info.Mode().Type() {
	case 0, fs.ModeDir, fs.ModeSymlink:
	default:
		return nil, fmt.Errorf("%s is no file", name) // a pipe would wait to be opened
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(info, opened) { //guard:users-link
		err = fmt.Errorf("%s is a link, or was replaced meanwhile", name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (u *usersFile) has(name string) bool {
	for _, line := range u.lines {
		if strings.HasPrefix(line, name+":") {
			return true
		}
	}
	return false
}

// write puts a new file in the place of the old one, for one owner alone.
func (u *usersFile) write(own func(*os.File) error) error {
	temp := "." + u.name + "." + rand.Text()
	file, err := u.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the users: %w", err)
	}
	_, err = file.WriteString(strings.Join(u.lines, "\n") + "\n")
	if err == nil {
		err = own(file)
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = u.root.Rename(temp, u.name)
	}
	if err != nil {
		return fmt.Errorf("write the users: %w", errors.Join(err, u.root.Remove(temp)))
	}
	if dir, err := u.root.Open("."); err == nil {
		_ = dir.Sync() // not every system can
		dir.Close()
	}
	return nil
}

// giveTo returns what gives an opened file to a user; to nobody where that is nil, or where
// this process is not root.
func giveTo(owner *restic.RunAs) func(*os.File) error {
	return func(file *os.File) error {
		if owner == nil || os.Geteuid() != 0 {
			return nil
		}
		return file.Chown(int(owner.UID), int(owner.GID))
	}
}

func (s Storage) addUsers(names []string, owner *restic.RunAs) ([]NewUser, error) {
	u, err := s.openUsers()
	if err != nil {
		return nil, err
	}
	defer u.close()
	var made []NewUser
	for _, name := range names {
		if u.has(name) {
			continue
		}
		password := rand.Text()
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return nil, err
		}
		u.lines = append(u.lines, name+":"+string(hash))
		made = append(made, NewUser{name, restic.NewSecret(password)})
	}
	if len(made) == 0 {
		return nil, nil
	}
	if err := u.write(giveTo(owner)); err != nil {
		return nil, err
	}
	return made, nil
}

// RemoveUser takes a user out. rest-server refuses it within half a minute.
func (s Storage) RemoveUser(name string) error {
	if _, err := s.check([]string{name}); err != nil {
		return err
	}
	u, err := s.openUsers()
	if err != nil {
		return err
	}
	defer u.close()
	if !u.has(name) {
		return fmt.Errorf("%s has no user %s", s.UsersFile(), name)
	}
	var left []string
	for _, line := range u.lines {
		if !strings.HasPrefix(line, name+":") {
			left = append(left, line)
		}
	}
	u.lines = left
	return u.write(func(file *os.File) error { return ownAlike(file, u.was) })
}
