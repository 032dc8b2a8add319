package upkeep

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// acceptedKeys is the file with the keys that root has accepted. It is beside the ledgers,
// and no part of one: a ledger is written by one job at a time.
const acceptedKeys = "accepted-keys"

// AcceptKey has a key, by its full id, count as known from the next look on. An id stands
// for the content of a key's file, so it is one repository's.
func AcceptKey(folder, id string) error {
	if !objectName.MatchString(id) { //guard:accept-id
		return fmt.Errorf("%q is no key: give the full id of 64 hexadecimal digits, as inspect names it", id)
	}
	known, err := AcceptedKeys(folder)
	if err != nil || known[id] {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("accept key: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, acceptedKeys), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("accept key: %w", err)
	}
	_, err = file.WriteString(id + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("accept key: %w", err)
	}
	return nil
}

// AcceptedKeys are the ids that root has accepted.
func AcceptedKeys(folder string) (map[string]bool, error) {
	file, err := os.Open(filepath.Join(folder, acceptedKeys))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the accepted keys: %w", err)
	}
	defer file.Close()
	ids := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		ids[strings.TrimSpace(lines.Text())] = true
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the accepted keys: %w", err)
	}
	return ids, nil
}
