package restictest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Script is what a Fake does: what its version is, and how it answers each
// command. The n-th call of a command gets its n-th Reply, later calls the last.
// A command without a Reply ends with 1.
type Script struct {
	Version string  `json:"version"` // "" is the oldest that is supported
	Replies []Reply `json:"replies"`

	// Record is the path of a real restic that is called instead, while what
	// it says is kept; see Fake.Recorded.
	Record string `json:"record,omitempty"`
}

// Reply is what a Fake does when it is called.
type Reply struct {
	Command string `json:"command"` // the first words: "backup", "cat config"
	Steps   []Step `json:"steps"`
	Exit    int    `json:"exit"`
	Die     bool   `json:"die,omitempty"` // by SIGKILL, instead of Exit
}

// Step is one thing a Fake does. Its members take effect in their order here.
type Step struct {
	Out     string        `json:"out,omitempty"`     // written to stdout as it is
	Err     string        `json:"err,omitempty"`     // written to stderr as it is
	Times   int           `json:"times,omitempty"`   // how often to write them; 0 is once
	Pause   time.Duration `json:"pause,omitempty"`   // then waits; an interrupt ends the Fake
	Await   bool          `json:"await,omitempty"`   // then waits for an interrupt, and goes on
	Ignore  bool          `json:"ignore,omitempty"`  // from here on interrupts do nothing
	Forever bool          `json:"forever,omitempty"` // then waits for the kill
	Spawn   bool          `json:"spawn,omitempty"`   // starts a child that keeps the pipes open
}

// Call is what a Fake was called with.
type Call struct {
	Args     []string          `json:"args"` // without the program's name
	Env      []string          `json:"env"`
	Password []byte            `json:"password"`
	Files    map[string][]byte `json:"files"` // content of list files, by option
	Modes    map[string]string `json:"modes"` // their permissions, by option
	Stdin    int               `json:"stdin"` // bytes that were on standard input
	PID      int               `json:"pid"`
	Group    int               `json:"group"`
	Spawned  int               `json:"spawned,omitempty"` // pid of the child of a Spawn step
}

// Fake is a folder with a program that behaves as its Script says. The program is
// the test binary, told apart by its file name.
type Fake struct {
	t   testing.TB
	dir string
}

const (
	fakeName   = "restic-fake"
	scriptName = "script.json"
)

// NewFake makes a Fake. The test's TestMain must go through Main.
func NewFake(t testing.TB, script Script) *Fake {
	t.Helper()
	f := &Fake{t: t, dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, f.Path()); err != nil {
		copyFile(t, self, f.Path())
	}
	f.SetScript(script)
	return f
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(target, source)
	if closeErr := target.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Path is the program's path.
func (f *Fake) Path() string {
	name := fakeName
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(f.dir, name)
}

// SetScript changes what the Fake does from its next call on.
func (f *Fake) SetScript(script Script) {
	f.t.Helper()
	if script.Version == "" {
		script.Version = "0.18.0"
	}
	raw, err := json.Marshal(script)
	if err == nil {
		err = os.WriteFile(filepath.Join(f.dir, scriptName), raw, 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// Calls returns the calls so far, in order. Calls that ask for the version are not
// among them.
func (f *Fake) Calls() []Call {
	f.t.Helper()
	return readNumbered[Call](f.t, f.dir, "call")
}

// Recorded returns what the real restic said, as a Script that says it again.
func (f *Fake) Recorded(version string) Script {
	f.t.Helper()
	return Script{Version: version, Replies: readNumbered[Reply](f.t, f.dir, "reply")}
}

func readNumbered[T any](t testing.TB, dir, kind string) []T {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, kind+"-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	list := make([]T, len(paths))
	for i, path := range paths {
		raw, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(raw, &list[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// writeNumbered writes a new file of a kind and returns its path. The file
// appears whole.
func writeNumbered(dir, kind string, value any) (string, error) {
	raw, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return "", err
	}
	draft, err := os.CreateTemp(dir, "draft-")
	if err != nil {
		return "", err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(raw)
	if closeErr := draft.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	before, err := filepath.Glob(filepath.Join(dir, kind+"-*.json"))
	if err != nil {
		return "", err
	}
	for n := len(before) + 1; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%s-%04d.json", kind, n))
		if err := os.Link(draft.Name(), path); !os.IsExist(err) {
			return path, err
		}
	}
}
