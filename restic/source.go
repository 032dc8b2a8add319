package restic

import (
	"fmt"
	"path/filepath"
	"strings"
)

// NamedSource is a script whose output is backed up as one file of the script's name.
// restic starts it. Unless it ends with exit code 0 and has written something there
// is no good backup: after another code restic makes no snapshot; where nothing was
// written it makes one without the file, and the result is a failure all the same.
type NamedSource struct {
	Script Script
	Env    []Variable // as a hook has
}

func (s *NamedSource) mistakes(b Backup) Errors {
	var errs Errors
	wrong := func(message string) {
		errs = append(errs, &Error{Code: CodeSourceInvalid, Field: "source", Message: message})
	}
	if len(b.Sources) > 0 {
		wrong("a schedule has either paths or a named source")
	}
	if !ScriptName(s.Script.Name) || !filepath.IsAbs(s.Script.Path) || filepath.Base(s.Script.Path) != s.Script.Name {
		wrong("must be the name of a script")
	}
	return errs
}

// command is what restic is to start: never the script itself, which would find in its
// environment what opens the storage.
func (s *NamedSource) command(starter string) []string {
	return append([]string{starter}, starterCommand(gateOpen, s.Script, s.Env)...)
}

// scriptWords is what restic puts before each line that its command writes to stderr.
func scriptWords(starter string) string { return "subprocess " + starter + ": " }

const commandFailed = "command failed: "

// sourceFailure is the failure of a backup whose script failed, nil for others.
func (f facts) sourceFailure() *Error {
	_, how, found := strings.Cut(f.said.exitMessage, commandFailed)
	if f.said.scriptWords == "" || !found {
		return nil
	}
	failure := failureOf(CodeSourceFailed)
	failure.Message += fmt.Sprintf(" (%s)", firstLine(how))
	if f.said.script.last != "" {
		failure.Message += "; its last line: " + f.said.script.last
	}
	return failure
}
