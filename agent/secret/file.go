package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"restic-manager/agent/custody"
	"restic-manager/restic"
)

// file is the content of the store, as JSON.
type file struct {
	Version int      `json:"version"`
	Rung    string   `json:"rung"` // where the key is
	Sealed  []sealed `json:"sealed"`
}

// sealed is one value under the key. What it is for, its id and its version are
// authenticated with it.
type sealed struct {
	Purpose string `json:"purpose"`
	ID      string `json:"id,omitempty"`
	Version int64  `json:"version,omitempty"`
	Box     []byte `json:"box"` // nonce, then XChaCha20-Poly1305
}

// content is what is in a box.
type content struct {
	Username string `json:"username,omitempty"`
	Secret   []byte `json:"secret"` // not every password is valid UTF-8
}

const (
	fileVersion = 1
	maxStore    = 4 << 20
)

// read returns the file, or an *Error, which is fs.ErrNotExist if there is none.
func (s *Store) read() (*file, error) {
	data, err := custody.Read(s.path, custody.Private, maxStore)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{CodeStoreDamaged, s.path + " is not there",
			"bring it back from a backup, or enrol this host again", err}
	}
	if err != nil {
		return nil, insecure(err)
	}
	f := &file{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil || f.Version != fileVersion || f.Rung == "" {
		return nil, &Error{CodeStoreDamaged, s.path + " is not understood",
			"bring it back from a backup, or move it away and enrol this host again", err}
	}
	return f, nil
}

func (f *file) write(path string) error {
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if len(data) >= maxStore { //guard:secret-store-size
		// It could not be read any more, and the agent's own identity is in it.
		return &Error{CodeStoreFull, fmt.Sprintf("the secrets for this host take more than %d bytes", maxStore),
			"look at the passwords and credentials of its repositories at the server", nil}
	}
	return custody.Replace(path, append(data, '\n'))
}

func (f *file) put(key []byte, purpose string, ref Ref, v Value) error {
	plain, err := json.Marshal(content{v.Username, []byte(v.Secret.Reveal())})
	if err != nil {
		return fmt.Errorf("seal a secret: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return fmt.Errorf("seal a secret: %w", err)
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	_, _ = rand.Read(nonce) // never fails: the program would end instead
	e := sealed{purpose, ref.ID, ref.Version, aead.Seal(nonce, nonce, plain, binding(purpose, ref))}
	if i := f.find(purpose, ref); i >= 0 {
		f.Sealed[i] = e
	} else {
		f.Sealed = append(f.Sealed, e)
	}
	return nil
}

func (f *file) open(key []byte, purpose string, ref Ref) (Value, error) {
	i := f.find(purpose, ref)
	if i < 0 {
		return Value{}, fmt.Errorf("%s %s version %d: %w", purpose, ref.ID, ref.Version, ErrNotFound)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return Value{}, fmt.Errorf("open a secret: %w", err)
	}
	damaged := &Error{CodeIntegrity, fmt.Sprintf("the secret for %s %s version %d was changed or put in another's place", purpose, ref.ID, ref.Version),
		"move " + storeName + " away and enrol this host again; ask who could write it", nil}
	box := f.Sealed[i].Box
	if len(box) < chacha20poly1305.NonceSizeX {
		return Value{}, damaged
	}
	plain, err := aead.Open(nil, box[:chacha20poly1305.NonceSizeX], box[chacha20poly1305.NonceSizeX:], binding(purpose, ref))
	if err != nil {
		return Value{}, damaged
	}
	var c content
	if json.Unmarshal(plain, &c) != nil {
		return Value{}, damaged
	}
	return Value{c.Username, restic.NewSecret(string(c.Secret))}, nil
}

func (f *file) find(purpose string, ref Ref) int {
	return slices.IndexFunc(f.Sealed, func(e sealed) bool {
		return e.Purpose == purpose && e.ID == ref.ID && e.Version == ref.Version
	})
}

// binding writes what a value is bound to, so that no two bindings are alike: each
// part is preceded by its length.
func binding(purpose string, ref Ref) []byte {
	b := []byte("restic-manager agent secret 1")
	for _, part := range []string{purpose, ref.ID} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...) //guard:host-sealed-binding
	}
	return binary.BigEndian.AppendUint64(b, uint64(ref.Version))
}
