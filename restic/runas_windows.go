package restic

import (
	"errors"
	"os"
)

const (
	runDirFD   = ""
	cacheDirFD = ""
)

// currentUser is never the number of a RunAs here.
func currentUser() uint32 { return 1 }

var errNoRunAs = errors.New("windows cannot start a program as the owner of a folder")

// OwnerOf returns an error: only a unix can start a restic as another user.
func OwnerOf(string) (RunAs, error) { return RunAs{}, errNoRunAs }

// UserNamed returns an error, as OwnerOf does.
func UserNamed(string) (RunAs, error) { return RunAs{}, errNoRunAs }

func (u RunAs) handOver(string, string) (run, cached *os.File, err error) {
	return nil, nil, errNoRunAs
}
