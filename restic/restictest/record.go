package restictest

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// record calls the real restic in our place, passes everything through and keeps
// what it said as a Reply. Interrupts reach it by themselves, since it is in our
// process group.
func (p *program) record(path, command string) (int, error) {
	tape := &tape{reply: Reply{Command: command}}
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Stdout = &track{tape: tape, pass: os.Stdout, step: func(text string) Step { return Step{Out: text} }}
	cmd.Stderr = &track{tape: tape, pass: os.Stderr, step: func(text string) Step { return Step{Err: text} }}
	if os.Getenv("RESTIC_PASSWORD_FILE") != "" {
		cmd.ExtraFiles = []*os.File{os.NewFile(3, "password")}
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 0, err
	}
	tape.reply.Exit = cmd.ProcessState.ExitCode()
	if command == "version" {
		return tape.reply.Exit, nil
	}
	_, err = writeNumbered(p.dir, "reply", tape.reply)
	return tape.reply.Exit, err
}

// tape keeps the steps of both streams in the order in which they came.
type tape struct {
	mu          sync.Mutex
	reply       Reply
	interrupted bool
}

// add keeps a step. restic says that it was interrupted before we know that we
// were, so that is where the interrupt belongs.
func (t *tape) add(step Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if strings.Contains(step.Err, "signal interrupt received") && !t.interrupted {
		t.interrupted = true
		t.reply.Steps = append(t.reply.Steps, Step{Await: true})
	}
	t.reply.Steps = append(t.reply.Steps, step)
}

// track is one stream: kept on the tape and passed on.
type track struct {
	tape *tape
	pass io.Writer
	step func(string) Step
}

// Write keeps and passes on.
func (t *track) Write(text []byte) (int, error) {
	t.tape.add(t.step(string(text)))
	return t.pass.Write(text)
}
