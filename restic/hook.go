package restic

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Hook is one run of a script before or after a backup.
type Hook struct {
	Script  Script
	Env     []Variable    // beside what every script has; the first names the job, to tell what is left of it
	Timeout time.Duration // after which it is ended; 0 for never
	Access  Access        // what opens the repository: it must not be seen in the hook's output
}

// HookEnd says how a hook ended.
type HookEnd string

// The ends of a hook.
const (
	HookDone      HookEnd = "done"   // with exit code 0
	HookFailed    HookEnd = "failed" // with another one, or by a signal, or it could not be started
	HookTimeout   HookEnd = "timeout"
	HookCancelled HookEnd = "cancelled"
)

// HookResult is what became of a hook that ran.
type HookResult struct {
	End      HookEnd
	ExitCode int    // -1 when a signal ended it
	Signal   string // which one, if one did
	Last     string // the last line that it wrote
	Omitted  int64  // lines that it wrote beyond what is kept of one run
}

// Words says how the hook ended, to be read after its name.
func (h HookResult) Words(timeout time.Duration) string {
	text := fmt.Sprintf("ended with exit code %d", h.ExitCode)
	switch {
	case h.End == HookTimeout:
		return fmt.Sprintf("did not end within %s and was stopped", timeout)
	case h.End == HookCancelled:
		return "was stopped"
	case h.Signal != "":
		text = "was ended by a signal (" + h.Signal + ")"
	}
	if h.Last != "" {
		text += "; its last line: " + h.Last
	}
	return text
}

// scriptGrace is how long a script may take to end when it was asked to, where
// Config.Grace is not shorter.
const scriptGrace = 10 * time.Second

// RunHook runs a hook and returns when it, and what it left in its process group, is
// gone. Handlers.Line gets its output, the rest of a flood left out; Handlers.Started
// is called before the script begins. Cancelling ctx ends it: first politely, by
// force after ten seconds. An error means that it did not run.
func (r *Runner) RunHook(ctx context.Context, hook Hook, h Handlers) (HookResult, error) {
	starter, err := r.starter()
	if err != nil {
		return HookResult{}, fmt.Errorf("run hook %s: %w", hook.Script.Name, err)
	}
	gate, word := gateOpen, ""
	if pipesPassword(gateWord) {
		gate, word = gateClosed, gateWord
	}
	spec := childSpec{
		path: starter, args: starterCommand(gate, hook.Script, hook.Env), password: word,
		mark: markOf(hook.Env), env: scriptSystem(), dir: filepath.Dir(hook.Script.Path),
	}
	streams, err := openStreams(&spec)
	if err != nil {
		return HookResult{}, fmt.Errorf("run hook %s: %w", hook.Script.Name, err)
	}
	defer streams.close()
	c, err := startChild(spec)
	streams.closeWriters()
	if err != nil {
		return HookResult{}, fmt.Errorf("run hook %s: %w", hook.Script.Name, err)
	}
	said := &hookOutput{redact: r.redactorFor(hook.Access), handlers: h}
	drained := streams.drainBy(said.read)
	result, err := hook.attend(ctx, c, h, min(scriptGrace, r.config.Grace))
	streams.await(drained)
	said.log.end(hook.Script.Name, h.Line)
	result.Last, result.Omitted = said.log.last, said.log.omitted
	return result, err
}

// attend records the child, lets it begin and waits for its end.
func (hook Hook) attend(ctx context.Context, c *child, h Handlers, patience time.Duration) (HookResult, error) {
	var err error
	if h.Started != nil {
		err = h.Started(c.ref)
	}
	if err == nil {
		err = c.proceed()
	}
	if err != nil {
		c.kill()
		c.wait()
		return HookResult{}, fmt.Errorf("run hook %s: %w", hook.Script.Name, err)
	}
	exited := make(chan exitStatus, 1)
	go func() { exited <- c.wait() }()
	timeout, grace := stoppedTimer(), stoppedTimer()
	defer timeout.Stop()
	defer grace.Stop()
	if hook.Timeout > 0 {
		timeout.Reset(hook.Timeout)
	}
	var end HookEnd
	done := ctx.Done()
	stop := func(why HookEnd) {
		if end == "" {
			end, done = why, nil
			c.terminate()
			grace.Reset(patience)
		}
	}
	for {
		select {
		case exit := <-exited:
			switch {
			case end != "":
			case exit.code == 0:
				end = HookDone
			default:
				end = HookFailed
			}
			return HookResult{End: end, ExitCode: exit.code, Signal: exit.signal}, nil
		case <-done:
			stop(HookCancelled)
		case <-timeout.C:
			stop(HookTimeout)
		case <-grace.C:
			c.kill()
		}
	}
}

// hookOutput takes in both streams of a hook.
type hookOutput struct {
	redact   redactor
	handlers Handlers

	mu  sync.Mutex
	log scriptLog
}

func (o *hookOutput) read(stream Stream, pipe *os.File) {
	_ = readLines(pipe, maxLine+o.redact.longest, func(text []byte, omitted int64) {
		o.mu.Lock()
		defer o.mu.Unlock()
		line := Line{Time: time.Now(), Stream: stream, Text: o.redact.text(cleanText(text)), Omitted: omitted}
		if o.log.take(line) && o.handlers.Line != nil && line.Text != "" {
			o.handlers.Line(line)
		}
	})
	_, _ = io.Copy(io.Discard, pipe)
}
