//go:build linux

package bench_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"

	"restic-manager/server"
)

// partVariable names the part that this program plays as a child of itself.
const partVariable = "RM_BENCH_PART"

// The parts.
const (
	partCrowd    = "crowd"    // simulated agents
	partBaseline = "baseline" // a bare server that holds polls or sockets
	partServer   = "server"   // the server, with profiles
)

func play(part string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch part {
	case partCrowd:
		err = playCrowd(ctx)
	case partBaseline:
		err = playBaseline(ctx)
	case partServer:
		err = playServer(ctx)
	default:
		err = fmt.Errorf("no part %q", part)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// partInput is the variable with a part's configuration, as JSON.
const partInput = "RM_BENCH_INPUT"

func input(into any) string {
	text, err := json.Marshal(into)
	if err != nil {
		panic(err) // of our own plain structs
	}
	return partInput + "=" + string(text)
}

func readInput(into any) error { return json.Unmarshal([]byte(os.Getenv(partInput)), into) }

// playCrowd holds simulated agents and does what the lines on its input say.
func playCrowd(ctx context.Context) error {
	var o crowdOptions
	if err := readInput(&o); err != nil {
		return err
	}
	c, err := newCrowd(ctx, o)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		verb, number, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.Atoi(number)
		switch verb {
		case "grow":
			c.grow(n)
		case "wait":
			c.wait.Store(int64(n))
		case "settle":
			c.settle()
		case "trouble":
			fmt.Println(c.trouble.Load())
			continue
		default:
			return fmt.Errorf("a crowd cannot %q", verb)
		}
		fmt.Println("ok")
	}
	return lines.Err()
}

// serverInput is the configuration of partServer.
type serverInput struct {
	Listen, URL, Data, Database string
	TLS                         bool
	Profiles                    string
}

// playServer runs the server inside this program. SIGUSR1 divides its life into the
// parts that profiles are of.
func playServer(ctx context.Context) error {
	var in serverInput
	if err := readInput(&in); err != nil {
		return err
	}
	o := server.Defaults()
	o.Listen, o.PublicURL, o.DataDir, o.TLSSelfMade = in.Listen, in.URL, in.Data, in.TLS
	if in.Database != "" {
		if err := o.Database.UnmarshalText([]byte(in.Database)); err != nil {
			return err
		}
	}
	s, err := server.New(ctx, o, "bench", os.Stderr)
	if err != nil {
		return err
	}
	profiles := &profiler{dir: in.Profiles}
	profiles.next()
	defer pprof.StopCPUProfile()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			profiles.next()
		}
	}()
	return s.Run(ctx)
}

// profiler writes numbered profiles: one of the processor for each part of a
// server's life, and what its memory held at the end of the part.
type profiler struct {
	dir  string
	part int
}

// next ends a part and begins another.
func (p *profiler) next() {
	if p.part++; p.part > 1 {
		pprof.StopCPUProfile()
		runtime.GC()
		for _, name := range []string{"heap", "goroutine"} {
			if f, err := p.file(name, p.part-1); err == nil {
				_ = pprof.Lookup(name).WriteTo(f, 0)
				f.Close()
			}
		}
		p.memory()
	}
	if f, err := p.file("cpu", p.part); err == nil {
		_ = pprof.StartCPUProfile(f)
	}
}

// memory writes what the runtime has from the system, and what for.
func (p *profiler) memory() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f, err := p.file("memory", p.part-1)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "heap in use %s, idle %s, released %s, objects %s\nstacks %s\ngoroutines %d\n", mib(float64(m.HeapInuse)),
		mib(float64(m.HeapIdle)), mib(float64(m.HeapReleased)), mib(float64(m.HeapAlloc)), mib(float64(m.StackInuse)), runtime.NumGoroutine())
}

func (p *profiler) file(name string, part int) (*os.File, error) {
	return os.Create(filepath.Join(p.dir, fmt.Sprintf("%s-%d", name, part)))
}

// anyCertificate accepts the servers of a measurement: who they are is known.
func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ClientSessionCache: nil}
}
