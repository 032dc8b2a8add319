// Package service makes the agent a service of the system, so that it runs without
// anybody signed in and again after a start of the machine: of systemd, OpenRC,
// plain init scripts, or Windows.
//
// It wraps github.com/kardianos/service thinly. Which manager this machine has is
// decided here, by what runs and not by what is installed; the definitions of the
// service are ours, in deploy/unit. Whoever replaces the library replaces this
// package alone.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kardianos/service"
)

// Name is what the service is called everywhere.
const Name = "restic-manager-agent"

const description = "restic-manager agent: runs this machine's backups"

// State is how a service is.
type State string

// The states of a service.
const (
	Absent  State = "not installed"
	Stopped State = "stopped"
	Running State = "running"
)

// ErrNoManager means that nothing on this machine starts services.
var ErrNoManager = errors.New("no service manager that this program knows runs here (systemd, OpenRC, init scripts)")

// Manager is the service manager of this machine, with the agent's service in mind.
// Its methods need the rights of root or of an administrator, block until the
// manager is done, and must not be called at the same time.
type Manager struct {
	what   string
	lib    service.Service
	system system
}

// system is what the library does not know or does wrongly.
type system interface {
	outdated() (bool, error)  // the definition in place is not the one that would be written
	installed() (bool, error) // there is a definition
	secure() error            // after installing: what the library cannot set
	removed() error           // after uninstalling: what the library cannot undo
	traces() []string         // files of the service that the library leaves behind
	state(lib State) State    // corrects what the library says
	stop(lib func() error) error
}

// Open finds the manager of this machine. ErrNoManager when there is none.
func Open() (*Manager, error) {
	found, err := detect()
	if err != nil {
		return nil, err
	}
	lib, err := found.library.New(nothing{}, &service.Config{
		Name: Name, DisplayName: "restic-manager agent", Description: description,
		Executable: Program(), Arguments: found.arguments, Option: found.options,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found.what, err)
	}
	return &Manager{what: found.what, lib: lib, system: found.system}, nil
}

// found is what detect says of this machine.
type found struct {
	what      string
	library   service.System
	arguments []string
	options   service.KeyValue
	system    system
}

// String names the manager: systemd, OpenRC, init scripts, Windows.
func (m *Manager) String() string { return m.what }

// Install makes the service start with the machine, and replaces an older
// definition. It tells whether it changed anything; it starts nothing.
func (m *Manager) Install() (changed bool, err error) {
	there, err := m.system.installed()
	if err != nil {
		return false, err
	}
	if there {
		old, err := m.system.outdated()
		if err != nil || !old {
			return false, err
		}
		if err := m.lib.Uninstall(); err != nil {
			return false, m.failed("replace the service", err)
		}
	}
	if err := m.lib.Install(); err != nil {
		return false, m.failed("install the service", err)
	}
	return true, m.system.secure()
}

// Start starts the service; one that runs is left alone.
func (m *Manager) Start() error {
	if state, err := m.State(); err == nil && state == Running {
		return nil
	}
	return m.failed("start the service", m.lib.Start())
}

// Stop stops the service and waits until it has ended. One that does not run, or
// is not there, is no error.
func (m *Manager) Stop() error {
	state, err := m.State()
	if err == nil && state != Running {
		return nil
	}
	return m.failed("stop the service", m.system.stop(m.lib.Stop))
}

// Restart stops the service and starts it.
func (m *Manager) Restart() error { return errors.Join(m.Stop(), m.Start()) }

// State says how the service is.
func (m *Manager) State() (State, error) {
	there, err := m.system.installed()
	if err != nil || !there {
		return Absent, err
	}
	status, err := m.lib.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return Absent, nil
	case err == nil && status == service.StatusRunning:
		return m.system.state(Running), nil
	}
	// An error is how the library says that it failed, or that it is stopped.
	return m.system.state(Stopped), nil
}

// Uninstall stops the service and removes all of it. It can be repeated.
func (m *Manager) Uninstall() error {
	there, err := m.system.installed()
	if err != nil {
		return err
	}
	if there {
		if err := m.Stop(); err != nil {
			return err
		}
		if err := m.lib.Uninstall(); err != nil {
			return m.failed("remove the service", err)
		}
		if err := m.system.removed(); err != nil {
			return m.failed("remove the service", err)
		}
	}
	for _, path := range m.system.traces() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the service: %w", err)
		}
	}
	return nil
}

func (m *Manager) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s (%s): %w", what, m.what, err)
}

// nothing is run by the library: our service runs itself.
type nothing struct{}

func (nothing) Start(service.Service) error { return nil }
func (nothing) Stop(service.Service) error  { return nil }

// Run runs agent as the service that the manager has started. On Windows it obeys
// the manager's Stop; elsewhere a service is a program like any other, and ctx ends
// by a signal.
func Run(ctx context.Context, agent func(context.Context) error) error { return run(ctx, agent) }
