// Program demo brings up the whole product on loopback: a server, an append-only
// rest-server and an agent, each a real process of its own, enrols the agent by
// the very line that the server gives out, runs a first backup and stays up until
// it is interrupted. Everything lives below one directory that each start empties.
//
// It imports nothing of ours: it is a client of the programs and of the contract
// like any other. With cmd/server and cmd/agent it may catch signals and exit, and
// beside package restic it alone may start processes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options are the flags, with paths made absolute.
type options struct {
	bin    string // our programs
	restic string // restic and rest-server
	data   string // everything the demo makes
	source string // what is backed up
	listen string // the server's address
	once   bool   // end after the first backup
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.bin, "bin", "bin", "directory of restic-manager and restic-manager-agent")
	f.StringVar(&o.restic, "restic", ".cache/restic/trixie/bin", "directory of restic and rest-server")
	f.StringVar(&o.data, "data", "demo-data/demo", "directory that the demo makes, and empties at each start")
	f.StringVar(&o.source, "source", "", "directory to back up; Go's own source when left out")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the server; another port is taken when this one is busy")
	f.BoolVar(&o.once, "once", false, "end after the first backup")
	if err := f.Parse(args); err != nil {
		return o, flag.ErrHelp
	}
	if o.source == "" {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return o, fmt.Errorf("find Go's own source: %w; name a directory with -source", err)
		}
		o.source = filepath.Join(strings.TrimSpace(string(root)), "src")
	}
	for _, p := range []*string{&o.bin, &o.restic, &o.data, &o.source} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, err
		}
		*p = abs
	}
	return o, nil
}

// run is the program. It ends when ctx does, when a child process dies or, with
// -once, after the first backup; every process it started is ended by then.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := emptied(o.data); err != nil {
		return err
	}
	family := newFamily(filepath.Join(o.data, "logs"))
	defer func() { err = errors.Join(err, family.end(30*time.Second)) }()

	d := &demo{options: o, family: family, out: stdout}
	if err := d.bringUp(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%w\nThe logs are in %s", err, family.logs)
	}
	if o.once {
		return nil
	}
	fmt.Fprintln(stdout, "\nCtrl-C ends everything.")
	select {
	case <-ctx.Done():
		return nil
	case died := <-family.died:
		return fmt.Errorf("%w\nThe logs are in %s", died, family.logs)
	}
}

// mark is the file that tells a directory of ours from somebody's data.
const mark = ".restic-manager-demo"

// emptied gives a new directory at path, deleting only one that carries our mark.
func emptied(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case len(entries) == 0:
	default:
		if _, err := os.Stat(filepath.Join(path, mark)); err != nil {
			return fmt.Errorf("%s exists and is not a demo's: name another directory with -data", path)
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(path, mark), nil, 0o600)
}
