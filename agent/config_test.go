package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const reference = "../deploy/agent.reference.yaml"

func noEnv(string) string { return "" }

// readText reads a configuration as it would stand in a file.
func readText(t *testing.T, text string, getenv func(string) string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return ReadConfig(path, getenv)
}

func TestTheReferenceConfigurationIsTrue(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readText(t, string(text), noEnv); err != nil {
		t.Errorf("as it is: %v", err)
	}
	// "#name: value" without a blank is a setting; "# text" is prose.
	settings := regexp.MustCompile(`(?m)^#([a-z_]+: )`).ReplaceAllString(string(text), "$1")
	if _, err := readText(t, settings, noEnv); err != nil {
		t.Errorf("with every setting in force: %v", err)
	}
	for _, o := range (&configFile{}).options() {
		if !regexp.MustCompile(`(?m)^` + o.name + `: `).MatchString(settings) {
			t.Errorf("the reference does not mention %s", o.name)
		}
	}
	if n := len((&configFile{}).options()); n >= 12 {
		t.Errorf("there are %d options, which is more than people read", n)
	}
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	env := map[string]string{"RM_AGENT_SERVER": "https://other.test", "RM_AGENT_STATE_DIR": "/srv/agent"}
	got, err := readText(t, "server: https://file.test\nstate_dir: /var/lib/x\n", func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if got.Server != "https://other.test" || got.StateDir != "/srv/agent" || got.CacheDir != filepath.Join("/srv/agent", "cache") {
		t.Errorf("got %+v", got)
	}
}

func TestOneErrorListsEveryMistakeAndNoValue(t *testing.T) {
	_, err := readText(t, "server: http://backup.example.org\nproxy: ftp://u:hunter2@p\nstate_dir: relative\npin: abc\nlog_level: loud\n", noEnv)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"server", "proxy", "state_dir", "pin", "log_level"} {
		if !strings.Contains(err.Error(), name+" (or RM_AGENT_"+strings.ToUpper(name)+")") {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a value is repeated in: %v", err)
	}
}

func TestAConfigurationNeverPrintsAProxysPassword(t *testing.T) {
	c, err := readText(t, "server: https://s.test\nproxy: http://u:hunter2@p.test:1\nrestic_proxy: http://u:hunter2@p.test:1\n", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, "hunter2") {
		t.Errorf("printed: %s", text)
	}
	if _, err := readText(t, "server: https://s.test\nproxy: [hunter2]\n", noEnv); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a proxy of the wrong type gives: %v", err)
	}
}

func TestAWrittenConfigurationReadsBackTheSame(t *testing.T) {
	env := map[string]string{
		"RM_AGENT_SERVER": "https://s.test", "RM_AGENT_STATE_DIR": "/srv/agent", "RM_AGENT_LOG_LEVEL": "debug",
		"RM_AGENT_PROXY": "http://u:p@proxy.test:3128", "RM_AGENT_RESTIC": "/opt/restic/restic",
	}
	want, err := readText(t, "", func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := WriteConfig(path, want, noEnv); err != nil {
		t.Fatal(err)
	}
	got, err := ReadConfig(path, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got.Proxy.Reveal() != want.Proxy.Reveal() {
		t.Error("the proxy was lost")
	}
	got.Proxy, want.Proxy = got.ResticProxy, got.ResticProxy
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Config) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if err := WriteConfig(path, want, noEnv); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second write gives %v, want fs.ErrExist", err)
	}
}

func TestAConfigurationThatOthersCanWriteIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte("server: https://s.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path, noEnv); err == nil || !strings.Contains(err.Error(), "writable by") {
		t.Errorf("got %v", err)
	}
}
