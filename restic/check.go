package restic

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// The checks of what people type for a backup. They know both systems' paths,
// since the server checks what an agent on another system will run.

var (
	tagPattern       = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	hostLabelPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	drivePath        = regexp.MustCompile(`^[A-Za-z]:[\\/]`)
)

const maxPathLength = 32 << 10

// CheckSource refuses a path that is not absolute, on unix or on windows.
func CheckSource(source string) error {
	invalid := func(message string) error {
		return &Error{Code: CodeSourceInvalid, Message: message, Next: `write it from the root: /home or C:\Users`}
	}
	switch {
	case source == "":
		return invalid("the path is empty")
	case len(source) > maxPathLength:
		return invalid(fmt.Sprintf("the path is longer than %d bytes", maxPathLength))
	case strings.ContainsRune(source, 0): //guard:restic-source-nul
		return invalid("the path has a NUL character, which no file name can have")
	case !strings.HasPrefix(source, "/") && !drivePath.MatchString(source) && !strings.HasPrefix(source, `\\`):
		return invalid("the path is not absolute")
	}
	return nil
}

// CheckExclude refuses a pattern that restic would refuse, and those that cannot
// be handed to it unchanged in a file of lines.
func CheckExclude(pattern string) error {
	invalid := func(message, next string) error {
		return &Error{Code: CodeExcludeInvalid, Message: message, Next: next}
	}
	switch {
	case pattern == "" || pattern == "!":
		return invalid("the pattern is empty", "remove it")
	case len(pattern) > maxPathLength:
		return invalid(fmt.Sprintf("the pattern is longer than %d bytes", maxPathLength), "shorten it")
	case strings.ContainsAny(pattern, "\x00\r\n"): //guard:restic-exclude-lines
		return invalid("the pattern has a line break or NUL character", "put ? in its place: it matches any one character")
	case strings.TrimFunc(pattern, unicode.IsSpace) != pattern:
		return invalid("the pattern begins or ends with a blank", "write that blank as [ ]")
	}
	for _, part := range strings.Split(strings.TrimPrefix(pattern, "!"), "/") {
		if _, err := path.Match(part, "a"); err != nil && !drivePath.MatchString(pattern) {
			return invalid("the pattern has an unfinished [ or \\", "close the bracket, or write [[] for a bracket in a name")
		}
	}
	return nil
}

// excludeList writes patterns as lines that mean what they mean after --exclude.
// In such a file restic skips lines that begin with # and replaces $NAME; a first
// comment keeps a pattern's own bytes from being taken for a byte order mark.
func excludeList(patterns []string) []byte {
	var b strings.Builder
	b.WriteString("# patterns of the schedule\n")
	for _, pattern := range patterns {
		if strings.HasPrefix(pattern, "#") {
			pattern = "[#]" + pattern[1:]
		}
		b.WriteString(strings.ReplaceAll(pattern, "$", "$$"))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// CheckTag refuses a tag that restic would split or that is reserved: those
// beginning with "rm:" say which schedule and job a snapshot belongs to.
func CheckTag(tag string) error {
	if strings.HasPrefix(strings.ToLower(tag), "rm:") { //guard:restic-tag
		return &Error{Code: CodeTagInvalid, Message: "tags that begin with rm: are reserved", Next: "choose another tag"}
	}
	if !tagPattern.MatchString(tag) { //guard:restic-tag-signs
		return tagError()
	}
	return nil
}

func tagError() *Error {
	return &Error{
		Code:    CodeTagInvalid,
		Message: "a tag has 1 to 64 letters, digits and the signs . _ : -",
		Next:    "choose another tag",
	}
}

// joinTags makes one filter that a snapshot matches when it has all the tags.
func joinTags(tags []string) string { return strings.Join(tags, ",") }

// CheckHost refuses what is not a host name.
func CheckHost(host string) error {
	valid := host != "" && len(host) <= 253
	for _, label := range strings.Split(host, ".") {
		valid = valid && hostLabelPattern.MatchString(label)
	}
	if valid {
		return nil
	}
	return &Error{
		Code:    CodeFieldInvalid,
		Field:   "host",
		Message: "is not a host name: letters, digits, _ and -, in parts joined by dots",
		Next:    "give the machine's name",
	}
}

func hostErrors(host string) Errors {
	var e *Error
	if errors.As(CheckHost(host), &e) {
		return Errors{e}
	}
	return nil
}

// entryErrors says which entry of a list a mistake is in.
func entryErrors(field string, index int, err error) Errors {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	numbered := *e
	numbered.Field = fmt.Sprintf("%s[%d]", field, index)
	return Errors{&numbered}
}
