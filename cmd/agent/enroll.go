package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"restic-manager/agent"
)

type enrollCommand struct {
	Server          string   `required:"" placeholder:"URL" help:"Address of the server."`
	Pin             string   `placeholder:"sha256:…" help:"Public key of a server whose certificate is self-made."`
	Profile         string   `default:"guarded" enum:"guarded,trusting" help:"What a new policy file allows: guarded, or trusting."`
	AllowRepository []string `sep:"none" placeholder:"LOCATION" help:"Prefix of repositories that a new policy file allows; may be repeated."`
	TokenStdin      bool     `required:"" help:"Read the one-time token from standard input: arguments can be seen by all users."`
}

// maxToken is more than any token has.
const maxToken = 4096

func (e *enrollCommand) Run(ctx context.Context, w world, c *commands) error {
	token, err := readToken(w.stdin)
	if err != nil {
		return usageError{err}
	}
	result, err := agent.Enrol(ctx, agent.Enrolment{
		ConfigPath: c.Config, Server: e.Server, Pin: e.Pin, Token: token,
		Profile: e.Profile, AllowRepositories: e.AllowRepository, Version: version, Getenv: w.getenv,
	})
	return w.tell(result, err)
}

func readToken(stdin io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(stdin, maxToken))
	if err != nil {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	token := strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff")) // PowerShell may add a mark
	if token == "" {
		return "", errors.New("standard input held no token: paste the whole enrolment line")
	}
	return token, nil
}
