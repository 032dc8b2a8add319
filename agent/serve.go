package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/custody"
	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Service is an agent to be run from its configuration.
type Service struct {
	Config       Config
	Version      string
	FirstContact time.Duration
	Getenv       func(string) string
	Log          *slog.Logger
}

// Serve runs the agent of this machine until ctx ends. An error means that it could
// not begin; nothing that happens later ends it.
func Serve(ctx context.Context, s Service) error {
	if err := custody.MakeFolder(s.Config.StateDir); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	store, err := secret.Open(s.Config.StateDir, s.Getenv)
	if err != nil {
		return err
	}
	identity, err := loadIdentity(store)
	if err == nil && identity.HostID == "" {
		err = errNotEnrolled
	}
	if err != nil {
		return err
	}
	for {
		err := s.live(ctx, identity, store)
		if !errors.Is(err, errDiskBack) {
			return err
		}
		if identity, err = loadIdentity(store); err != nil {
			return err
		}
		s.FirstContact = 0
	}
}

// live is one life of the agent, from its state on disk.
func (s Service) live(ctx context.Context, identity Identity, store *secret.Store) error {
	kept, err := spool.Open(ctx, spool.Options{Dir: s.Config.hostDir(identity.HostID)})
	if err != nil {
		return err
	}
	defer func() {
		if err := kept.Close(); err != nil {
			s.Log.Error("state not closed", "err", err)
		}
	}()
	a, err := s.assemble(ctx, identity, store, kept)
	if err != nil {
		return err
	}
	s.Log.Info("agent begins", "version", s.Version, "host", identity.HostID, "server", s.Config.Server, "secrets", store.Rung())
	return a.Run(ctx)
}

// assemble makes an agent of what is on this machine.
func (s Service) assemble(ctx context.Context, identity Identity, store *secret.Store, kept *spool.Spool) (*Agent, error) {
	link, err := control.NewLink(s.Config.linkOptions(identity, s.Version, kept))
	if err != nil {
		return nil, err
	}
	storage, err := s.Config.storageClient()
	if err != nil {
		return nil, err
	}
	binary, _, err := findRestic(ctx, s.Config, s.Getenv)
	if err != nil {
		// It runs all the same: the server shows what is missing, and a restic
		// that is installed later is used.
		s.Log.Warn("restic cannot be used", "err", err)
		binary = orDefault(s.Config.Restic, resticPlaces(s.Getenv)[0])
	}
	options := Options{
		Identity: identity, Link: link, Spool: kept, Secrets: store,
		Policy:  func() (*policy.Policy, error) { return s.Config.loadPolicy() },
		Version: s.Version, BootID: bootID(), Log: s.Log,
		Upkeep: upkeepDir(s.Config),
		Restic: restic.New(s.Config.resticConfig(binary, s.Getenv)), Storage: storage, FirstContact: s.FirstContact,
	}
	if s.Config.Restic == "" {
		options.FindRestic = func(ctx context.Context) (string, error) {
			path, _, err := findRestic(ctx, s.Config, s.Getenv)
			return path, err
		}
	}
	inForce, err := spool.LoadConfig(s.Config.hostDir(identity.HostID))
	switch {
	case err == nil:
		options.Config, options.ConfigAt = &inForce, spool.ConfigSaved(s.Config.hostDir(identity.HostID))
	case !errors.Is(err, fs.ErrNotExist):
		s.Log.Error("configuration in force not read; waiting for the server's", "err", err)
	}
	return New(options)
}

// hostDir is where the state for one host is: another host's journal, should this
// machine ever become one, must not be taken for its own.
func (c Config) hostDir(host string) string { return filepath.Join(c.StateDir, "host-"+host) }

// linkOptions say how the server is reached.
func (c Config) linkOptions(identity Identity, version string, memory control.Memory) control.Options {
	return control.Options{
		Server: c.Server, HostID: identity.HostID, Secret: identity.Secret,
		UserAgent: "restic-manager-agent/" + version,
		Proxy:     c.Proxy, CAFile: c.CAFile, Pin: strings.TrimPrefix(c.Pin, "sha256:"),
		Memory: memory,
	}
}
