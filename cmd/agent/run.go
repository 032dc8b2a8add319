package main

import (
	"context"
	"log/slog"
	"time"

	"restic-manager/agent"
)

type runCommand struct {
	FirstContact time.Duration `default:"5s" help:"The server is first called after a random part of this, so that a fleet does not call at once."`
	Service      bool          `hidden:"" help:"Started by the service manager of Windows."`
}

func (r *runCommand) Run(ctx context.Context, w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	out, run := w.stderr, func(ctx context.Context, run func(context.Context) error) error { return run(ctx) }
	if r.Service {
		out, run = serviceLog(config, w.stderr), agent.AsService
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: config.LogLevel}))
	return run(ctx, func(ctx context.Context) error {
		err := agent.Serve(ctx, agent.Service{
			Config: config, Version: version, FirstContact: r.FirstContact, Getenv: w.getenv, Log: log,
		})
		if err != nil && r.Service {
			log.Error("agent ended", "err", err) // nobody sees what the program prints
		}
		return err
	})
}
