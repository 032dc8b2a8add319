//go:build unix

package secret

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// exposed says what is wrong with the owner or the bits of a key file, and what helps.
func exposed(path string, info fs.FileInfo) (what, next string) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to user %d", st.Uid), fmt.Sprintf("give it to the server's user: chown %d %q", os.Geteuid(), path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "can be read or changed by others", fmt.Sprintf("run: chmod 0600 %q", path)
	}
	return "", ""
}

// syncFolder brings a new name to the disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return d.Close()
}
