package secret

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"restic-manager/agent/custody"
)

// A rung is a place for the key.
type rung interface {
	name() string          // stable: it is kept in the store and shown
	where() string         // to be told to a person
	load() ([]byte, error) // the key, errNoKey, or an *Error
	take() ([]byte, error) // the key, or a new one that is kept, or errNotOffered
}

var (
	errNoKey      = errors.New("no key there")
	errNotOffered = errors.New("this host does not offer that")
)

// ladder returns the rungs of this host, best first.
func ladder(stateDir string, getenv func(string) string) []rung {
	rungs := []rung{credential{getenv("CREDENTIALS_DIRECTORY")}}
	rungs = append(rungs, ring{keys: systemRing{}, account: stateDir, offered: ringOffered(getenv), limit: ringLimit})
	rungs = append(rungs, systemRungs(stateDir)...)
	return append(rungs, keyFile{filepath.Join(stateDir, "key")})
}

const keySize = 32

// maxKey is more than any form of a key takes.
const maxKey = 4096

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: the program would end instead
	return key
}

// parseKey takes 32 bytes, or their 64 hexadecimal digits.
func parseKey(data []byte, where string) ([]byte, error) {
	if len(data) == keySize {
		return data, nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != keySize {
		return nil, &Error{CodeKeyInvalid, where + " does not hold 32 bytes or 64 hexadecimal digits",
			"bring the right key back; a new one can be made by: openssl rand -hex 32", nil}
	}
	return key, nil
}

// readKey reads a key that root or the agent has put into a file.
func readKey(path string, d custody.Demand) ([]byte, error) {
	data, err := custody.Read(path, d, maxKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, insecure(err)
	}
	return data, nil
}

// credential is what systemd decrypts for the service (LoadCredentialEncrypted=),
// possibly with the machine's TPM.
type credential struct{ folder string }

func (c credential) name() string  { return "systemd credential" }
func (c credential) where() string { return "the credential restic-manager-agent.key of the service" }

func (c credential) load() ([]byte, error) {
	if c.folder == "" {
		return nil, errNoKey
	}
	// systemd lets a service of another user read by an access list, which shows in
	// the bits of the group. Nobody else gets into the folder.
	data, err := readKey(filepath.Join(c.folder, "restic-manager-agent.key"), custody.Unchangeable)
	if err != nil {
		return nil, err
	}
	return parseKey(data, c.where())
}

func (c credential) take() ([]byte, error) {
	key, err := c.load()
	if errors.Is(err, errNoKey) {
		return nil, errNotOffered // only root can give one
	}
	return key, err
}

// ring is the keyring of the agent's own user.
type ring struct {
	keys    keys
	account string
	offered bool
	limit   time.Duration // of one answer
}

// keys is the part of a keyring that is used.
type keys interface {
	Set(service, account, value string) error
	Get(service, account string) (string, error)
	Delete(service, account string) error
}

type systemRing struct{}

func (systemRing) Set(service, account, value string) error {
	return keyring.Set(service, account, value)
}
func (systemRing) Get(service, account string) (string, error) { return keyring.Get(service, account) }
func (systemRing) Delete(service, account string) error        { return keyring.Delete(service, account) }

const (
	ringService = "restic-manager-agent"
	ringLimit   = 5 * time.Second
)

func (r ring) name() string  { return "keyring" }
func (r ring) where() string { return "the keyring of the agent's user" }

func (r ring) load() ([]byte, error) {
	if !r.offered {
		return nil, errNoKey
	}
	text, err := r.ask(func() (string, error) { return r.keys.Get(ringService, r.account) })
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return nil, errNoKey
	case err != nil:
		return nil, &Error{CodeKeyUnusable, "the keyring does not give the key", "unlock it, and see that its service runs for the agent's user", err}
	}
	return parseKey([]byte(text), r.where())
}

// take uses a keyring only where a canary has come back: most failures of a keyring
// show in nothing else.
func (r ring) take() ([]byte, error) {
	if !r.offered {
		return nil, errNotOffered
	}
	const canary = "canary"
	probe := hex.EncodeToString(newKey())
	got, err := r.ask(func() (string, error) {
		if err := r.keys.Set(ringService, r.account+" "+canary, probe); err != nil {
			return "", err
		}
		got, err := r.keys.Get(ringService, r.account+" "+canary)
		return got, errors.Join(err, r.keys.Delete(ringService, r.account+" "+canary))
	})
	if err != nil || got != probe {
		return nil, errNotOffered
	}
	key, err := r.load()
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	key = newKey()
	_, err = r.ask(func() (string, error) { return "", r.keys.Set(ringService, r.account, hex.EncodeToString(key)) })
	if err != nil {
		return nil, errNotOffered
	}
	return key, nil
}

var errNoAnswer = errors.New("the keyring did not answer in time")

// ask waits for an answer no longer than the limit. The library cannot be stopped:
// what does not answer keeps a goroutine until it does.
func (r ring) ask(question func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := question()
		answers <- answer{text, err}
	}()
	late := time.NewTimer(r.limit)
	defer late.Stop()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-late.C:
		return "", errNoAnswer
	}
}

// keyFile is a file for the agent alone.
type keyFile struct{ path string }

func (k keyFile) name() string  { return "file" }
func (k keyFile) where() string { return k.path }

func (k keyFile) load() ([]byte, error) {
	data, err := readKey(k.path, custody.Private)
	if err != nil {
		return nil, err
	}
	return parseKey(data, k.path)
}

func (k keyFile) take() ([]byte, error) {
	key, err := k.load()
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	key = newKey()
	if err := custody.Create(k.path, []byte(hex.EncodeToString(key)+"\n")); err != nil {
		return nil, fmt.Errorf("keep the key: %w", err)
	}
	return key, nil
}
