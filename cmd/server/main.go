// Command server is restic-manager, the program of the control plane: it serves
// browsers, scripts and agents, and helps an admin who is locked out.
//
// It may import server alone. Reading arguments and printing is all that is here.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"

	"restic-manager/server"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, world{
		args: os.Args[1:], getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(exitCode(err))
}

// world is what the program takes from its surroundings.
type world struct {
	args           []string
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a mistake in the arguments.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server until it is told to stop."`
	Health  healthCommand  `cmd:"" help:"Tell by the exit code whether the server on this machine is ready; for containers."`
	Admin   adminCommand   `cmd:"" help:"Help for whoever has a shell on the server."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// ended carries kong's wish to exit, for instance after --help, out of its parser.
type ended struct{ code int }

// errSaid is for what was printed already.
var errSaid = errors.New("see above")

// run is the program. What went wrong is printed to stderr and returned.
func run(ctx context.Context, w world) (err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case ended:
			if e.code != 0 {
				err = usageError{errSaid}
			}
		default:
			panic(e)
		}
		if err != nil && !errors.Is(err, errSaid) {
			fmt.Fprintln(w.stderr, "restic-manager:", err)
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("restic-manager"),
		kong.Description("One page for all your restic backups."),
		kong.Writers(w.stdout, w.stderr),
		kong.Exit(func(code int) { panic(ended{code}) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(w),
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(w.args)
	if err != nil {
		return usageError{err}
	}
	return parsed.Run(&c)
}

type serveCommand struct{ configured }

func (c *serveCommand) Run(ctx context.Context, w world) error {
	s, err := server.New(ctx, c.Options, version, w.stderr)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

type healthCommand struct{ configured }

func (c *healthCommand) Run(ctx context.Context) error { return server.Health(ctx, c.Options) }

type versionCommand struct{}

func (versionCommand) Run(w world) error {
	_, err := fmt.Fprintf(w.stdout, "restic-manager %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
	return err
}
