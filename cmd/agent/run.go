package main

import (
	"context"
	"log/slog"
	"time"

	"restic-manager/agent"
)

type runCommand struct {
	FirstContact time.Duration `default:"5s" help:"The server is first called after a random part of this, so that a fleet does not call at once."`
}

func (r *runCommand) Run(ctx context.Context, w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(w.stderr, &slog.HandlerOptions{Level: config.LogLevel}))
	return agent.Serve(ctx, agent.Service{
		Config: config, Version: version, FirstContact: r.FirstContact, Getenv: w.getenv, Log: log,
	})
}
