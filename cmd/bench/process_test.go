//go:build linux

package bench_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a child that is measured from outside.
type process struct {
	b    *testing.B
	name string
	cmd  *exec.Cmd
	log  *tail
	in   io.WriteCloser // nil where nobody talks to it
	out  *bufio.Reader
	once sync.Once
}

// start runs a program until the benchmark ends, or stop.
func start(b *testing.B, name string, env []string, argv ...string) *process {
	b.Helper()
	p := newProcess(b, name, env, argv...)
	p.cmd.Stdout = p.log
	p.run()
	return p
}

// startPart runs this program in another part; what it prints answers ask.
func startPart(b *testing.B, part string, env ...string) *process {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	p := newProcess(b, part, append(env, partVariable+"="+part), self)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	p.run()
	return p
}

func newProcess(b *testing.B, name string, env []string, argv ...string) *process {
	p := &process{b: b, name: name, cmd: exec.Command(argv[0], argv[1:]...), log: &tail{}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	// It ends with this process, however that ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p
}

func (p *process) run() {
	p.b.Helper()
	if err := p.cmd.Start(); err != nil {
		p.b.Fatalf("start %s: %v", p.name, err)
	}
	p.b.Cleanup(func() {
		p.stop()
		if p.b.Failed() {
			p.b.Logf("---- %s\n%s", p.name, p.log)
		}
	})
}

// stop ends the process in order and waits for it. It may be called twice.
func (p *process) stop() {
	p.once.Do(func() {
		if p.in != nil {
			_ = p.in.Close()
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		force := time.AfterFunc(60*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer force.Stop()
		_ = p.cmd.Wait()
	})
}

// ask sends a line to a part and gives its answer.
func (p *process) ask(format string, args ...any) string {
	p.b.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.b.Fatalf("%s: %v\n%s", p.name, err, p.log)
	}
	return p.answer()
}

func (p *process) answer() string {
	p.b.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.b.Fatalf("%s: %v\n%s", p.name, err, p.log)
	}
	return strings.TrimSpace(line)
}

func (p *process) proc(file string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file)
}

// cpu gives the seconds of processor time that the process and, apart, the children
// that it has waited for have used.
func (p *process) cpu() (own, children float64) {
	p.b.Helper()
	text, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		p.b.Fatal(err)
	}
	// The name in parentheses may hold anything; fields are counted behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const firstField, perSecond = 3, 100 // of proc(5); USER_HZ
	seconds := func(field int) float64 {
		n, err := strconv.ParseFloat(fields[field-firstField], 64)
		if err != nil {
			p.b.Fatal(err)
		}
		return n / perSecond
	}
	return seconds(14) + seconds(15), seconds(16) + seconds(17)
}

// memory is what is resident of a process, in bytes: in all, and of that what is
// its own (heap, stacks) and what are pages of files (its program).
type memory struct{ all, anon, file float64 }

func (p *process) memory() memory {
	p.b.Helper()
	text, err := os.ReadFile(p.proc("status"))
	if err != nil {
		p.b.Fatal(err)
	}
	field := func(name string) float64 {
		_, rest, _ := strings.Cut(string(text), "\n"+name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			p.b.Fatalf("no %s in the status of %s", name, p.name)
		}
		n, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			p.b.Fatal(err)
		}
		return n * 1024
	}
	return memory{field("VmRSS"), field("RssAnon"), field("RssFile")}
}

// tail keeps the last part of what a process prints.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if over := len(l.buf) - 64<<10; over > 0 {
		l.buf = l.buf[over:]
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

// eventually polls until ok; the benchmark fails when the limit is over.
func eventually(b *testing.B, what string, limit time.Duration, ok func() bool) {
	b.Helper()
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) {
			b.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
