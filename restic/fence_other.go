//go:build !linux

package restic

import (
	"errors"
	"os"
	"path/filepath"
)

func canFence() bool { return false }

func becomeFenced([]string, []string) error { return errors.New("this system has no fence") }

func targetOf(folder *os.File) string {
	if folder == nil {
		return ""
	}
	return filepath.Join(folder.Name(), RestoredFolder)
}

func targetFolder(folder *os.File) string { return folder.Name() }

func inherited(*os.File) []*os.File { return nil }
