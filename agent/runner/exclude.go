package runner

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"restic-manager/agent/policy"
	"restic-manager/restic"
)

// CodeExcludeFile is of a schedule whose file with patterns cannot be used.
const CodeExcludeFile = "exclude_file_unreadable"

// maxExcludeFile is the size of a file with patterns.
const maxExcludeFile = 1 << 20

// excludes are the patterns of a backup: the schedule's, then those of its files. The agent
// reads the files, so that the policy is asked about the patterns that hold.
func (t *Task) excludes(rules *policy.Policy) ([]string, error) {
	all := append([]string{}, t.Schedule.Excludes...)
	for _, path := range t.Schedule.Options.ExcludeFiles {
		if err := rules.AllowRead(path); err != nil { //guard:exclude-file-place
			return nil, err
		}
		patterns, err := readPatterns(path)
		if err != nil {
			return nil, &policy.Refusal{Code: CodeExcludeFile, What: fmt.Sprintf("the file %s with patterns of what to leave out cannot be used: %s", clip(path, 500), err),
				Next: "correct the file, or take it out of the schedule"}
		}
		all = append(all, patterns...)
	}
	return all, nil
}

// readPatterns reads a file as restic's --exclude-file does, but for variables: $NAME is
// that text.
func readPatterns(path string) ([]string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): //guard:exclude-file-kind
		return nil, fmt.Errorf("it is no regular file")
	case info.Size() > maxExcludeFile:
		return nil, fmt.Errorf("it is larger than %d bytes", maxExcludeFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxExcludeFile))
	if err != nil {
		return nil, err
	}
	var patterns []string
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.ReplaceAll(line, "$$", "$")
		if err := restic.CheckExclude(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		patterns = append(patterns, line)
	}
	return patterns, nil
}
