//go:build linux

// Package bench_test measures what the product costs, each figure beside a baseline
// of the same call: the built programs as processes on loopback, the real restic and
// rest-server, and simulated agents that speak the contract. It holds no code but
// tests, and asserts no time.
//
// A row is a ratio. Ours and its baseline take turns, or run side by side, and a
// second baseline takes part as one more contestant: what the two baselines differ
// by is the noise of this call (the column A/A).
//
//	go test -run '^$' -bench . -benchtime 1x ./cmd/bench
//	go test -run '^$' -bench Ingest -benchtime 1x ./cmd/bench -profile /tmp/profiles
//
// It reads /proc, so it runs on Linux alone.
package bench_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"restic-manager/server/store/storetest"
)

var (
	agentsFlag  = flag.Int("agents", 10_000, "agents that are parked at most")
	pairsFlag   = flag.Int("pairs", 5, "backups of each kind; one more is made where there are unchanged files")
	filesFlag   = flag.Int("files", 20_000, "files that are backed up")
	sizeFlag    = flag.Int("size", 300, "MiB that these files have together")
	roundsFlag  = flag.Int("rounds", 5, "rounds of the ingest, ours and the baselines in each")
	profileFlag = flag.String("profile", "", "folder for the server's profiles; its process is then this program with the server inside")
)

// programs is the folder of the built programs.
var programs string

// TestMain measures, or plays the part of another process of a measurement.
func TestMain(m *testing.M) {
	if part := os.Getenv(partVariable); part != "" {
		os.Exit(play(part))
	}
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		os.Exit(m.Run()) // nothing is measured
	}
	os.Exit(measure(m))
}

func measure(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rm-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	for name, pkg := range map[string]string{
		"restic-manager": "restic-manager/cmd/server", "restic-manager-agent": "restic-manager/cmd/agent", "idle": "./testdata/idle",
	} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	code := storetest.Main(m)
	results.print(os.Stdout)
	return code
}
