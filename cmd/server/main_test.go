package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"restic-manager/restic"
	"restic-manager/server"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"restic-manager": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("RM_DATA_DIR", env.WorkDir+"/data")
			env.Setenv("RM_PASSWORD_MEMORY", "19")
			env.Setenv("RM_PASSWORD_ROUNDS", "2")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"wait-for": waitFor, "alter": alter},
	})
}

// waitFor waits until a file exists.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s never came", path)
		}
	}
}

// alter changes the database behind the program's back.
func alter(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs("data/server.db"))
	ts.Check(err)
	_, err = db.ExecContext(context.Background(), args[0])
	ts.Check(errors.Join(err, db.Close()))
}

// parse gives the options that arguments, variables and a file make.
func parse(t *testing.T, env map[string]string, args ...string) (server.Options, error) {
	t.Helper()
	var c commands
	parser, err := kong.New(&c, kong.Bind(world{getenv: func(name string) string { return env[name] }}), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return c.Serve.Options, err
}

// same compares options; a secret is compared by its text.
var same = cmp.Comparer(func(a, b restic.Secret) bool { return a.Equal(b) })

const reference = "../../deploy/server.reference.yaml"

func TestTheReferenceHasEveryOptionWithItsDefault(t *testing.T) {
	got, err := parse(t, nil, "--config", reference)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(server.Defaults(), got, same); diff != "" {
		t.Errorf("-default +reference:\n%s", diff)
	}
	if plain, err := parse(t, nil); err != nil || !cmp.Equal(server.Defaults(), plain, same) {
		t.Errorf("without a file: %v, %v", plain, err)
	}
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	// What is commented out must be understood too.
	all := regexp.MustCompile(`(?m)^#([a-z_]+: )`).ReplaceAllString(string(text), "$1")
	full := filepath.Join(t.TempDir(), "full.yaml")
	if err := os.WriteFile(full, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parse(t, nil, "--config", full)
	if err != nil {
		t.Fatal(err)
	}
	options := reflect.TypeFor[server.Options]()
	if n := options.NumField(); n >= 25 {
		t.Errorf("%d options: fewer than 25 are wanted", n)
	}
	for i := range options.NumField() {
		name := options.Field(i).Name
		if reflect.ValueOf(o).Field(i).IsZero() && !strings.Contains("TLSSelfMade InsecureHTTP NotifyLoopback NotifyPublicOnly", name) {
			t.Errorf("the reference says nothing of %s", name)
		}
	}
}

func TestFlagsWinOverVariablesAndThoseOverTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.yaml")
	text := "listen: 127.0.0.1:1\nlog_level: warn\nlog_format: json\ntrusted_proxies: [10.0.0.1, 10.1.0.0/16]\ninsecure_http: true\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "database")
	if err := os.WriteFile(secret, []byte("postgres://u:p@h/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"RM_CONFIG": file, "RM_LISTEN": "127.0.0.1:2", "RM_LOG_LEVEL": "error", "RM_DATABASE_FILE": secret}
	got, err := parse(t, env, "--listen", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	want := server.Defaults()
	want.Listen, want.LogLevel, want.LogFormat, want.InsecureHTTP = "127.0.0.1:3", "error", "json", true
	want.TrustedProxies = []string{"10.0.0.1", "10.1.0.0/16"}
	want.Database = restic.NewSecret("postgres://u:p@h/d")
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	t.Run("a secret twice", func(t *testing.T) {
		env["RM_DATABASE"] = "postgres://x"
		if _, err := parse(t, env); err == nil || !strings.Contains(err.Error(), "RM_DATABASE and RM_DATABASE_FILE are both set") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOneErrorNamesEveryMistakeOfAFileAndNoValue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.yaml")
	text := "listn: 127.0.0.1:1\nlisten: 8080\ninsecure_http: maybe\npassword_memory: s3cret\ndatabase: [s3cret]\ntrusted_proxies: s3cret\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := parse(t, nil, "--config", file)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"listn: there is no such option", "listen: must be a text", "insecure_http: must be true or false",
		"password_memory: must be a whole number", "database: must be a text", "trusted_proxies: must be a list of texts",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a value is in: %v", err)
	}
	t.Run("no YAML", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("database: \"s3cret\n\tx: ["), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := parse(t, nil, "--config", file); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	})
}

// TestAResetPasswordWorksAtOnce changes the password beside a server that runs.
func TestAResetPasswordWorksAtOnce(t *testing.T) {
	data := t.TempDir()
	env := map[string]string{"RM_DATA_DIR": data, "RM_PASSWORD_MEMORY": "19", "RM_PASSWORD_ROUNDS": "2"}
	o, err := parse(t, env, "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), o, version, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	post := func(path, body string) (int, string) {
		t.Helper()
		res, err := http.Post(s.URL()+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, res.Header.Get("Set-Cookie")
	}
	code, err := server.SetupCode(o)
	if err != nil {
		t.Fatal(err)
	}
	status, cookie := post("/api/v1/setup", `{"code":"`+code+`","name":"ana","password":"the first password"}`)
	if status != http.StatusCreated {
		t.Fatalf("set-up: %d", status)
	}
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), world{
		args: []string{"admin", "reset-password", "ana"}, getenv: func(name string) string { return env[name] },
		stdin: strings.NewReader("the second password\n"), stdout: &stdout, stderr: &stderr,
	})
	if err != nil || !strings.Contains(stdout.String(), "The password of ana was changed") {
		t.Fatalf("%v %s %s", err, stdout.String(), stderr.String())
	}
	if status, _ := post("/api/v1/sign-in", `{"name":"ana","password":"the first password"}`); status != http.StatusUnauthorized {
		t.Errorf("the old password: %d", status)
	}
	if status, _ := post("/api/v1/sign-in", `{"name":"ana","password":"the second password"}`); status != http.StatusOK {
		t.Errorf("the new password: %d", status)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old sign-in: %d", res.StatusCode)
	}
}

func TestHelpAndMistakesEndAsTheyShould(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		out  string
	}{
		"help":             {[]string{"--help"}, 0, "serve"},
		"nothing":          {nil, exitUsage, ""},
		"an unknown flag":  {[]string{"serve", "--nonsense"}, exitUsage, ""},
		"a wrong option":   {[]string{"serve", "--listen", "nonsense"}, exitFailed, ""},
		"version":          {[]string{"version"}, 0, "restic-manager dev "},
		"no set-up so far": {[]string{"admin", "setup-code", "--data-dir", t.TempDir()}, exitFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			err := run(context.Background(), world{
				args: c.args, getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
			})
			if code := exitCode(err); code != c.code || !strings.Contains(stdout.String(), c.out) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
			if c.code != 0 && stderr.Len() == 0 {
				t.Error("nothing was said")
			}
		})
	}
}
