package policy

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// within reports whether path is root or below it, part by part. Both are clean.
func within(path, root string) bool {
	path, root = comparable(path), comparable(root)
	if path == root {
		return true
	}
	if !strings.HasSuffix(root, string(filepath.Separator)) {
		root += string(filepath.Separator)
	}
	return strings.HasPrefix(path, root)
}

func withinAny(path string, roots []string) bool {
	for _, root := range roots {
		if within(path, root) {
			return true
		}
	}
	return false
}

// resolve follows the links in the part of a path that exists and can be looked at.
// The rest is kept as it is: what is not there, or cannot be reached, the same user's
// restic does not reach either.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	up := filepath.Dir(path)
	unreachable := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR)
	if !unreachable || up == path {
		return "", err
	}
	real, err = resolve(up)
	if err != nil {
		return "", err
	}
	return filepath.Join(real, filepath.Base(path)), nil
}
