//go:build unix

package secret

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zalando/go-keyring"
)

// fakeRing is a keyring in memory that can be made to fail.
type fakeRing struct {
	mu    sync.Mutex
	items map[string]string
	fail  error
	hang  chan struct{} // if set, answers come when it is closed
	lossy bool          // takes values and gives others back
}

func (f *fakeRing) ready() error {
	if f.hang != nil {
		<-f.hang
	}
	return f.fail
}

func (f *fakeRing) Set(service, account, value string) error {
	if err := f.ready(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items[service+"/"+account] = value
	return nil
}

func (f *fakeRing) Get(service, account string) (string, error) {
	if err := f.ready(); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	value, ok := f.items[service+"/"+account]
	if !ok {
		return "", keyring.ErrNotFound
	}
	if f.lossy {
		value = ""
	}
	return value, nil
}

func (f *fakeRing) Delete(service, account string) error {
	if err := f.ready(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.items, service+"/"+account)
	return nil
}

func ladderWith(dir string, keys keys) []rung {
	return []rung{credential{}, ring{keys: keys, account: dir, offered: true, limit: 50 * time.Millisecond}, keyFile{filepath.Join(dir, "key")}}
}

func TestAKeyringThatWorksHoldsTheKey(t *testing.T) {
	dir := stateDir(t)
	keys := &fakeRing{items: map[string]string{}}
	s, err := open(dir, ladderWith(dir, keys))
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, Ref{"r1", 1}, "a")
	if s.Rung() != "keyring" || len(keys.items) != 1 {
		t.Errorf("got rung %q and the items %v, want the key alone", s.Rung(), keys.items)
	}
	if _, err := os.Stat(filepath.Join(dir, "key")); err == nil {
		t.Error("the key is in a file too")
	}
	s, err = open(dir, ladderWith(dir, keys))
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, s, Ref{"r1", 1}, "a")

	// Once the key is there, it is looked for nowhere else.
	keys.fail = errors.New("locked")
	_, err = open(dir, ladderWith(dir, keys))
	wantCode(t, err, CodeKeyUnusable)
	keys.fail, keys.items = nil, map[string]string{}
	_, err = open(dir, ladderWith(dir, keys))
	wantCode(t, err, CodeKeyMissing)
}

func TestAKeyringThatDoesNotWorkIsPassedBy(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	for name, keys := range map[string]*fakeRing{
		"it fails":              {items: map[string]string{}, fail: errors.New("dial unix /nonexistent: no such file")},
		"it does not answer":    {items: map[string]string{}, hang: never},
		"it gives back another": {items: map[string]string{}, lossy: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			s, err := open(dir, ladderWith(dir, keys))
			if err != nil {
				t.Fatal(err)
			}
			if s.Rung() != "file" {
				t.Errorf("got rung %q", s.Rung())
			}
			keys.fail, keys.lossy = nil, false
			if s, err = open(dir, ladderWith(dir, keys)); err != nil || s.Rung() != "file" {
				t.Errorf("a keyring that came later was used: %v", err)
			}
		})
	}
}

func TestTheCredentialOfSystemdComesFirst(t *testing.T) {
	dir, credentials := stateDir(t), t.TempDir()
	key := strings.Repeat("0a", 32)
	if err := os.WriteFile(filepath.Join(credentials, "restic-manager-agent.key"), []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	service := func(name string) string { return map[string]string{"CREDENTIALS_DIRECTORY": credentials}[name] }
	s, err := Open(dir, service)
	if err != nil {
		t.Fatal(err)
	}
	if s.Rung() != "systemd credential" || hex.EncodeToString(s.key) != key {
		t.Errorf("got rung %q", s.Rung())
	}
	_, err = Open(dir, bare) // by hand, outside of the service
	wantCode(t, err, CodeKeyMissing)
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got %v, want the store alone", entries)
	}
	if err := os.Truncate(filepath.Join(credentials, "restic-manager-agent.key"), 0); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, service)
	wantCode(t, err, CodeKeyInvalid)
}

func TestWithoutASessionTheKeyringIsNotAsked(t *testing.T) {
	if ringOffered(bare) {
		t.Error("the keyring is asked without a session")
	}
	session := func(string) string { return "unix:path=/run/user/1000/bus" }
	if got, want := ringOffered(session), os.Geteuid() != 0; got != want {
		t.Errorf("in a session: got %v, want %v", got, want)
	}
}
