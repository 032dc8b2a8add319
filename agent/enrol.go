package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"restic-manager/agent/control"
	"restic-manager/agent/custody"
	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// Enrolment is what an enrolment line says, and where this machine keeps things.
type Enrolment struct {
	ConfigPath        string // "" for the usual one
	Server            string
	Pin               string
	Token             string
	Profile           string   // of a policy file that is not there yet
	AllowRepositories []string // its prefixes
	Version           string
	Getenv            func(string) string

	written []string // files that were not there before
}

// Enrolled says what Enrol did, and what is left to do, in plain words.
type Enrolled struct {
	HostID string
	Done   []string
	Next   []string
}

func (e *Enrolled) did(format string, args ...any) {
	e.Done = append(e.Done, fmt.Sprintf(format, args...))
}

func (e *Enrolled) advise(format string, args ...any) {
	e.Next = append(e.Next, fmt.Sprintf(format, args...))
}

// Enrol makes this machine known to a server. It writes the configuration and the
// policy file where there are none, and replaces neither. It can be repeated with
// the same token until it succeeds, and afterwards: the server then gives the same
// answer. Where the server refuses the token, what was written for it goes again, since
// the right line may say otherwise. Done is filled in as far as it came, also with an error.
func Enrol(ctx context.Context, e Enrolment) (Enrolled, error) {
	var result Enrolled
	config, err := e.settle()
	if err != nil {
		return result, err
	}
	if err := custody.MakeFolder(config.StateDir); err != nil {
		return result, fmt.Errorf("state folder: %w%s", err, rootAdvice(err))
	}
	store, err := secret.Open(config.StateDir, e.Getenv)
	if err != nil {
		return result, err
	}
	found, version, findErr := findRestic(ctx, config, e.Getenv)
	if findErr == nil {
		config.Restic = found
	}
	if err := e.writeFiles(config, &result); err != nil {
		return result, err
	}
	if err := e.introduce(ctx, config, store, &result); err != nil {
		return result, errors.Join(err, e.takeBack(err, &result))
	}
	if findErr != nil {
		result.Next = append(result.Next, resticWords(findErr))
	} else {
		result.did("restic %s is at %s", version, found)
	}
	result.Next = append(result.Next, "start the agent: restic-manager-agent run (or its service), and look at it with: restic-manager-agent doctor")
	return result, nil
}

// settle checks the line against the configuration that is there.
func (e *Enrolment) settle() (Config, error) {
	e.ConfigPath = orDefault(e.ConfigPath, defaultPlaces(e.Getenv).config)
	config, err := ReadConfig(e.ConfigPath, e.Getenv)
	if err != nil {
		return config, err
	}
	line := configFile{Server: e.Server, Pin: e.Pin}
	if err := line.check("of the enrolment line"); err != nil {
		return config, err
	}
	if config.Server != "" && config.Server != strings.TrimSuffix(e.Server, "/") {
		return config, fmt.Errorf("%s names the server %s, and the line another: if an attempt before this one has written it, or the server has moved, "+
			"correct server there, or run: rm %s; then paste the line again", e.ConfigPath, config.Server, custody.Quote(e.ConfigPath))
	}
	if config.Pin != "" && e.Pin != "" && config.Pin != e.Pin {
		return config, fmt.Errorf("%s pins another key of the server than the line: correct pin there, then paste the line again", e.ConfigPath)
	}
	for _, location := range e.AllowRepositories {
		if _, err := restic.ParseLocation(location); err != nil {
			return config, fmt.Errorf("--allow-repository: %w", err)
		}
	}
	config.Server, config.Pin = strings.TrimSuffix(e.Server, "/"), orDefault(config.Pin, e.Pin)
	return config, nil
}

// writeFiles writes the configuration and the policy where there are none.
func (e *Enrolment) writeFiles(config Config, result *Enrolled) error {
	for _, path := range []string{e.ConfigPath, config.Policy} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("%w%s", err, rootAdvice(err))
		}
	}
	switch err := WriteConfig(e.ConfigPath, config, e.Getenv); {
	case err == nil:
		e.written = append(e.written, e.ConfigPath)
		result.did("wrote the configuration %s", e.ConfigPath)
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w%s", err, rootAdvice(err))
	default:
		kept, err := readConfigFile(e.ConfigPath)
		if err != nil {
			return err
		}
		if kept.Server == "" && e.Getenv(option{name: "server"}.env()) == "" {
			return fmt.Errorf("%s does not name the server: add the line\n  server: %s\nand paste the enrolment line again", e.ConfigPath, config.Server)
		}
		result.did("kept the configuration %s", e.ConfigPath)
		if kept.Pin == "" && e.Pin != "" && e.Getenv(option{name: "pin"}.env()) == "" {
			result.advise("the configuration %s does not have the server's key that the line has: unless an authority has signed its certificate, "+
				"add the line pin: %s", e.ConfigPath, e.Pin)
		}
	}
	err := policy.Default(policy.Profile(e.Profile), e.AllowRepositories...).Write(config.Policy)
	switch {
	case errors.Is(err, fs.ErrExist):
		result.did("kept the policy file %s as it is: see restic-manager-agent policy show", config.Policy)
		e.comparePolicy(config, result)
	case err != nil:
		return fmt.Errorf("%w%s", err, rootAdvice(err))
	default:
		e.written = append(e.written, config.Policy)
		result.did("wrote the policy file %s with the profile %s", config.Policy, e.Profile)
	}
	return nil
}

// takeBack removes what was written for a token that turned out to be worth nothing.
func (e *Enrolment) takeBack(why error, result *Enrolled) error {
	if !control.IsRefusal(why, "enrolment_token_invalid") && !control.IsRefusal(why, "enrolment_token_used") {
		return nil
	}
	var errs []error
	for _, path := range e.written {
		errs = append(errs, os.Remove(path))
		result.did("removed %s again, since the server refused the token", path)
	}
	return errors.Join(errs...)
}

// comparePolicy says in what a policy file that was kept is less than the line asks for.
// The file is root's word, and stays.
func (e *Enrolment) comparePolicy(config Config, result *Enrolled) {
	kept, err := config.loadPolicy()
	var locked *policy.Locked
	switch {
	case errors.As(err, &locked):
		result.advise("the policy file %s locks the agent: %s; %s", config.Policy, locked.What, locked.Next)
		return
	case err != nil:
		return
	}
	if e.Profile != "" && string(kept.Profile) != e.Profile {
		result.advise("the policy file %s was kept and has the profile %s, where the line says %s", config.Policy, kept.Profile, e.Profile)
	}
	for _, location := range e.AllowRepositories {
		var refusal *policy.Refusal
		if errors.As(kept.AllowRepository(location), &refusal) {
			result.advise("the policy file %s was kept and does not allow %s, which the line names; if it should, %s", config.Policy, location, refusal.Next)
		}
	}
}

// introduce sends the token. Whom it makes this machine is on the disk before that.
func (e *Enrolment) introduce(ctx context.Context, config Config, store *secret.Store, result *Enrolled) error {
	identity, err := loadIdentity(store)
	if err != nil && !errors.Is(err, errNotEnrolled) {
		return err
	}
	candidate := identity.candidate(config.Server, e.Token)
	identity.pending = &candidate
	if err := identity.save(store); err != nil {
		return err
	}
	link, err := control.NewLink(config.linkOptions(Identity{}, e.Version, nil))
	if err != nil {
		return err
	}
	defer link.Close()
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("ask this machine for its name: %w", err)
	}
	answer, err := link.Enrol(ctx, control.EnrolRequest{
		Token: e.Token, InstallId: candidate.InstallID, SecretHash: hashOf(candidate.Secret.Reveal()),
		Hostname: hostname, Os: runtime.GOOS, Arch: runtime.GOARCH, AgentVersion: e.Version,
	})
	if err != nil {
		return fmt.Errorf("enrol at %s: %w%s", config.Server, err, enrolAdvice(err))
	}
	candidate.HostID = answer.HostId
	if err := candidate.save(store); err != nil {
		return err
	}
	result.HostID = answer.HostId
	result.did("enrolled at %s as host %s (%s)", config.Server, answer.HostName, answer.HostId)
	return nil
}

// enrolAdvice is what helps when the server or the network refuses an enrolment.
func enrolAdvice(err error) string {
	var transport *control.TransportError
	switch {
	case control.IsRefusal(err, "enrolment_token_invalid"):
		return " Make it under Add host, and copy it whole."
	case control.IsRefusal(err, "enrolment_token_used"):
		return " Make it under Add host."
	case errors.As(err, &transport):
		return transportAdvice(transport.Kind)
	}
	return ""
}

// transportAdvice is what helps when the server is not reached.
func transportAdvice(kind control.Kind) string {
	switch kind {
	case control.Refused, control.Timeout:
		return "; look whether the address is right and a firewall lets this machine through; behind a proxy, set proxy in the configuration"
	case control.NotOurs, control.Redirect:
		return "; something between here and the server answered in its place: look at the address, the port and the proxy"
	case control.ProxyAuth:
		return "; the proxy wants a user and password: set proxy in the configuration"
	case control.TLS:
		return "; paste the whole line, with its --pin if it has one, or add the authority that signs the server's certificate to the system's store, or name its file: RM_AGENT_CA_FILE, ca_file in the configuration"
	}
	return "; try again"
}

// rootAdvice is for what failed because the user may not.
func rootAdvice(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "; run it as root (on Windows: as an administrator)"
	}
	return ""
}

// resticWords says in one sentence why restic cannot be used, and what helps.
func resticWords(err error) string {
	var refused *restic.Error
	if errors.As(err, &refused) && refused.Next != "" {
		return refused.Message + "; " + refused.Next
	}
	return err.Error()
}
