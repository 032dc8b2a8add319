package upkeep

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"

	"restic-manager/restic"
)

const noWaiting = 0

func owns(restic.RunAs, fs.FileInfo) bool { return false }

func rootsAlone(fs.FileInfo) bool { return false }

// lock has nothing to take: a folder cannot be locked here, and jobs of one agent keep out
// of each other's way by themselves.
func lock(*os.File) error { return nil }

func unlock(*os.File) {}

// flush has nothing to do: folders are not written by themselves here.
func flush(*os.File) error { return nil }

// isNoLinks reports whether a link cannot be made because there are none here.
func isNoLinks(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) ||
		errors.Is(err, windows.ERROR_TOO_MANY_LINKS)
}
