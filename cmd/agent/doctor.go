package main

import (
	"context"
	"fmt"

	"restic-manager/agent"
)

type doctorCommand struct{}

func (doctorCommand) Run(ctx context.Context, w world, c *commands) error {
	findings := agent.Examine(ctx, c.Config, version, w.getenv)
	bad := false
	for _, f := range findings {
		fmt.Fprintf(w.stdout, "%-8s %-14s %s\n", f.Verdict, f.Subject, f.Says)
		if f.Next != "" {
			fmt.Fprintf(w.stdout, "%24s%s\n", "→ ", f.Next)
		}
		bad = bad || f.Verdict == agent.Bad
	}
	if bad {
		return errSaid
	}
	return nil
}
