package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"restic-manager/restic/restictest"
)

// mostExposure is what systemd-analyze may give the unit, of 10. It is what is left to
// a program that must read every file and write any that is restored, set-gid folders
// included.
const mostExposure = 4.2

func TestTheUnitIsUnderstoodBySystemdAndLeavesLittleExposed(t *testing.T) {
	analyze := restictest.Program(t, "systemd-analyze")
	// Where the program is not installed, the unit could not be verified as it is.
	folder := t.TempDir()
	program := filepath.Join(folder, "restic-manager-agent")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(folder, "restic-manager-agent.service")
	text := strings.Replace(Unit("service"), "/usr/local/bin/restic-manager-agent", program, 1)
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--no-pager", "--offline=true", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("security: %v\n%s", err, out)
	}
	said := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if said == nil {
		t.Fatalf("no exposure level in\n%s", out)
	}
	level, err := strconv.ParseFloat(string(said[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exposure %.1f", level)
	if level > mostExposure {
		t.Errorf("the unit's exposure is %.1f, more than %.1f", level, mostExposure)
	}
}

func TestTheUnitHidesNoFileFromABackup(t *testing.T) {
	settings := map[string][]string{}
	for line := range strings.Lines(Unit("service")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			settings[name] = append(settings[name], value)
		}
	}
	for _, name := range []string{
		"PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateUsers", "ProtectHome", "ProtectKernelModules", "ProtectProc", "ProcSubset",
		"InaccessiblePaths", "TemporaryFileSystem", "RootDirectory", "RootImage", "DynamicUser", "User", "DeviceAllow", "ProtectClock", "PrivateNetwork",
		"RestrictSUIDSGID",
	} {
		if value, ok := settings[name]; ok {
			t.Errorf("%s=%v: files, devices or rights would be missing from a backup or a restore", name, value)
		}
	}
	for name, want := range map[string]string{
		"ProtectSystem": "full", "NoNewPrivileges": "yes", "KillMode": "mixed", "Restart": "always", "LimitCORE": "0", "UMask": "0077",
		"SystemCallErrorNumber": "EPERM", "MemoryDenyWriteExecute": "yes", "RestrictNamespaces": "yes", "OOMPolicy": "continue",
	} {
		if got := settings[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%v, want %s", name, got, want)
		}
	}
	// Otherwise restores could not be fenced, and systemd before 257 would kill an agent that tries.
	if got := strings.Join(settings["SystemCallFilter"], " "); got != "@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self" {
		t.Errorf("SystemCallFilter=%v", got)
	}
	if patience, err := strconv.Atoi(settings["TimeoutStopSec"][0]); err != nil || patience < 120 {
		t.Errorf("TimeoutStopSec=%v: restic is given 75 s after an interrupt, want at least 120", settings["TimeoutStopSec"])
	}
	if !strings.Contains(settings["CapabilityBoundingSet"][0], "CAP_DAC_READ_SEARCH") {
		t.Error("the agent could not read every file")
	}
}

// There is no PowerShell here to run it with: this looks that what is run is what was
// looked at, in the text alone.
func TestTheWindowsInstallerHoldsTheAgentFromTheDigestToItsEnd(t *testing.T) {
	text, at := readText(t, "install.ps1"), -1
	for _, step := range []string{
		"[Environment]::GetFolderPath('ProgramFiles')", "curl.exe ", "[IO.FileAccess]::Read, [IO.FileShare]::Read)", "Get-FileHash -Algorithm SHA256 -LiteralPath $file)",
		"throw 'What the server sent", "& $file install @arguments", "} finally {", "$held.Dispose()", "Remove-Item -Recurse",
	} {
		if next := strings.Index(text, step); next <= at || strings.Count(text, step) != 1 {
			t.Errorf("%q stands at %d, after %d, %d times", step, next, at, strings.Count(text, step))
		} else {
			at = next
		}
	}
	if strings.Contains(text, "GetTempPath") {
		t.Error("it uses a folder that others may write")
	}
}

func TestTheScriptsAreAcceptedByTheirShells(t *testing.T) {
	sh := restictest.Program(t, "sh")
	for _, name := range []string{"install.sh", "unit/restic-manager-agent.init", "unit/restic-manager-agent.openrc"} {
		if out, err := exec.CommandContext(t.Context(), sh, "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
