package agent

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"restic-manager/restic"
)

// findRestic returns the installed restic that the configuration names, else the
// first in the usual places or on PATH that the agent may use. The error says why
// the best candidate will not do, or how to install one.
func findRestic(ctx context.Context, c Config, getenv func(string) string) (string, restic.Version, error) {
	scratch, err := os.MkdirTemp("", "restic-manager-agent-")
	if err != nil {
		return "", restic.Version{}, err
	}
	defer os.RemoveAll(scratch)
	version := func(binary string) (restic.Version, error) {
		return restic.New(restic.Config{Binary: binary, CacheDir: scratch, TempDir: scratch}).Version(ctx)
	}
	if c.Restic != "" {
		v, err := version(c.Restic)
		return c.Restic, v, err
	}
	var first error
	for _, candidate := range resticCandidates(getenv) {
		v, err := version(candidate)
		if err == nil {
			return candidate, v, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = &restic.Error{Code: restic.CodeResticMissing, Message: "restic is not installed on this machine", Next: resticAdvice}
	}
	return "", restic.Version{}, first
}

// resticCandidates lists the files that may be restic, each once. Links stay as they
// are, since they outlast an upgrade: package restic checks each of them before it
// starts anything. On Windows it does not, so there they are followed here.
func resticCandidates(getenv func(string) string) []string {
	name := "restic"
	if runtime.GOOS == "windows" {
		name = "restic.exe"
	}
	places := resticPlaces(getenv)
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if filepath.IsAbs(dir) {
			places = append(places, filepath.Join(dir, name))
		}
	}
	var found []string
	seen := map[string]bool{}
	for _, place := range places {
		real, err := filepath.EvalSymlinks(place)
		if err != nil || seen[real] {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() {
			seen[real] = true
			if runtime.GOOS == "windows" {
				place = real
			}
			found = append(found, place)
		}
	}
	return found
}
