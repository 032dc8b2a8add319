package restictest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	//lint:ignore SA1019 it is what restic's own format takes
	"golang.org/x/crypto/poly1305"
	"golang.org/x/crypto/scrypt"
)

// MasterKey is what the password of a repository opens.
type MasterKey struct {
	MAC struct {
		K []byte `json:"k"`
		R []byte `json:"r"`
	} `json:"mac"`
	Encrypt []byte `json:"encrypt"`
}

// Seal encrypts as restic does.
func (k MasterKey) Seal(plain []byte) []byte {
	sealed := make([]byte, 16, 16+len(plain)+16)
	_, _ = rand.Read(sealed) // never fails
	block, err := aes.NewCipher(k.Encrypt)
	if err != nil {
		panic(err) // not 32 bytes: no key of restic
	}
	body := make([]byte, len(plain))
	cipher.NewCTR(block, sealed).XORKeyStream(body, plain)
	mac, err := aes.NewCipher(k.MAC.K)
	if err != nil {
		panic(err)
	}
	var key [32]byte
	copy(key[:16], k.MAC.R)
	mac.Encrypt(key[16:], sealed[:16])
	var tag [16]byte
	poly1305.Sum(&tag, body, &key)
	return append(append(sealed, body...), tag[:]...)
}

// CheapKey gives the repository in a folder another key for its password, one that costs a
// millisecond to open instead of half a second of a processor, and removes the one that
// it had. It is for tests that run restic a hundred times: what they test is not how
// well a password is guarded. program is the path of a restic.
func CheapKey(t testing.TB, program, folder, password string) {
	t.Helper()
	cat := exec.CommandContext(t.Context(), program, "--no-cache", "--no-lock", "--quiet", "cat", "masterkey")
	cat.Env = []string{"RESTIC_REPOSITORY=" + folder, "RESTIC_PASSWORD=" + password, "HOME=" + t.TempDir()}
	master, err := cat.Output()
	if err != nil {
		t.Fatalf("read the master key: %v", err)
	}
	var key MasterKey
	if err := json.Unmarshal(master, &key); err != nil {
		t.Fatal(err)
	}
	cheap, err := cheapKey(key, password)
	if err != nil {
		t.Fatal(err)
	}
	replaceKeys(t, filepath.Join(folder, "keys"), cheap)
}

// cheapKey is a key file by which a password opens a master key at little cost.
func cheapKey(master MasterKey, password string) ([]byte, error) {
	const n, r, p = 1 << 10, 8, 1
	salt := make([]byte, 64)
	_, _ = rand.Read(salt)
	derived, err := scrypt.Key([]byte(password), salt, n, r, p, 64)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(master)
	if err != nil {
		return nil, err
	}
	user := MasterKey{Encrypt: derived[:32]}
	user.MAC.K, user.MAC.R = derived[32:48], derived[48:]
	return json.Marshal(map[string]any{
		"created": time.Now(), "username": "root", "hostname": "test", "kdf": "scrypt", "N": n, "r": r, "p": p,
		"salt": salt, "data": user.Seal(plain),
	})
}

// writeKey stores a key under the name that its content gives, and returns that.
func writeKey(folder string, key []byte) (name string, err error) {
	sum := sha256.Sum256(key)
	name = hex.EncodeToString(sum[:])
	return name, os.WriteFile(filepath.Join(folder, name), key, 0o600)
}

// replaceKeys leaves one key in a folder.
func replaceKeys(t testing.TB, folder string, key []byte) {
	t.Helper()
	before, err := os.ReadDir(folder)
	if err != nil || len(before) != 1 {
		t.Fatalf("a new repository has %d keys, %v", len(before), err)
	}
	if _, err := writeKey(folder, key); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, before[0].Name())); err != nil {
		t.Fatal(err)
	}
}
