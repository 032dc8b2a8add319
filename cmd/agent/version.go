package main

import (
	"fmt"
	"runtime"
)

type versionCommand struct{}

func (versionCommand) Run(w world) error {
	_, err := fmt.Fprintln(w.stdout, versionText())
	return err
}

func versionText() string {
	return fmt.Sprintf("restic-manager-agent %s %s/%s", version, runtime.GOOS, runtime.GOARCH)
}
