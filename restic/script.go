package restic

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Script is a program or script that the host's administrator put there for the
// agent to run, and which file it was when somebody found it fit: a file that lies
// at the path later and is another, or was changed since, is not run.
type Script struct {
	Name string // its file name, as people and schedules name it
	Path string // absolute
	file string // which file it was, see fileID
}

// ScriptOf returns the script that f, an open file at path, is.
func ScriptOf(path string, f *os.File) (Script, error) {
	if !filepath.IsAbs(path) {
		return Script{}, fmt.Errorf("script %s: the path must be absolute", path)
	}
	id, err := fileID(f)
	if err != nil {
		return Script{}, fmt.Errorf("script %s: %w", path, err)
	}
	return Script{Name: filepath.Base(path), Path: path, file: id}, nil
}

// ScriptName reports whether a text can be the name of a script: never a path.
func ScriptName(name string) bool { return scriptName.MatchString(name) }

var scriptName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Variable is one of a script's environment. No secret belongs there: other users may
// see it.
type Variable struct{ Name, Value string }

// starterWord is the first argument of a program that is to start a script.
const starterWord = "start-script"

// Exit codes of a starter that could not start its script, as a shell has them.
const (
	starterRefused = 126
	starterUsage   = 125
)

// StartScript is the step between this package and a script, in a process of its own:
// the program that uses this package is started again, waits until it is recorded,
// looks that the script is still the file that was found fit, and becomes it (on
// Windows: starts it, and ends with it) with an environment that holds nothing but
// what it was told. restic hands its own environment, with what opens the storage, to
// the command whose output it stores, so that step is needed there too.
//
// A program must call it before anything else with its arguments. It returns false
// when it was started for something else. Where it returns true the program ends with
// the code.
//
// The same step fences a restic of a restore, see CanFence.
func StartScript(args []string) (code int, is bool) {
	if len(args) > 0 && args[0] == fenceWord {
		return startFenced(args[1:]), true
	}
	if len(args) == 0 || args[0] != starterWord {
		return 0, false
	}
	gated, script, env, err := starterArguments(args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "script not started:", err)
		return starterUsage, true
	}
	if gated {
		// An agent that died before it recorded this process says nothing here.
		pipe := os.NewFile(3, "gate")
		word, err := io.ReadAll(pipe)
		_ = pipe.Close()
		if err != nil || string(word) != gateWord { //guard:script-recorded
			return starterUsage, true
		}
	}
	code, err = startScript(script, env)
	if err != nil {
		fmt.Fprintf(os.Stderr, "script %s not started: %v\n", script.Name, err)
		return starterRefused, true
	}
	return code, true
}

var errSwapped = errors.New("the file is another than the one that was found fit a moment ago")

// gateWord opens the gate of a starter.
const gateWord = "go"

const (
	gateClosed = "gated"
	gateOpen   = "open"
)

// starterCommand is the command line of a starter, but for its program.
func starterCommand(gate string, s Script, env []Variable) []string {
	args := []string{starterWord, gate, s.Path, s.file}
	return append(args, scriptEnvironment(env)...)
}

func starterArguments(args []string) (gated bool, s Script, env []string, err error) {
	if len(args) < 3 || args[0] != gateClosed && args[0] != gateOpen || !filepath.IsAbs(args[1]) {
		return false, Script{}, nil, fmt.Errorf("%s is for the agent itself", starterWord)
	}
	return args[0] == gateClosed, Script{Name: filepath.Base(args[1]), Path: args[1], file: args[2]}, args[3:], nil
}

// scriptEnvironment is everything that a script finds in its environment. What cannot
// be in one, or would be another line where it is printed, becomes a blank.
func scriptEnvironment(variables []Variable) []string {
	env := scriptSystem()
	for _, v := range variables {
		value := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, v.Value)
		env = append(env, v.Name+"="+value)
	}
	return env
}

// markOf is how what a script started is told from others: its first variable, which
// names its job.
func markOf(variables []Variable) string {
	if len(variables) == 0 {
		return ""
	}
	return scriptEnvironment(variables[:1])[len(scriptSystem())]
}

// starter is the program that starts scripts: this one.
func (r *Runner) starter() (string, error) {
	if r.config.Starter != "" {
		return r.config.Starter, nil
	}
	return os.Executable()
}

// How much of what a script says is kept, of one run: the first part and the last
// lines. The rest is counted.
const (
	scriptLines = 20_000
	scriptBytes = 4 << 20
	scriptTail  = 50
)

// scriptLog lets through what a script says until it is too much.
type scriptLog struct {
	lines, bytes int
	omitted      int64
	tail         []Line
	last         string // the last line that is not empty
}

// take reports whether a line is to be handed on now.
func (l *scriptLog) take(line Line) bool {
	if strings.TrimSpace(line.Text) != "" {
		l.last = firstLine(line.Text)
	}
	if l.omitted == 0 && l.lines < scriptLines && l.bytes+len(line.Text) <= scriptBytes { //guard:script-flood
		l.lines++
		l.bytes += len(line.Text)
		return true
	}
	l.omitted++
	if len(l.tail) == scriptTail {
		l.tail = slices.Delete(l.tail, 0, 1)
	}
	if len(line.Text) > maxTailLine {
		line.Text = strings.ToValidUTF8(line.Text[:maxTailLine], "")
	}
	l.tail = append(l.tail, line)
	return false
}

// maxTailLine is how much of a line of the tail is kept.
const maxTailLine = 4 << 10

// end hands on the tail, after a line that says how much is missing before it.
func (l *scriptLog) end(name string, hand func(Line)) {
	if l.omitted == 0 || hand == nil {
		return
	}
	if missing := l.omitted - int64(len(l.tail)); missing > 0 && len(l.tail) > 0 {
		hand(Line{Time: l.tail[0].Time, Stream: Stderr,
			Text: fmt.Sprintf("[%d lines of %s are left out here: it wrote too much]", missing, name)})
	}
	for _, line := range l.tail {
		hand(line)
	}
	l.tail = nil
}
