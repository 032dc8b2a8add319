package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"github.com/kardianos/service"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// Program is where the agent lies that the service runs.
func Program() string {
	programs := os.Getenv("ProgramFiles")
	if programs == "" {
		programs = `C:\Program Files`
	}
	return filepath.Join(programs, "restic-manager", "restic-manager-agent.exe")
}

// asService makes `run` speak with the service manager. The library would ask the
// system whether it is a service, which is not always answered rightly; we know.
var asService = []string{"run", "--service"}

func detect() (found, error) {
	return found{what: "Windows", library: service.ChosenSystem(), arguments: asService, system: registered{}}, nil
}

// registered is a service in the registry of Windows.
type registered struct{}

// open calls f with the service, if it is there.
func open(f func(*mgr.Service) error) (there bool, err error) {
	m, err := mgr.Connect()
	if err != nil {
		return false, fmt.Errorf("reach the service manager (as an administrator?): %w", err)
	}
	defer func() { err = errors.Join(err, m.Disconnect()) }()
	s, err := m.OpenService(Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return true, f(s)
}

func (registered) installed() (bool, error) {
	return open(func(*mgr.Service) error { return nil })
}

func (registered) outdated() (old bool, err error) {
	_, err = open(func(s *mgr.Service) error {
		// The library of the system would ask for more, which Wine does not know.
		config := make([]byte, 8<<10) // Windows never needs more
		known := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&config[0]))
		var wanted uint32
		if err := windows.QueryServiceConfig(s.Handle, known, uint32(len(config)), &wanted); err != nil {
			return fmt.Errorf("read the service: %w", err)
		}
		old = windows.UTF16PtrToString(known.BinaryPathName) != commandLine() || known.StartType != mgr.StartAutomatic
		return nil
	})
	return old, err
}

// commandLine is quoted: in a path with blanks, Windows would also look for a program
// that ends at the first.
func commandLine() string {
	words := []string{windows.EscapeArg(Program())}
	return strings.Join(append(words, asService...), " ")
}

// secure lets Windows start an agent again that has died, after 5 s.
func (registered) secure() error {
	_, err := open(func(s *mgr.Service) error {
		again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 5 * time.Second}
		err := s.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, 24*60*60)
		if err == nil { // an agent that ends with an error, too
			err = s.SetRecoveryActionsOnNonCrashFailures(true)
		}
		if errors.Is(err, windows.ERROR_INVALID_LEVEL) || errors.Is(err, windows.ERROR_CALL_NOT_IMPLEMENTED) {
			return nil // Wine has no such thing
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("let Windows start the service again when it dies: %w", err)
	}
	return nil
}

func (registered) removed() error        { return nil }
func (registered) traces() []string      { return nil }
func (registered) state(lib State) State { return lib }

// stopPatience is how long a service may take to end: restic is interrupted, and has
// 75 s to remove its lock.
const stopPatience = 150 * time.Second

// stop asks the service to stop and waits. The library would wait without an end.
func (registered) stop(func() error) error {
	_, err := open(func(s *mgr.Service) error {
		status, err := s.Control(svc.Stop)
		if err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
			return err
		}
		for end := time.Now().Add(stopPatience); err == nil && status.State != svc.Stopped; {
			if time.Now().After(end) {
				return fmt.Errorf("it did not stop within %s", stopPatience)
			}
			time.Sleep(200 * time.Millisecond)
			status, err = s.Query()
		}
		return nil
	})
	return err
}

func run(ctx context.Context, agent func(context.Context) error) error {
	h := &handler{ctx: ctx, agent: agent}
	if err := svc.Run(Name, h); err != nil {
		return fmt.Errorf("speak with the service manager: %w", err)
	}
	return h.err
}

// handler is the agent as the service manager sees it.
type handler struct {
	ctx   context.Context //nolint:containedctx // the manager's callback has none
	agent func(context.Context) error
	err   error
}

// Execute runs the agent until the manager says Stop or the machine is shut down. An
// agent that ends by itself has failed, so that Windows starts it again.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, code uint32) {
	ctx, stop := context.WithCancel(h.ctx)
	defer stop()
	changes <- svc.Status{State: svc.StartPending}
	ended := make(chan error, 1)
	go func() { ended <- h.agent(ctx) }()
	changes <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	stopping := false
	for {
		select {
		case h.err = <-ended:
			if h.err != nil || !stopping {
				return true, 1
			}
			return false, 0
		case request := <-requests:
			switch request.Cmd {
			case svc.Interrogate:
				changes <- request.CurrentStatus
			case svc.Stop, svc.Shutdown:
				stopping = true
				changes <- svc.Status{State: svc.StopPending, WaitHint: uint32(stopPatience / time.Millisecond)}
				stop()
			}
		}
	}
}
