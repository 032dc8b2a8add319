// Command agent is restic-manager-agent, the program on each host: it enrols the
// host, runs its jobs, says what is wrong, and edits the host's policy file.
//
// It may import agent alone. Reading arguments and printing is all that is here.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"restic-manager/agent"
)

// version is set by the linker.
var version = "dev"

func main() {
	if code, is := agent.StartScript(os.Args[1:]); is {
		os.Exit(code)
	}
	// A restic that looks whether a lock's owner lives sends it a hang-up, and the
	// number in the lock may by now be ours.
	signal.Ignore(syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, world{
		args: os.Args[1:], getenv: os.Getenv, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(exitCode(err))
}

// world is what the program takes from its surroundings.
type world struct {
	args           []string
	getenv         func(string) string
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// errSaid is for commands that have printed what is wrong.
var errSaid = errors.New("see above")

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
	Config      string           `placeholder:"FILE" help:"Configuration file (or RM_AGENT_CONFIG)."`
	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`

	Install   installCommand   `cmd:"" help:"Enrol this machine and make the agent a service that starts with it; what the enrolment line runs."`
	Uninstall uninstallCommand `cmd:"" help:"Remove the agent and all that it has made on this machine."`
	Enroll    enrollCommand    `cmd:"" aliases:"enrol" help:"Make this machine known to a server, with the token of its enrolment line."`
	Run       runCommand       `cmd:"" help:"Run the agent until it is told to stop."`
	Service   serviceCommand   `cmd:"" help:"Look at the agent's service, or start, stop, install or remove it."`
	Doctor    doctorCommand    `cmd:"" help:"Look at everything that the agent needs, and say what is wrong."`
	Policy    policyCommand    `cmd:"" help:"Show or change what the agent may do on this machine."`
	Storage   storageCommand   `cmd:"" help:"Set up rest-server on this machine, and look after its repositories' folders."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// ended carries kong's wish to exit, for instance after --help, out of its parser.
type ended struct{ code int }

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
			fmt.Fprintln(w.stderr, "restic-manager-agent:", err)
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("restic-manager-agent"),
		kong.Description("The part of restic-manager that runs on each machine."),
		kong.Writers(w.stdout, w.stderr),
		kong.Exit(func(code int) { panic(ended{code}) }),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(w),
		kong.Vars{"version": versionText()},
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(w.args)
	if err != nil {
		return usageError{err}
	}
	if c.Config == "" {
		c.Config = w.getenv("RM_AGENT_CONFIG")
	}
	for _, name := range agent.UnknownVariables(w.environ) {
		fmt.Fprintf(w.stderr, "restic-manager-agent: %s is no setting and is ignored; the settings are %s\n", name, agent.Variables())
	}
	return parsed.Run(&c)
}
