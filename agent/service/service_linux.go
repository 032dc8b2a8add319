package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kardianos/service"

	"restic-manager/deploy"
)

// Program is where the agent lies that the service runs. The definitions name it.
func Program() string { return "/usr/local/bin/restic-manager-agent" }

// managers are the service managers that we know, best first: by what runs, or has
// prepared what it needs to run.
func managers(root string) []struct {
	signs []string // each a file that shows that it runs here
	found
} {
	return []struct {
		signs []string
		found
	}{
		{[]string{"/run/systemd/system"}, found{
			what: "systemd", options: service.KeyValue{"SystemdScript": deploy.Unit("service")},
			system: definition{root, "/etc/systemd/system/" + Name + ".service", deploy.Unit("service"), false, false},
		}},
		{[]string{"/run/openrc/softlevel", "/sbin/openrc-run"}, found{
			what: "OpenRC", options: service.KeyValue{"OpenRCScript": deploy.Unit("openrc")},
			system: definition{root, initScript, deploy.Unit("openrc"), true, false},
		}},
		{[]string{"/etc/init.d", "/etc/rc2.d"}, found{
			what: "init scripts", options: service.KeyValue{"SysvScript": deploy.Unit("init")},
			system: definition{root, initScript, deploy.Unit("init"), true, true},
		}},
	}
}

const initScript = "/etc/init.d/" + Name

// libraryNames are what the library calls them.
var libraryNames = map[string]string{"systemd": "linux-systemd", "OpenRC": "linux-openrc", "init scripts": "unix-systemv"}

func detect() (found, error) { return detectBelow("/") }

// detectBelow looks below root, which is / but for tests.
func detectBelow(root string) (found, error) {
	for _, m := range managers(root) {
		if !all(root, m.signs) {
			continue
		}
		for _, s := range service.AvailableSystems() {
			if s.String() == libraryNames[m.what] {
				m.library = s
				return m.found, nil
			}
		}
	}
	return found{}, ErrNoManager
}

func all(root string, paths []string) bool {
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			return false
		}
	}
	return true
}

// definition is a service that is one file.
type definition struct {
	root, path, text string
	linked           bool // from the folders of the run levels
	ordered          bool // by update-rc.d, where there is one
}

func (d definition) installed() (bool, error) {
	_, err := os.Lstat(filepath.Join(d.root, d.path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (d definition) outdated() (bool, error) {
	text, err := os.ReadFile(filepath.Join(d.root, d.path))
	return string(text) != d.text, err
}

// secure lets everybody read the definition, and root alone change it, whatever the
// umask was. It also gives an init script its place among the others: the library only
// makes links, which Debian passes over when it starts scripts at the same time.
func (d definition) secure() error {
	mode := fs.FileMode(0o644)
	if d.linked {
		mode = 0o755
	}
	if err := os.Chmod(filepath.Join(d.root, d.path), mode); err != nil || !d.ordered {
		return err
	}
	if _, err := os.Stat(updateRC); err != nil {
		return nil
	}
	for _, link := range d.links() {
		if err := os.Remove(link); err != nil {
			return err
		}
	}
	return order("defaults")
}

// removed takes an init script that is gone out of the order of the others.
func (d definition) removed() error {
	if _, err := os.Stat(updateRC); err != nil || !d.ordered {
		return nil
	}
	return order("remove")
}

// updateRC is Debian's program for the order of init scripts. It is named by its full
// path, with arguments of ours alone.
const updateRC = "/usr/sbin/update-rc.d"

func order(what string) error {
	if out, err := exec.Command(updateRC, "-f", Name, what).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", updateRC, what, err, bytes.TrimSpace(out))
	}
	return nil
}

// links are those of the run levels.
func (d definition) links() []string {
	links, _ := filepath.Glob(filepath.Join(d.root, "/etc/rc[0-6S].d/[SK][0-9][0-9]"+Name)) // the pattern is good
	return links
}

// traces are the links of the run levels, which the library makes and forgets, and
// what a service writes beside the agent's own state.
func (d definition) traces() []string {
	var traces []string
	if d.linked {
		traces = d.links()
		for _, path := range []string{"/var/log/" + Name + ".log", "/var/log/" + Name + ".log.1", "/run/" + Name + ".pid"} {
			traces = append(traces, filepath.Join(d.root, path))
		}
	}
	return traces
}

func (definition) state(lib State) State       { return lib }
func (definition) stop(lib func() error) error { return lib() }

func run(ctx context.Context, agent func(context.Context) error) error { return agent(ctx) }
