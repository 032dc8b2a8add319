package program

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// shelf makes a folder with files and their digests.
func shelf(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	var sums strings.Builder
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sums.WriteString(sumOf([]byte(text)) + "  " + name + "\n")
	}
	if err := os.WriteFile(filepath.Join(folder, sumsFile), []byte(sums.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestAProgramThatHasChangedIsNotHandedOutAndSaysSo(t *testing.T) {
	const file = "restic-0.19.1-linux-amd64"
	folder := shelf(t, map[string]string{file: "good"})
	shelves := New(folder)
	read := func() (string, error) {
		body, size, err := shelves.Open(file)
		if err != nil {
			return "", err
		}
		defer body.Close()
		data, err := io.ReadAll(body)
		if int64(len(data)) != size {
			t.Errorf("%d bytes, said to be %d", len(data), size)
		}
		return string(data), err
	}
	for range 2 { // the second time its digest is known
		if got, err := read(); got != "good" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	path := filepath.Join(folder, file)
	if err := os.WriteFile(path, []byte("evil"), 0o600); err != nil { // as long as before
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var damaged *Damaged
	if got, err := read(); !errors.As(err, &damaged) {
		t.Errorf("got %q, %v", got, err)
	}
	list, err := shelves.List()
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Problem, "digest") {
		t.Errorf("got %+v, %v", list, err)
	}
	if newest, err := shelves.Newest(); err != nil || len(newest) != 0 {
		t.Errorf("installers would name it: %+v, %v", newest, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := read(); !errors.As(err, &damaged) {
		t.Errorf("gone: %v", err)
	}
}

func TestOnlyWhatIsListedIsHandedOut(t *testing.T) {
	folder := shelf(t, map[string]string{"restic-0.18.0-linux-amd64": "a", "notes.txt": "b", "restic-0.18.0-linux-amd64.exe": "c"})
	if err := os.WriteFile(filepath.Join(folder, "restic-0.17.0-linux-amd64"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shelves := New(folder, filepath.Join(folder, "none"))
	for _, file := range []string{"notes.txt", "restic-0.17.0-linux-amd64", sumsFile, "../x", "restic-0.18.0-linux-amd64.exe", ""} {
		if _, _, err := shelves.Open(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", file, err)
		}
	}
	list, err := shelves.List()
	if err != nil || len(list) != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestTheInstallerNamesTheNewestOfEachKind(t *testing.T) {
	one := shelf(t, map[string]string{"restic-manager-agent-v1.2-3-gabc-dirty-linux-amd64": "agent", "restic-manager-agent-v1-windows-amd64.exe": "exe"})
	two := shelf(t, map[string]string{"restic-0.9.6-linux-amd64": "old", "restic-0.19.1-linux-amd64": "new", "restic-0.19.0-linux-amd64": "between"})
	shelves := New(one, two)
	text, err := shelves.Installer(LinuxInstaller, "sha256:"+strings.Repeat("00", 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"restic linux amd64 " + sumOf([]byte("new")) + " restic-0.19.1-linux-amd64\n",
		"restic-manager-agent linux amd64 " + sumOf([]byte("agent")) + " restic-manager-agent-v1.2-3-gabc-dirty-linux-amd64\n",
		"pinned='sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("install.sh does not hold %q", want)
		}
	}
	if strings.Contains(string(text), "0.19.0") || strings.Contains(string(text), "0.9.6") {
		t.Error("install.sh names an older restic")
	}
	again, err := shelves.Installer(LinuxInstaller, "sha256:"+strings.Repeat("00", 32))
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("it is not the same each time: %v", err)
	}
	windows, err := shelves.Installer(WindowsInstaller, "")
	if err != nil || !strings.Contains(string(windows), "restic-manager-agent windows amd64 "+sumOf([]byte("exe"))) {
		t.Errorf("install.ps1: %v", err)
	}
	if _, err := shelves.Installer("other", ""); err == nil {
		t.Error("any file is an installer")
	}
}

// built compiles a program for a system, whose build calls it as path says.
func built(t *testing.T, system, machine string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.org/restic\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", "program", ".")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "GOOS="+system, "GOARCH="+machine, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(folder, "program")
}

func TestAResticIsAddedUnderWhatItIs(t *testing.T) {
	path := built(t, "windows", "arm64")
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped := filepath.Join(t.TempDir(), "restic.zip")
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	if f, err := w.Create("restic.exe"); err != nil {
		t.Fatal(err)
	} else if _, err := f.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.WriteFile(zipped, archive.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "programs")
	for _, path := range []string{path, zipped, path} {
		p, err := Add(folder, Fetched{Path: path, Version: "0.19.1", OS: runtime.GOOS, Arch: runtime.GOARCH})
		if err != nil || p.File != "restic-0.19.1-windows-arm64.exe" || p.SHA256 != sumOf(program) {
			t.Fatalf("got %+v, %v", p, err)
		}
	}
	list, err := New(folder).List()
	if err != nil || len(list) != 1 || list[0].Problem != "" || list[0].Bytes != int64(len(program)) {
		t.Errorf("on the shelf: %+v, %v", list, err)
	}
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", `cd "$0" && sha256sum -c SHA256SUMS`, folder).CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

func TestWhatIsNoUsableResticIsNotAdded(t *testing.T) {
	foreign := built(t, "windows", "amd64")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	other, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	says := func(version string) func(string) (string, error) {
		return func(string) (string, error) { return version, nil }
	}
	own := built(t, runtime.GOOS, runtime.GOARCH)
	for name, c := range map[string]struct {
		Fetched
		want string
	}{
		"a text":                   {Fetched{Path: text}, "no program for Linux or Windows"},
		"another program":          {Fetched{Path: other}, "not restic but"},
		"one that cannot be asked": {Fetched{Path: foreign}, "--version-is"},
		"too old":                  {Fetched{Path: foreign, Version: "0.16.4"}, "older than"},
		"no version":               {Fetched{Path: foreign, Version: "new"}, "no version"},
		"a path for a version":     {Fetched{Path: foreign, Version: "../../0.19.1"}, "no version"},
		"another digest":           {Fetched{Path: foreign, Version: "0.19.1", SHA256: strings.Repeat("0", 64)}, "does not have that SHA-256"},
		"another version":          {Fetched{Path: own, Version: "0.19.1", VersionOf: says("0.18.0")}, "says that it is 0.18.0"},
		"too old by its own word":  {Fetched{Path: own, VersionOf: says("0.14.0")}, "older than"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			c.OS, c.Arch = runtime.GOOS, runtime.GOARCH
			if _, err := Add(folder, c.Fetched); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if entries, _ := os.ReadDir(folder); len(entries) != 0 {
				t.Errorf("left %v", entries)
			}
		})
	}
}
