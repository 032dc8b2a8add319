package restictest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// master is the key of the repositories that CheapRepository makes, with the polynomial
// by which they cut files. A restic made it: one for all tests of a program.
var master struct {
	once       sync.Once
	key        MasterKey
	polynomial string
	err        error
}

// CheapRepository makes a repository of its own id in a folder, empty, as `restic init`
// would within some seconds: with a key that costs a millisecond, as [CheapKey] tells.
// program is the path of a restic. It returns the ids of the repository and of its key.
func CheapRepository(t testing.TB, program, folder, password string) (repository, key string) {
	t.Helper()
	master.once.Do(func() { master.err = makeMaster(program) })
	if master.err != nil {
		t.Fatalf("make a repository to copy: %v", master.err)
	}
	for _, inside := range []string{"keys", "locks", "snapshots", "index"} {
		mkdir(t, filepath.Join(folder, inside))
	}
	for i := range 256 {
		mkdir(t, filepath.Join(folder, "data", fmt.Sprintf("%02x", i)))
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	repository = hex.EncodeToString(id)
	config, err := json.Marshal(map[string]any{"version": 2, "id": repository, "chunker_polynomial": master.polynomial})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "config"), master.key.Seal(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cheap, err := cheapKey(master.key, password)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = writeKey(filepath.Join(folder, "keys"), cheap); err != nil {
		t.Fatal(err)
	}
	return repository, key
}

func mkdir(t testing.TB, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
}

// makeMaster reads the key of a repository that a restic makes and that goes at once.
func makeMaster(program string) error {
	top, err := os.MkdirTemp("", "rm-master-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(top)
	folder := filepath.Join(top, "repository")
	run := func(args ...string) ([]byte, error) {
		c := exec.Command(program, append([]string{"--no-cache", "--quiet"}, args...)...)
		c.Env = []string{"RESTIC_REPOSITORY=" + folder, "RESTIC_PASSWORD=master", "HOME=" + top}
		return c.Output()
	}
	if _, err := run("init"); err != nil {
		return err
	}
	out, err := run("--no-lock", "cat", "masterkey")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &master.key); err != nil {
		return err
	}
	if out, err = run("--no-lock", "cat", "config"); err != nil {
		return err
	}
	var config struct {
		Polynomial string `json:"chunker_polynomial"`
	}
	if err := json.Unmarshal(out, &config); err != nil {
		return err
	}
	if config.Polynomial == "" {
		return errors.New("its configuration names no polynomial")
	}
	master.polynomial = config.Polynomial
	return nil
}
