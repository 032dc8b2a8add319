package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic/restictest"
	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/program"
)

// shelf makes a folder with programs and their digests.
func shelf(t *testing.T, files map[string]string) (string, *program.Shelves) {
	t.Helper()
	folder := t.TempDir()
	var sums strings.Builder
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		sums.WriteString(hex.EncodeToString(sum[:]) + "  " + name + "\n")
	}
	if err := os.WriteFile(filepath.Join(folder, "SHA256SUMS"), []byte(sums.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder, program.New(folder)
}

const agentFile, resticFile = "restic-manager-agent-v1-linux-amd64", "restic-0.19.1-linux-amd64"

func TestAnybodyGetsProgramsAndAChangedOneIsRefusedByName(t *testing.T) {
	folder, shelves := shelf(t, map[string]string{agentFile: "the agent", resticFile: "restic"})
	w, admin := newAdmin(t, func(o *api.Options) { o.Programs = shelves })
	anybody := w.client()
	if got := string(anybody.must(http.StatusOK, "GET", "/install/"+agentFile, nil).text); got != "the agent" {
		t.Errorf("got %q", got)
	}
	installer := string(anybody.must(http.StatusOK, "GET", "/install/install.sh", nil).text)
	if !strings.HasPrefix(installer, "#!/bin/sh\n") || !strings.Contains(installer, " "+agentFile+"\n") {
		t.Errorf("the installer does not name the agent:\n%s", installer)
	}
	if got := string(anybody.must(http.StatusOK, "GET", "/install/install.ps1", nil).text); !strings.Contains(got, "$programs = '\n") {
		t.Errorf("the installer for Windows has no programs:\n%s", got)
	}
	for _, file := range []string{"none", "SHA256SUMS", "server.reference.yaml"} {
		anybody.refused(http.StatusNotFound, fleet.NotFound, "GET", "/install/"+file, nil)
	}
	if err := os.WriteFile(filepath.Join(folder, resticFile), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	anybody.refused(http.StatusNotFound, fleet.NotFound, "GET", "/install/"+resticFile, nil)
	list := get[api.ProgramList](admin, "/api/v1/programs").Programs
	if len(list) != 2 || list[0].Problem == "" || list[1].Problem != "" || list[1].Name != program.Agent {
		t.Errorf("got %+v", list)
	}
}

func TestTheLineRunsTheInstallerThatItKnows(t *testing.T) {
	sh := restictest.Program(t, "sh")
	_, shelves := shelf(t, map[string]string{agentFile: "the agent"})
	_, admin := newAdmin(t, func(o *api.Options) { o.Programs = shelves })
	const location = "/srv/it's $(touch pwned) mine"
	made := into[api.HostCreated](admin.must(http.StatusCreated, "POST", "/api/v1/hosts", obj{"name": "web-1", "repository_prefixes": []string{location}}))
	line := made.Enrolment.LineLinux
	if made.Enrolment.LineWindows != made.Enrolment.EnrollWindows {
		t.Error("there is no agent for Windows, and a line that installs it")
	}
	if strings.Contains(made.Enrolment.EnrollLinux, "install.sh") {
		t.Errorf("the line for machines that have the agent installs it: %s", made.Enrolment.EnrollLinux)
	}
	token := strings.Split(made.Enrolment.EnrollLinux, "'")[1]
	if at := strings.Index(line, token); at < 0 || strings.Index(line, "| sh -c") < at || strings.Count(line, token) != 1 {
		t.Errorf("the token is not on standard input alone: %s", line)
	}

	// What curl "fetches" is the server's installer, or one that somebody changed.
	installer, err := shelves.Installer(program.LinuxInstaller, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"the same": string(installer), "changed": string(installer) + "\n"} {
		folder := t.TempDir()
		put := func(file, text string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		put("fetched", text)
		put("curl", "#!/bin/sh\nwhile [ \"$1\" != -o ]; do shift; done\ncp "+folder+"/fetched \"$2\"\n")
		// The installer itself is another test's: here it says what it was given.
		put("sh", "#!"+sh+"\nif [ \"$1\" = -c ]; then exec "+sh+" \"$@\"; fi\nshift\ncat >stdin\nfor a; do printf '%s\\n' \"$a\"; done >arguments\n")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, sh, "-c", line)
		cmd.Dir, cmd.Env = folder, []string{"PATH=" + folder + ":" + os.Getenv("PATH"), "TMPDIR=" + folder}
		out, err := cmd.CombinedOutput()
		cancel()
		got, _ := os.ReadFile(filepath.Join(folder, "arguments"))
		if name == "changed" {
			if err == nil || len(got) != 0 || !strings.Contains(string(out), "make a new line") {
				t.Errorf("a changed installer ran: %v\n%s", err, out)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		want := "--server\nhttp://127.0.0.1:8080\n--profile\nguarded\n--allow-repository\n" + location + "\n--token-stdin\n"
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Error(diff)
		}
		if stdin, _ := os.ReadFile(filepath.Join(folder, "stdin")); string(stdin) != token {
			t.Errorf("standard input held %q", stdin)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, "tmp.*")); len(left) != 0 {
			t.Errorf("left %v", left)
		}
		if _, err := os.Stat(filepath.Join(folder, "pwned")); err == nil {
			t.Error("the location ran")
		}
	}
}

func TestTheLineForWindowsQuotesEverythingAndCarriesTheDigest(t *testing.T) {
	_, shelves := shelf(t, map[string]string{"restic-manager-agent-v1-windows-amd64.exe": "the agent"})
	_, admin := newAdmin(t, func(o *api.Options) { o.Programs = shelves })
	made := into[api.HostCreated](admin.must(http.StatusCreated, "POST", "/api/v1/hosts", obj{"name": "pc", "repository_prefixes": []string{`D:\it's mine`}}))
	installer, err := shelves.Installer(program.WindowsInstaller, "")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(installer)
	for _, want := range []string{
		"-ne '" + hex.EncodeToString(sum[:]) + "'", "'http://127.0.0.1:8080/install/install.ps1'",
		`@('--server','http://127.0.0.1:8080','--profile','guarded','--allow-repository','D:\it''s mine','--token-stdin')`,
	} {
		if !strings.Contains(made.Enrolment.LineWindows, want) {
			t.Errorf("%s does not hold %s", made.Enrolment.LineWindows, want)
		}
	}
}
