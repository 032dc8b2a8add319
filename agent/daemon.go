package agent

import (
	"context"
	"fmt"

	"restic-manager/agent/service"
)

// AsService runs the agent as the service manager started it. On Windows it obeys
// the manager; elsewhere it is run itself.
func AsService(ctx context.Context, run func(context.Context) error) error {
	return service.Run(ctx, run)
}

// ServiceCommands are what ControlService does.
func ServiceCommands() []string {
	return []string{"status", "start", "stop", "restart", "install", "uninstall"}
}

// ControlService does one of ServiceCommands with the agent's service, waits until it
// is done, and says how the service then is. A command whose work is done already is
// no error.
func ControlService(command string) (string, error) {
	manager, err := service.Open()
	if err != nil {
		return "", err
	}
	switch command {
	case "status":
	case "start":
		err = manager.Start()
	case "stop":
		err = manager.Stop()
	case "restart":
		err = manager.Restart()
	case "install":
		_, err = manager.Install()
	case "uninstall":
		err = manager.Uninstall()
	default:
		return "", fmt.Errorf("%q is none of %v", command, ServiceCommands())
	}
	if err != nil {
		return "", fmt.Errorf("%w%s", err, rootAdvice(err))
	}
	state, err := manager.State()
	if err != nil {
		return "", fmt.Errorf("%w%s", err, rootAdvice(err))
	}
	return fmt.Sprintf("%s: %s (%s)", service.Name, state, manager), nil
}
