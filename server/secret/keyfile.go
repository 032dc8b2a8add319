package secret

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxKeyFile = 64 << 10

// Load returns the keys for a database, from its key file and its check value.
//
// A database without a check value is new: for it a key file is made if there is
// none. The check value to be stored is returned; it is "" where the stored one is
// good. When several servers begin at once, the first check value that is stored
// counts, and the others ask Verify about it.
//
// A database with a check value has sealed secrets: a key file that is missing or
// another's is an error (CodeKeyMissing, CodeKeyMismatch), never a reason for a new
// key.
func Load(path, check string) (k *Keys, newCheck string, err error) {
	k, err = ReadKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if check != "" {
			return nil, "", &Error{CodeKeyMissing, "the key file " + path + " is not there, and the database has secrets that need it",
				"bring the key file back; a new key opens nothing", err}
		}
		if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, "", fmt.Errorf("make the key file: %w", err)
		}
		k, err = ReadKeys(path) // also when another server has just made it
	}
	if err != nil {
		return nil, "", err
	}
	if check == "" {
		newCheck, err = k.Check()
		return k, newCheck, err
	}
	if err := k.Verify(check); err != nil { //guard:sealed-check
		return nil, "", err
	}
	renewed, changed, err := k.Rewrap(check)
	if err != nil || !changed {
		return k, "", err
	}
	return k, renewed, nil
}

// checkBinding is where the check value lies.
func checkBinding() Binding { return Binding{Table: "meta", Row: "sealing_check", Column: "value"} }

const checkText = "the key file belongs to this database"

// Check returns a new check value, sealed under the current key.
func (k *Keys) Check() (string, error) { return k.Seal(checkBinding(), []byte(checkText)) }

// Verify returns an *Error with CodeKeyMismatch if a check value was sealed under a
// key that is not among these, or CodeIntegrity if it was changed.
func (k *Keys) Verify(check string) error {
	text, err := k.Open(checkBinding(), check)
	if err != nil {
		return err
	}
	if string(text) != checkText {
		return integrity()
	}
	return nil
}

// ReadKeys reads a key file that nobody but its owner, who is root or this process's
// user, can read. It returns an error that is fs.ErrNotExist if there is none.
func ReadKeys(path string) (*Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{CodeKeyInvalid, path + " is not a file", "put the key file there", nil}
	}
	if what, next := exposed(path, info); what != "" { //guard:sealed-keyfile
		return nil, &Error{CodeKeyInsecure, path + " " + what, next, nil}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	return parseKeys(path, data)
}

// parseKeys reads one key per line. Empty lines and those that begin with # are
// passed over.
func parseKeys(path string, data []byte) (*Keys, error) {
	var raw [][]byte
	lines := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; lines.Scan(); number++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		one, err := hex.DecodeString(text)
		if err != nil || len(one) != keySize {
			return nil, &Error{CodeKeyInvalid, fmt.Sprintf("line %d of %s is not a key of 64 hexadecimal digits", number, path),
				"bring the right key file back; a first one can be made by: openssl rand -hex 32", nil}
		}
		raw = append(raw, one)
	}
	if len(raw) == 0 || lines.Err() != nil {
		return nil, &Error{CodeKeyInvalid, path + " holds no key",
			"bring the right key file back; a first one can be made by: openssl rand -hex 32", lines.Err()}
	}
	return newKeys(raw)
}

// create makes a key file, whole or not at all, and never replaces one. What is
// sealed under the key is lost with it, so it is on the disk before it is used.
func create(path string) error {
	one := make([]byte, keySize)
	_, _ = rand.Read(one)                                                     // never fails: the program would end instead
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "# The key of restic-manager's stored secrets. Keep a copy apart from the database.\n%x\n", one)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), path) // fails where a file lies; a rename would replace it
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
