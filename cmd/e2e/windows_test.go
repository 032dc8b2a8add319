//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

// wine is a Windows of its own: a prefix of Wine with its own service manager.
type wine struct {
	t      *testing.T
	prefix string
	env    []string
}

func newWine(t *testing.T) *wine {
	t.Helper()
	restictest.Program(t, "wine")
	w := &wine{t: t, prefix: filepath.Join(t.TempDir(), "wine")}
	w.env = []string{
		"WINEPREFIX=" + w.prefix, "WINEARCH=win64", "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree=d;mshtml=d",
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
	}
	t.Cleanup(func() { _, _ = w.run("", "wineserver", "-k", "-w") })
	if out, err := w.run("", "wine", "wineboot", "-i"); err != nil {
		t.Fatalf("make a prefix: %v\n%s", err, out)
	}
	// Programs made by Go take their random numbers from a library that this Wine has not.
	dll := forwarder("bcryptprimitives.dll", "ProcessPrng", "advapi32.SystemFunction036")
	if err := os.WriteFile(w.c("windows/system32/bcryptprimitives.dll"), dll, 0o644); err != nil {
		t.Fatal(err)
	}
	// A service may take its time to begin on a machine that is busy with other tests.
	w.must("", "wine", "reg", "add", `HKLM\System\CurrentControlSet\Control`, "/v", "ServicesPipeTimeout", "/t", "REG_DWORD", "/d", "60000", "/f")
	w.must("", "wineserver", "-k", "-w")
	w.signIn()
	return w
}

// signIn keeps somebody signed in: with nobody left, Wine ends its services too.
func (w *wine) signIn() {
	w.t.Helper()
	somebody := exec.Command("sh", "-c", "umask 077; exec wine cmd.exe")
	somebody.Env = w.env
	keyboard, err := somebody.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := somebody.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { // before the server of this prefix is ended
		_ = keyboard.Close()
		_ = somebody.Wait()
	})
}

// c is where a path of drive C lies here.
func (w *wine) c(path string) string { return filepath.Join(w.prefix, "drive_c", path) }

func (w *wine) run(stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Wine makes access rules of modes, and of the umask those that nobody has set.
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `umask 077; exec "$@"`, "sh"}, argv...)...)
	cmd.Env, cmd.Stdin, cmd.Dir = w.env, strings.NewReader(stdin), w.t.TempDir()
	// Wine's servers keep the pipe open; a file they may keep.
	log, err := os.CreateTemp(w.t.TempDir(), "")
	if err != nil {
		return "", err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	out, _ := os.ReadFile(log.Name())
	return string(out), err
}

func (w *wine) must(stdin string, argv ...string) string {
	w.t.Helper()
	out, err := w.run(stdin, argv...)
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

// forwarder makes a library of Windows without code: its one function is another
// library's.
func forwarder(library, function, to string) []byte {
	const base, page, headers = 0x1000, 0x1000, 0x200
	le := binary.LittleEndian
	const tables = 40 // the export directory; behind it an address, a name and an ordinal
	section := make([]byte, tables+10)
	text := func(s string) uint32 {
		at := uint32(base + len(section))
		section = append(append(section, s...), 0)
		return at
	}
	for at, v := range map[int]uint32{
		12: text(library), 16: 1, 20: 1, 24: 1, 28: base + tables, 32: base + tables + 4, 36: base + tables + 8,
		tables + 4: text(function), tables: text(to), // an address within the directory is a name to look up
	} {
		le.PutUint32(section[at:], v)
	}
	size := uint32(len(section))
	var out bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&out, le, v) // a buffer takes everything
		}
	}
	dos := make([]byte, 64)
	copy(dos, "MZ")
	dos[60] = byte(len(dos))
	put(dos, []byte("PE\x00\x00"), uint16(0x8664), uint16(1), uint32(0), uint32(0), uint32(0), uint16(240), uint16(0x2022))
	put(uint16(0x20b), uint16(0), uint32(0), uint32(headers), uint32(0), uint32(0), uint32(base), uint64(0x180000000), uint32(page), uint32(headers))
	put(uint16(6), uint16(0), uint16(0), uint16(0), uint16(6), uint16(0), uint32(0), uint32(2*page), uint32(headers), uint32(0), uint16(3), uint16(0x100))
	put(uint64(1<<20), uint64(4096), uint64(1<<20), uint64(4096), uint32(0), uint32(16), uint32(base), size, make([]byte, 15*8))
	put([]byte(".rdata\x00\x00"), size, uint32(base), uint32(headers), uint32(headers), uint32(0), uint32(0), uint32(0), uint32(0x40000040))
	put(make([]byte, headers-out.Len()), section, make([]byte, headers-len(section)))
	return out.Bytes()
}

// buildForWindows builds what runs under Wine: the agent, and the fake restic, since
// there is no restic for Windows to be had here.
func buildForWindows(t *testing.T, folder string) {
	t.Helper()
	for _, args := range [][]string{
		{"build", "-trimpath", "-o", filepath.Join(folder, "agent.exe"), "restic-manager/cmd/agent"},
		{"test", "-trimpath", "-c", "-o", filepath.Join(folder, "restic-fake.exe"), "restic-manager/restic/restictest"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	script := fakeAnswers()
	for i, reply := range script.Replies {
		if reply.Command == "key list" {
			key := `[{"current":true,"id":"` + strings.Repeat("d", 64) + `","userName":"u","hostName":"h","created":"2026-01-02 03:04:05"}]`
			script.Replies[i].Steps = []restictest.Step{{Out: key + "\n"}}
		}
	}
	answers, err := json.Marshal(script)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "script.json"), answers, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheAgentOfWindowsEnrolsBacksUpAndIsAService runs the agent's program for Windows
// under Wine. The service is controlled by Wine's manager, but the agent that backs up
// is run by itself: in this Wine, an account of services may not open what the
// account of its only person has made, whatever the access rules are.
func TestTheAgentOfWindowsEnrolsBacksUpAndIsAService(t *testing.T) {
	t.Parallel()
	work(t)
	windows := newWine(t)
	folder := windows.c("test")
	for _, path := range []string{windows.c("data"), folder} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	buildForWindows(t, folder)
	windows.env = append(windows.env, `RM_AGENT_RESTIC=C:\test\restic-fake.exe`)
	agent := func(stdin string, args ...string) string {
		t.Helper()
		return windows.must(stdin, append([]string{"wine", `C:\test\agent.exe`}, args...)...)
	}

	w := newWorld(t)
	h, line := w.line("pc", w.addRepository("pc", repositorySpec{existing: true, password: "of the repository"}), `C:\data`)
	token := regexp.MustCompile(`'([^']+)'`).FindStringSubmatch(line)[1]
	prefix := regexp.MustCompile(`--allow-repository '([^']+)'`).FindStringSubmatch(line)[1]
	install := []string{"install", "--no-service", "--server", "http://" + w.addr, "--allow-repository", prefix, "--token-stdin"}
	said := agent(token, install...)
	for _, want := range []string{"put the agent to", "wrote the policy file", "enrolled at"} {
		if !strings.Contains(said, want) {
			t.Errorf("the installer does not say %q:\n%s", want, said)
		}
	}
	if again := agent(token, install...); !strings.Contains(again, "already enrolled") || strings.Contains(again, "put the agent") {
		t.Errorf("installed again, it does something:\n%s", again)
	}

	running := start(t, "agent", windows.env, "sh", "-c", "umask 077; exec wine 'C:\\Program Files\\restic-manager\\restic-manager-agent.exe' run --first-contact 0s")
	h.waitOnline()
	eventually(t, "the repository is known", time.Minute, func() bool {
		var r struct{ State string }
		w.api.must("GET", "/api/v1/repositories/"+h.repository, nil, &r)
		return r.State == "ready"
	})
	if j := w.finished(h.runNow().ID, 2*time.Minute); j.Outcome.Result != "succeeded" || j.Outcome.SnapshotID != fakeSnapshot {
		t.Errorf("the backup ended as %+v", j.Outcome)
	}
	running.kill()

	for _, step := range []struct{ command, state string }{
		{"status", "not installed"}, {"install", "stopped"}, {"install", "stopped"}, {"start", ""}, {"stop", "stopped"}, {"stop", "stopped"},
		{"uninstall", "not installed"}, {"uninstall", "not installed"},
	} {
		if state := agent("", "service", step.command); !strings.Contains(state, step.state) {
			t.Errorf("after %s the service is %s, want %s", step.command, state, step.state)
		}
	}

	agent("", "service", "install")
	if gone := agent("", "uninstall", "--yes"); !strings.Contains(gone, "removed the service") {
		t.Errorf("uninstall says:\n%s", gone)
	}
	if state := agent("", "service", "status"); !strings.Contains(state, "not installed") {
		t.Errorf("after the removal the service is %s", state)
	}
	for _, path := range []string{"ProgramData/restic-manager", "Program Files/restic-manager"} {
		if entries, err := os.ReadDir(windows.c(path)); err == nil {
			t.Errorf("%s is left, with %v", path, entries)
		}
	}
}
