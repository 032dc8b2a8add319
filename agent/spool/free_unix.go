//go:build !windows

package spool

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeSpace tells what the file system of dir has free for us, and in all.
func freeSpace(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	block := uint64(st.Bsize)
	return uint64(st.Bavail) * block, uint64(st.Blocks) * block, nil
}
