package restictest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
)

// IsFake reports whether the test binary was started as a Fake: then a TestMain must
// call Main before it does anything else.
func IsFake() bool { return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == fakeName }

// Main runs the tests, or, where the test binary was started as a Fake, the Fake, or
// the starter of a script. It returns the exit code.
func Main(m *testing.M) int {
	if code, is := restic.StartScript(os.Args[1:]); is {
		return code
	}
	if !IsFake() {
		return m.Run()
	}
	if len(os.Args) == 2 && os.Args[1] == spawned {
		select {} // holds the pipes open until it is killed
	}
	p := program{dir: filepath.Dir(os.Args[0]), interrupts: make(chan os.Signal, 1)}
	signal.Notify(p.interrupts, os.Interrupt)
	code, err := p.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake restic:", err)
		return 99
	}
	return code
}

// spawned is the argument of a Fake's own child.
const spawned = "spawned"

// program is a Fake at work.
type program struct {
	dir        string
	interrupts chan os.Signal
	ignore     bool
	call       Call
	callPath   string
}

func (p *program) run() (int, error) {
	raw, err := os.ReadFile(filepath.Join(p.dir, scriptName))
	if err != nil {
		return 0, err
	}
	var script Script
	if err := json.Unmarshal(raw, &script); err != nil {
		return 0, err
	}
	command := commandOf(os.Args[1:])
	switch {
	case script.Record != "":
		return p.record(script.Record, command)
	case command == "version":
		return 0, p.version(script.Version)
	}
	if err := p.recordCall(); err != nil {
		return 0, err
	}
	if len(p.call.Password) == 0 {
		fmt.Fprintln(os.Stderr, `{"message_type":"exit_error","code":1,"message":"Fatal: an empty password is not allowed by default."}`)
		return 1, nil
	}
	reply, ok, err := p.reply(script, command)
	if err != nil || !ok {
		return 1, err
	}
	return p.play(reply)
}

// commandOf returns the words of the command: those before the first option that
// follows them and after the "--" that are not values.
func commandOf(args []string) string {
	var words []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		if words = append(words, arg); len(words) == 2 {
			break
		}
	}
	if len(words) == 2 && words[0] != "cat" && words[0] != "key" && words[0] != "list" {
		words = words[:1]
	}
	return strings.Join(words, " ")
}

// version answers as each version does: as text before 0.17.
func (p *program) version(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err == nil && major == 0 && minor < 17 {
		_, err := fmt.Printf("restic %s compiled with go1.19.8 on linux/amd64\n", version)
		return err
	}
	_, err := fmt.Printf(`{"message_type":"version","version":%q,"go_version":"go1.24","go_os":"linux","go_arch":"amd64"}`+"\n", version)
	return err
}

// recordCall keeps what this call was made with.
func (p *program) recordCall() error {
	p.call = Call{
		Args: os.Args[1:], Env: os.Environ(), PID: os.Getpid(), Group: processGroup(),
		Files: map[string][]byte{}, Modes: map[string]string{},
	}
	if path := os.Getenv("RESTIC_PASSWORD_FILE"); path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p.call.Password = bytes.TrimSpace(raw)
	} else {
		p.call.Password = []byte(os.Getenv("RESTIC_PASSWORD"))
	}
	for _, arg := range os.Args[1:] {
		option, path, ok := strings.Cut(arg, "=")
		if !ok || option != "--files-from-raw" && option != "--exclude-file" {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		p.call.Files[option], p.call.Modes[option] = content, info.Mode().Perm().String()
	}
	stdin, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	p.call.Stdin = len(stdin)
	p.callPath, err = writeNumbered(p.dir, "call", p.call)
	return err
}

// reply picks the reply of the n-th call of a command.
func (p *program) reply(script Script, command string) (Reply, bool, error) {
	if err := os.MkdirAll(filepath.Join(p.dir, "turns"), 0o700); err != nil {
		return Reply{}, false, err
	}
	path, err := writeNumbered(filepath.Join(p.dir, "turns"), strings.ReplaceAll(command, " ", "_"), command)
	if err != nil {
		return Reply{}, false, err
	}
	var n int
	if _, err := fmt.Sscanf(path[strings.LastIndexByte(path, '-')+1:], "%d.json", &n); err != nil {
		return Reply{}, false, err
	}
	var found Reply
	ok := false
	for _, reply := range script.Replies {
		if reply.Command != command {
			continue
		}
		found, ok = reply, true
		if n--; n == 0 {
			break
		}
	}
	return found, ok, nil
}

// interrupted is the exit code of a restic that was told to stop.
const interrupted = 130

func (p *program) play(reply Reply) (int, error) {
	for _, step := range reply.Steps {
		for range max(1, step.Times) {
			if _, err := os.Stdout.WriteString(step.Out); err != nil {
				return 0, err
			}
			if _, err := os.Stderr.WriteString(step.Err); err != nil {
				return 0, err
			}
		}
		p.ignore = p.ignore || step.Ignore
		if step.Spawn {
			if err := p.spawn(); err != nil {
				return 0, err
			}
		}
		switch {
		case step.Forever:
			for p.ignore {
				<-p.interrupts
			}
			<-p.interrupts
			return interrupted, nil
		case step.Await:
			<-p.interrupts
		case step.Pause > 0 && p.waits(step.Pause):
			return interrupted, nil
		}
	}
	if reply.Die {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return 0, err
		}
		if err := self.Kill(); err != nil {
			return 0, err
		}
		select {}
	}
	return reply.Exit, nil
}

// waits reports whether an interrupt came before the pause was over.
func (p *program) waits(pause time.Duration) bool {
	over := time.After(pause)
	for {
		select {
		case <-over:
			return false
		case <-p.interrupts:
			if !p.ignore {
				return true
			}
		}
	}
}

// spawn starts a child that inherits our output and outlives us.
func (p *program) spawn() error {
	child := exec.Command(os.Args[0], spawned)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return err
	}
	p.call.Spawned = child.Process.Pid
	raw, err := json.Marshal(p.call)
	if err != nil {
		return err
	}
	return os.WriteFile(p.callPath, raw, 0o600)
}
