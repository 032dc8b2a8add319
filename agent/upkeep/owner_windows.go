package upkeep

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

func ownerOf(fs.FileInfo) (uid, gid int) { return -1, -1 }

// isNoLinks reports whether a link cannot be made because there are none here.
func isNoLinks(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) ||
		errors.Is(err, windows.ERROR_TOO_MANY_LINKS)
}
