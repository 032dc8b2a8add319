package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"restic-manager/restic"
	"restic-manager/server/program"
)

// programs gives the shelves of this server: the agents that came with its program,
// and what an operator has added.
func (s *settings) programs() *program.Shelves {
	var folders []string
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		folders = append(folders, filepath.Join(filepath.Dir(self), "agents"))
	}
	return program.New(append(folders, s.ProgramsDir)...)
}

// AddedProgram is a program that a server now hands out.
type AddedProgram struct{ File, SHA256 string }

// AddProgram puts a restic that somebody has downloaded on the server's shelf and pins
// its digest. A server that runs hands it out from then on. sum is the SHA-256 that
// the file must have, and version what a program for another system is; both may be
// empty.
func AddProgram(ctx context.Context, o Options, path, sum, version string) (AddedProgram, error) {
	settings, err := o.check()
	if err != nil {
		return AddedProgram{}, err
	}
	folder, err := filepath.Abs(settings.ProgramsDir)
	if err != nil {
		return AddedProgram{}, err
	}
	p, err := program.Add(folder, program.Fetched{
		Path: path, SHA256: sum, Version: version, OS: runtime.GOOS, Arch: runtime.GOARCH,
		VersionOf: func(binary string) (string, error) { return askVersion(ctx, binary) },
	})
	return AddedProgram{p.File, p.SHA256}, err
}

// askVersion runs a restic that is to be added.
func askVersion(ctx context.Context, binary string) (_ string, err error) {
	scratch, err := os.MkdirTemp("", "restic-manager-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	version, err := restic.New(restic.Config{Binary: binary, CacheDir: scratch, TempDir: scratch}).Version(ctx)
	if err != nil {
		return "", err
	}
	return version.String(), nil
}
