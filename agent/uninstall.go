package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"restic-manager/agent/service"
)

// Removal is what Uninstall is asked for.
type Removal struct {
	ConfigPath string // "" for the usual one
	Keep       bool   // leave configuration, policy and state, for a later installation
	Getenv     func(string) string
}

// Uninstall stops the service and removes what Install and the agent have put on this
// machine: service, configuration, policy, state, cache, a restic that the installer
// fetched, and this program. What else lies in those folders stays and is told in
// Next. Nothing of the server or of the repositories is touched. It can be repeated.
func Uninstall(r Removal) (Enrolled, error) {
	var result Enrolled
	config, err := ReadConfig(r.ConfigPath, r.Getenv)
	if err != nil {
		return result, fmt.Errorf("%w\nit says what is to be removed: correct it first, or remove it to uninstall from the usual places", err)
	}
	manager, err := service.Open()
	switch {
	case err == nil:
		if err := manager.Uninstall(); err != nil {
			return result, fmt.Errorf("%w%s", err, rootAdvice(err))
		}
		result.did("stopped and removed the service %s (%s)", service.Name, manager)
	case !errors.Is(err, service.ErrNoManager):
		return result, err
	}
	if !r.Keep {
		if err := r.removeState(config, &result); err != nil {
			return result, err
		}
	}
	if err := removeOurs(&result, ownRestic(r.Getenv)); err != nil {
		return result, err
	}
	removeEmpty(filepath.Dir(ownRestic(r.Getenv)))
	if err := removeProgram(service.Program(), &result); err != nil {
		return result, err
	}
	removeEmpty(filepath.Dir(service.Program()))
	if r.Keep {
		result.Next = append(result.Next, fmt.Sprintf("kept: %s, %s and %s", orDefault(r.ConfigPath, defaultPlaces(r.Getenv).config), config.Policy, config.StateDir))
	}
	result.Next = append(result.Next, "remove the host at the server, if it is not to come back; its snapshots stay in the repository")
	return result, nil
}

// removeState removes what the agent knows. A folder counts as the agent's only if
// its sealed store lies there: the configuration could name any.
func (r Removal) removeState(config Config, result *Enrolled) error {
	path := orDefault(r.ConfigPath, defaultPlaces(r.Getenv).config)
	_, err := os.Lstat(filepath.Join(config.StateDir, sealedStore))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w%s", err, rootAdvice(err))
	}
	if err != nil { //guard:uninstall-own
		removeEmpty(config.StateDir)
	} else if err := removeTree(config.StateDir); err != nil {
		return fmt.Errorf("remove %s: %w%s", config.StateDir, err, rootAdvice(err))
	} else {
		result.did("removed %s", config.StateDir)
	}
	if err := removeOurs(result, path, config.Policy); err != nil {
		return err
	}
	for _, folder := range []string{filepath.Dir(path), filepath.Dir(config.Policy)} {
		if rest := removeEmpty(folder); len(rest) > 0 {
			result.Next = append(result.Next, fmt.Sprintf("not made by the agent, and left in %s: %s", folder, strings.Join(rest, ", ")))
		}
	}
	if _, err := os.Lstat(config.CacheDir); err == nil {
		result.Next = append(result.Next, fmt.Sprintf("left %s: a cache of restic that others may use as well", config.CacheDir))
	}
	return nil
}

// removeOurs removes files, where they are.
func removeOurs(result *Enrolled, paths ...string) error {
	for _, path := range paths {
		switch err := os.Remove(path); {
		case err == nil:
			result.did("removed %s", path)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w%s", err, rootAdvice(err))
		}
	}
	return nil
}

// removeEmpty removes a folder of ours that holds nothing, and gives the names in one
// that does. A folder that others use too, such as /etc, is not ours.
func removeEmpty(folder string) []string {
	if !strings.HasPrefix(filepath.Base(folder), "restic-manager") { //guard:uninstall-folder
		return nil
	}
	if os.Remove(folder) == nil {
		return nil
	}
	entries, _ := os.ReadDir(folder)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}
