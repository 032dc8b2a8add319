package policy

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	drive      = regexp.MustCompile(`^[A-Za-z]:\\`)
	shortName  = regexp.MustCompile(`~[0-9]`)
	deviceName = regexp.MustCompile(`(?i)^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)`)
)

// wholeMachine is where sources may lie when the policy does not say: on a drive,
// and not on another machine's share.
func wholeMachine(path string) bool { return drive.MatchString(path) }

// comparable is the form of a path in which equal means the same, as nearly as can
// be said without asking the file system.
func comparable(path string) string { return strings.ToLower(path) }

// checkForm refuses names that Windows reads in another way than they are written:
// devices, streams of a file, short names, dots and blanks at an end.
func checkForm(path string) error {
	if strings.HasPrefix(path, `\\?\`) || strings.HasPrefix(path, `\\.\`) || strings.HasPrefix(path, `\??\`) {
		return errors.New("the path is in the form for devices")
	}
	for part := range strings.SplitSeq(path[len(filepath.VolumeName(path)):], `\`) {
		switch {
		case strings.Contains(part, ":"):
			return errors.New("the path names a stream of a file")
		case strings.TrimRight(part, ". ") != part:
			return errors.New("a part of the path ends with a dot or a blank")
		case shortName.MatchString(part):
			return errors.New("the path has a short name")
		case deviceName.MatchString(part):
			return errors.New("the path has the name of a device")
		}
	}
	return nil
}

// literal are the signs that mean something in a pattern of restic; a backslash
// separates the parts of a path.
const literal = `*?[`
