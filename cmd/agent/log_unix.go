//go:build unix

package main

import (
	"io"

	"restic-manager/agent"
)

// serviceLog is where a service writes: its manager keeps what it prints.
func serviceLog(_ agent.Config, printed io.Writer) io.Writer { return printed }
