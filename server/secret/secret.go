// Package secret seals credentials before they are stored, so that a stolen database
// gives nothing away without the key file.
//
// # Vocabulary
//
//   - A master key is 32 random bytes in the key file, one per line in hexadecimal.
//     The first is the current one and seals; the others still open. A key is named
//     by its id, a part of its hash.
//   - Each secret has a data key of its own, which is stored beside it, wrapped under
//     a master key. To change the master key, data keys are wrapped anew; secrets are
//     not touched.
//   - A binding says where a sealed text lies: table, row, column, version. It is
//     authenticated, so that a text that was moved elsewhere does not open there.
//   - The check value is a sealed constant in the database. With it a wrong key file
//     is found at the start, and not when the first secret is needed.
//
// # Form
//
// A sealed text is "rm1.", a list of wraps separated by commas, ".", and the box.
// A wrap is kind:key id:wrapped data key. The only kind is "m", a master key; texts
// with wraps of kinds to come, for recovery keys off the server, open all the same
// if one wrap is known. Boxes and wraps are AES-256-GCM with a random nonce before
// them, in unpadded URL-safe base64.
//
// The package imports nothing of ours; what is secret goes in and out as bytes.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Codes of errors.
const (
	CodeKeyMissing  = "master_key_missing"  // there are sealed secrets, and no key file
	CodeKeyInvalid  = "master_key_invalid"  // the key file is not understood
	CodeKeyInsecure = "master_key_insecure" // others can read or change the key file
	CodeKeyMismatch = "master_key_mismatch" // the key file is another database's
	CodeIntegrity   = "secret_integrity"    // a sealed text was changed, or moved
)

// Error says what is wrong with a key or a sealed text. It holds neither.
type Error struct {
	Code    string
	Message string // in plain words
	Next    string // what helps
	Err     error  // the cause, for the log
}

func (e *Error) Error() string { return e.Code + ": " + e.Message + "; " + e.Next }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Binding says where a sealed text lies. Version is the row's, so that an older text
// of the same row does not open either.
type Binding struct {
	Table, Row, Column string
	Version            int64
}

// Keys are the master keys of a server. They do not change and may be used by
// several goroutines.
type Keys struct{ list []key }

type key struct {
	id   string
	wrap cipher.AEAD
}

const (
	keySize    = 32
	prefix     = "rm1."
	kindMaster = "m"
)

// newKeys makes Keys of the keys themselves, the current one first.
func newKeys(raw [][]byte) (*Keys, error) {
	k := &Keys{}
	for _, r := range raw {
		sum := sha256.Sum256(append([]byte("restic-manager key id "), r...))
		derived, err := hkdf.Key(sha256.New, r, nil, "restic-manager wrap 1", keySize)
		if err != nil {
			return nil, fmt.Errorf("derive a key: %w", err)
		}
		wrap, err := newAEAD(derived)
		if err != nil {
			return nil, err
		}
		k.list = append(k.list, key{hex.EncodeToString(sum[:6]), wrap})
	}
	return k, nil
}

func newAEAD(k []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return aead, nil
}

// KeyID names the current master key. It tells nothing about it.
func (k *Keys) KeyID() string { return k.list[0].id }

// Seal seals a secret for the place where it will lie, under the current key. The
// same secret is never sealed to the same text twice.
func (k *Keys) Seal(b Binding, plain []byte) (string, error) {
	data := make([]byte, keySize)
	_, _ = rand.Read(data) // never fails: the program would end instead
	box, err := newAEAD(data)
	if err != nil {
		return "", err
	}
	return prefix + k.wrapped(data) + "." + encode(box.Seal(nil, nil, plain, b.bytes())), nil
}

// Open returns what was sealed for this place. Its errors are of type *Error, with
// CodeIntegrity or, where none of the keys is the text's, CodeKeyMismatch.
func (k *Keys) Open(b Binding, sealed string) ([]byte, error) {
	wraps, boxText, err := split(sealed)
	if err != nil {
		return nil, err
	}
	data, _, err := k.unwrap(wraps)
	if err != nil {
		return nil, err
	}
	box, err := newAEAD(data)
	if err != nil {
		return nil, integrity()
	}
	cipherText, err := decode(boxText)
	if err != nil {
		return nil, integrity()
	}
	plain, err := box.Open(nil, nil, cipherText, b.bytes())
	if err != nil {
		return nil, integrity()
	}
	return plain, nil
}

// Rewrap returns the text with its data key wrapped under the current master key,
// and whether that changes it. Wraps for recipients other than master keys stay. The
// secret is not opened, so it needs no binding; repeating it changes nothing.
func (k *Keys) Rewrap(sealed string) (string, bool, error) {
	wraps, box, err := split(sealed)
	if err != nil {
		return "", false, err
	}
	data, under, err := k.unwrap(wraps)
	if err != nil {
		return "", false, err
	}
	if under == k.KeyID() {
		return sealed, false, nil
	}
	kept := []string{k.wrapped(data)}
	for _, w := range wraps {
		if !strings.HasPrefix(w, kindMaster+":") {
			kept = append(kept, w)
		}
	}
	return prefix + strings.Join(kept, ",") + "." + box, true, nil
}

// wrapped is a data key under the current master key.
func (k *Keys) wrapped(data []byte) string {
	current := k.list[0]
	return kindMaster + ":" + current.id + ":" + encode(current.wrap.Seal(nil, nil, data, wrapBinding(current.id)))
}

// unwrap returns the data key and the id of the master key that it was wrapped under.
func (k *Keys) unwrap(wraps []string) (data []byte, under string, err error) {
	var ids []string
	for _, w := range wraps {
		parts := strings.Split(w, ":")
		if len(parts) != 3 || parts[0] != kindMaster {
			continue
		}
		ids = append(ids, parts[1])
		for _, candidate := range k.list {
			if candidate.id != parts[1] {
				continue
			}
			sealed, err := decode(parts[2])
			if err != nil {
				return nil, "", integrity()
			}
			data, err := candidate.wrap.Open(nil, nil, sealed, wrapBinding(candidate.id))
			if err != nil {
				return nil, "", integrity()
			}
			return data, candidate.id, nil
		}
	}
	if len(ids) == 0 {
		return nil, "", integrity()
	}
	return nil, "", mismatch(strings.Join(ids, ", "), k)
}

// split takes a sealed text apart.
func split(sealed string) (wraps []string, box string, err error) {
	rest, ok := strings.CutPrefix(sealed, prefix)
	list, box, dot := strings.Cut(rest, ".")
	if !ok || !dot {
		return nil, "", integrity()
	}
	return strings.Split(list, ","), box, nil
}

func integrity() error {
	return &Error{CodeIntegrity, "a stored secret was changed, or does not belong where it lies",
		"enter it again; if nobody changed the database by hand, restore it from a backup and ask who could write it", nil}
}

func mismatch(stored string, k *Keys) error {
	var have []string
	for _, one := range k.list {
		have = append(have, one.id)
	}
	return &Error{CodeKeyMismatch,
		fmt.Sprintf("the database was sealed under the key with id %s, the key file has %s", stored, strings.Join(have, ", ")),
		"bring back the key file that belongs to this database; a new key opens nothing", nil}
}

// bytes writes a binding so that no two are alike: each part after its length.
func (b Binding) bytes() []byte {
	out := []byte("restic-manager secret 1")
	for _, part := range []string{b.Table, b.Row, b.Column} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...) //guard:sealed-binding
	}
	out = binary.BigEndian.AppendUint64(out, uint64(b.Version)) //guard:sealed-version
	return out
}

func wrapBinding(keyID string) []byte { return []byte("restic-manager data key 1 " + keyID) }

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }
