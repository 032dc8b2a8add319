package main

import (
	"fmt"

	"restic-manager/agent"
)

type storageAcceptKey struct {
	Key []string `arg:"" help:"The full id of a key that you have added, as inspect names it; several may be given."`
}

func (s *storageAcceptKey) Run(w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	for _, id := range s.Key {
		if err := agent.AcceptKey(config, id); err != nil {
			return err
		}
	}
	fmt.Fprintf(w.stdout, "accepted %d keys; the next job that looks at the repository takes them for known ones\n", len(s.Key))
	return nil
}
