package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestAResticThatIsInstalledLaterIsUsed(t *testing.T) {
	dir := t.TempDir()
	installed := ""
	a := &Agent{
		log:    slog.New(slog.DiscardHandler),
		restic: restic.New(restic.Config{Binary: filepath.Join(dir, "restic"), CacheDir: dir, TempDir: dir}),
		find: func(context.Context) (string, error) {
			if installed == "" {
				return "", errors.New("there is none")
			}
			return installed, nil
		},
	}
	var before health
	if version := a.resticHealth(t.Context(), &before); version != "" || len(before.problems) != 1 || before.problems[0].Code != "restic_missing" {
		t.Fatalf("without a restic: version %q, %+v", version, before.problems)
	}
	installed = restictest.NewFake(t, restictest.Script{Version: "0.19.0"}).Path()
	var after health
	if version := a.resticHealth(t.Context(), &after); version != "0.19.0" || len(after.problems) != 0 {
		t.Errorf("once it was installed: version %q, %+v", version, after.problems)
	}
}

// TestALinkToResticStaysALink keeps the path that the next upgrade will not break.
func TestALinkToResticStaysALink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links are followed on windows")
	}
	dir := t.TempDir()
	link, versioned := filepath.Join(dir, "restic"), filepath.Join(dir, "restic_0.19.0")
	if err := os.WriteFile(versioned, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(versioned, link); err != nil {
		t.Fatal(err)
	}
	found := resticCandidates(func(name string) string { return map[string]string{"PATH": dir}[name] })
	if !slices.Contains(found, link) || slices.Contains(found, versioned) {
		t.Errorf("found %q, want %s", found, link)
	}
}
