package restic

import (
	"fmt"
	"os"
	"path/filepath"
)

// binary is a program whose version is known.
type binary struct {
	info    os.FileInfo
	version Version
}

// same reports whether info is of this very file, unchanged.
func (b binary) same(info os.FileInfo) bool {
	return b.info != nil && os.SameFile(b.info, info) && b.info.ModTime().Equal(info.ModTime()) && b.info.Size() == info.Size()
}

// checkBinary refuses a program that another user could have put there or could
// replace. See Config.Binary for the rule.
func checkBinary(path string) (os.FileInfo, error) {
	if path == "" {
		return nil, missingBinary("no path of restic is configured")
	}
	if !filepath.IsAbs(path) {
		return nil, insecureBinary("the path of restic is not absolute", "write the whole path, such as /usr/bin/restic")
	}
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return nil, missingBinary("there is no restic at " + firstLine(path))
	}
	if err != nil {
		return nil, &Error{Code: CodeResticMissing, Message: "restic cannot be looked at", Next: "check the rights on its folders", Err: err}
	}
	if !info.Mode().IsRegular() {
		return nil, insecureBinary(firstLine(path)+" is not a regular file", "set the path of the program itself")
	}
	if err := checkOwnership(filepath.Clean(path)); err != nil {
		return nil, err
	}
	return info, nil
}

func missingBinary(message string) error {
	return &Error{
		Code: CodeResticMissing, Message: message,
		Next: fmt.Sprintf("install restic %s or newer on this host, or set its path in the agent's configuration", MinVersion),
	}
}

func insecureBinary(message, next string) error {
	return &Error{Code: CodeResticBinaryInsecure, Message: message, Next: next}
}
