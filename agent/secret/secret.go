// Package secret keeps what the agent must know and nobody else may: its own secret,
// and the passwords and credentials of the repositories that its host backs up to.
//
// # Vocabulary
//
//   - The key is 32 random bytes of this host. It lies on one rung of a ladder, the
//     best that the host offers: a systemd credential, the keyring of the agent's own
//     user, DPAPI on Windows, a file for the agent alone. Which rung it is, is shown.
//   - The store is one file in which everything else is sealed under the key. Each
//     value is bound to what it is for, its id and its version, so that values cannot
//     be exchanged in the file without being found out.
//
// A copy of the store without the key tells nothing. The key in a file protects such
// copies, and not against root.
//
// What cannot be read is never overwritten: a key or store that is damaged, open to
// others or out of reach is an *Error with a code and a next step.
//
// The package may import restic, for Secret, and agent/custody.
package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"restic-manager/agent/custody"
	"restic-manager/restic"
)

// Codes of errors.
const (
	CodeKeyMissing   = "secret_key_missing"     // the store is there, its key is not
	CodeKeyInvalid   = "secret_key_invalid"     // not 32 bytes
	CodeKeyUnusable  = "secret_key_unavailable" // the place of the key cannot be asked
	CodeKeyMismatch  = "secret_key_mismatch"    // the store was sealed under another key
	CodeInsecure     = "secret_store_insecure"  // others can read or change it
	CodeStoreDamaged = "secret_store_damaged"
	CodeStoreFull    = "secret_store_full" // what is to be kept is larger than any honest secrets are
	CodeIntegrity    = "secret_integrity"  // a value was changed, or put in another's place
)

// ErrNotFound says that the store has no such value.
var ErrNotFound = errors.New("no such secret on this host")

// Error says what is wrong with the key or the store. It holds nothing secret.
type Error struct {
	Code string
	What string // in plain words
	Next string // what helps
	Err  error  // the cause, for the log
}

func (e *Error) Error() string { return e.Code + ": " + e.What + "; " + e.Next }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Ref names one version of a secret, by the server's words.
type Ref struct {
	ID      string
	Version int64
}

// Value is a secret with the user name that belongs to it, which may be empty.
type Value struct {
	Username string
	Secret   restic.Secret
}

// Store gives and takes secrets. Its methods may be called at the same time; each
// reads the file anew, so that a command beside the running agent is not undone.
type Store struct {
	mu   sync.Mutex
	path string
	key  []byte
	rung string
}

// The purposes that values are sealed for.
const (
	forCheck      = "check"
	forIdentity   = "identity"
	forRepository = "repository"
)

// storeName is the file that holds everything that is sealed.
const storeName = "secrets.sealed"

// Open opens the store in a private folder, and makes it with a new key where there
// is none. The environment says what the host offers: CREDENTIALS_DIRECTORY and
// DBUS_SESSION_BUS_ADDRESS. It may take a few seconds where a keyring does not answer.
func Open(stateDir string, getenv func(string) string) (*Store, error) {
	stateDir, err := filepath.Abs(stateDir)
	if err != nil {
		return nil, err
	}
	if err := custody.CheckFolder(stateDir, custody.Private); err != nil {
		return nil, insecure(err)
	}
	return open(stateDir, ladder(stateDir, getenv))
}

func open(stateDir string, ladder []rung) (*Store, error) {
	s := &Store{path: filepath.Join(stateDir, storeName)}
	f, err := s.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.begin(ladder); err != nil {
			return nil, err
		}
		return s, nil
	case err != nil:
		return nil, err
	}
	i := slices.IndexFunc(ladder, func(r rung) bool { return r.name() == f.Rung })
	if i < 0 {
		return nil, &Error{CodeKeyMissing, "the key is kept in a way that this system does not have: " + f.Rung,
			"open the state folder on the system that made it", nil}
	}
	key, err := ladder[i].load()
	switch {
	case errors.Is(err, errNoKey):
		return nil, &Error{CodeKeyMissing, "the key of the secrets in " + s.path + " is not there: " + ladder[i].where(),
			"bring it back, or move " + storeName + " away and enrol this host again", err}
	case err != nil:
		return nil, err
	}
	s.key, s.rung = key, f.Rung
	if _, err := f.open(s.key, forCheck, Ref{}); err != nil {
		return nil, &Error{CodeKeyMismatch, "the secrets in " + s.path + " were sealed under another key than that in " + ladder[i].where(),
			"bring the right key back, or move " + storeName + " away and enrol this host again", err}
	}
	return s, nil
}

// begin takes the first rung that has a key or can keep one. The key is kept before
// anything is sealed under it.
func (s *Store) begin(ladder []rung) error {
	for _, r := range ladder {
		key, err := r.take()
		if errors.Is(err, errNotOffered) {
			continue
		}
		if err != nil {
			return err
		}
		s.key, s.rung = key, r.name()
		f := &file{Version: fileVersion, Rung: s.rung}
		if err := f.put(s.key, forCheck, Ref{}, Value{}); err != nil {
			return err
		}
		return f.write(s.path)
	}
	return &Error{CodeKeyUnusable, "no place for a key was found", "make the state folder writable for the agent", nil}
}

// Rung says where the key is, in words to show.
func (s *Store) Rung() string { return s.rung }

// Get returns a secret, or an error that is ErrNotFound, or one with CodeIntegrity
// if the file was tampered with.
func (s *Store) Get(ref Ref) (Value, error) { return s.get(forRepository, ref) }

// Kept lists the secrets of repositories that are kept here; nil where that cannot be read.
func (s *Store) Kept() []Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return nil
	}
	var kept []Ref
	for _, e := range f.Sealed {
		if e.Purpose == forRepository {
			kept = append(kept, Ref{e.ID, e.Version})
		}
	}
	return kept
}

// Put keeps a secret, in place of one with the same id and version. When it returns
// nil, the secret outlasts a power loss.
func (s *Store) Put(ref Ref, v Value) error { return s.put(forRepository, ref, v) }

// Replace is Put, and forgets all other versions of the secret in the same write.
func (s *Store) Replace(ref Ref, v Value) error {
	return s.change(func(f *file) (bool, error) {
		f.Sealed = slices.DeleteFunc(f.Sealed, func(e sealed) bool {
			return e.Purpose == forRepository && e.ID == ref.ID && e.Version != ref.Version
		})
		return true, f.put(s.key, forRepository, ref, v)
	})
}

// Identity returns the agent's own secret and what names it, or an error as Get.
func (s *Store) Identity() (Value, error) { return s.get(forIdentity, Ref{}) }

// SetIdentity keeps the agent's own secret, in place of the last.
func (s *Store) SetIdentity(v Value) error { return s.put(forIdentity, Ref{}, v) }

// Forget removes every secret of a repository that keep does not name. The identity
// stays.
func (s *Store) Forget(keep []Ref) error {
	return s.change(func(f *file) (bool, error) {
		before := len(f.Sealed)
		f.Sealed = slices.DeleteFunc(f.Sealed, func(e sealed) bool {
			return e.Purpose == forRepository && !slices.Contains(keep, Ref{e.ID, e.Version})
		})
		return len(f.Sealed) != before, nil
	})
}

func (s *Store) get(purpose string, ref Ref) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return Value{}, err
	}
	return f.open(s.key, purpose, ref)
}

func (s *Store) put(purpose string, ref Ref, v Value) error {
	return s.change(func(f *file) (bool, error) { return true, f.put(s.key, purpose, ref, v) })
}

// change rewrites the file, unless it cannot be read or nothing has changed.
func (s *Store) change(do func(*file) (changed bool, err error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return err
	}
	changed, err := do(f)
	if err != nil || !changed {
		return err
	}
	return f.write(s.path)
}

// insecure gives what custody found a code.
func insecure(err error) error {
	var p *custody.Problem
	if errors.As(err, &p) {
		return &Error{CodeInsecure, p.Path + " " + p.What, p.Mend, err}
	}
	return fmt.Errorf("look at the agent's secrets: %w", err)
}
