package main

import (
	"fmt"
	"runtime"
)

type versionCommand struct{}

func (versionCommand) Run(w world) error {
	_, err := fmt.Fprintf(w.stdout, "restic-manager-agent %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
	return err
}
