package secret

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"

	"restic-manager/agent/custody"
)

// ringOffered reports whether this is the account of services. What an administrator
// keeps while enrolling is out of a service's reach.
func ringOffered(func(string) string) bool {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	return err == nil && user.User.Sid.IsWellKnown(windows.WinLocalSystemSid)
}

func systemRungs(stateDir string) []rung { return []rung{dpapi{filepath.Join(stateDir, "key.dpapi")}} }

// dpapi is a file for the agent alone that only this machine can decrypt.
type dpapi struct{ path string }

func (d dpapi) name() string  { return "DPAPI" }
func (d dpapi) where() string { return d.path }

func (d dpapi) load() ([]byte, error) {
	blob, err := readKey(d.path, custody.Private)
	if err != nil {
		return nil, err
	}
	in, entropy := dataBlob(blob), dataBlob([]byte(ringService))
	var out windows.DataBlob
	if err := windows.CryptUnprotectData(&in, nil, &entropy, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return nil, &Error{CodeKeyUnusable, "Windows does not decrypt the key in " + d.path,
			"it works on the machine that made it: move " + storeName + " and the key away and enrol this host again", err}
	}
	key := taken(out)
	return parseKey(key, d.path)
}

func (d dpapi) take() ([]byte, error) {
	key, err := d.load()
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	key = newKey()
	in, entropy := dataBlob([]byte(hex.EncodeToString(key))), dataBlob([]byte(ringService))
	var out windows.DataBlob
	err = windows.CryptProtectData(&in, nil, &entropy, 0, nil, windows.CRYPTPROTECT_LOCAL_MACHINE|windows.CRYPTPROTECT_UI_FORBIDDEN, &out)
	if err != nil {
		return nil, errors.Join(errNotOffered, err)
	}
	if err := custody.Create(d.path, taken(out)); err != nil {
		return nil, fmt.Errorf("keep the key: %w", err)
	}
	return key, nil
}

func dataBlob(data []byte) windows.DataBlob {
	return windows.DataBlob{Size: uint32(len(data)), Data: unsafe.SliceData(data)}
}

// taken copies what Windows allocated, and frees it.
func taken(b windows.DataBlob) []byte {
	data := append([]byte(nil), unsafe.Slice(b.Data, b.Size)...)
	_, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(b.Data)))
	return data
}
