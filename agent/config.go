package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"restic-manager/agent/custody"
	"restic-manager/restic"
)

// Config is what the agent's file and environment say, checked and complete.
type Config struct {
	Server   string        // origin of the server: https, or http on loopback
	Pin      string        // "sha256:…" of the server's public key, when its certificate is self-made
	CAFile   string        // PEM file of authorities that sign the server's certificate
	Proxy    restic.Secret // to the server: a URL, "none", or empty for the environment's
	StateDir string
	Policy   string // the policy file
	LogLevel slog.Level

	Restic       string // absolute path of the program; empty: looked for in the usual places
	ResticCAFile string
	ResticProxy  restic.Secret
	CacheDir     string
}

// configFile is the file as it is written. Everything is text, so that one table
// serves the file, the environment and the checks.
type configFile struct {
	Server       string `yaml:"server,omitempty"`
	Pin          string `yaml:"pin,omitempty"`
	CAFile       string `yaml:"ca_file,omitempty"`
	Proxy        string `yaml:"proxy,omitempty"`
	StateDir     string `yaml:"state_dir,omitempty"`
	Policy       string `yaml:"policy,omitempty"`
	LogLevel     string `yaml:"log_level,omitempty"`
	Restic       string `yaml:"restic,omitempty"`
	ResticCAFile string `yaml:"restic_ca_file,omitempty"`
	ResticProxy  string `yaml:"restic_proxy,omitempty"`
	CacheDir     string `yaml:"cache_dir,omitempty"`
}

// option is one setting by its name in the file. In the environment it is written
// in capitals behind EnvPrefix, and wins there.
type option struct {
	name  string
	value *string
	check func(string) string // what is wrong, "" for nothing; not asked about ""
}

// EnvPrefix begins the environment's names of all settings: RM_AGENT_STATE_DIR.
const EnvPrefix = "RM_AGENT_"

func (o option) env() string { return EnvPrefix + strings.ToUpper(o.name) }

// options lists every setting, with the values of f.
func (f *configFile) options() []option {
	return []option{
		{"server", &f.Server, checkServer},
		{"pin", &f.Pin, checkPin},
		{"ca_file", &f.CAFile, checkPath},
		{"proxy", &f.Proxy, checkProxy},
		{"state_dir", &f.StateDir, checkPath},
		{"policy", &f.Policy, checkPath},
		{"log_level", &f.LogLevel, checkLogLevel},
		{"restic", &f.Restic, checkPath},
		{"restic_ca_file", &f.ResticCAFile, checkPath},
		{"restic_proxy", &f.ResticProxy, checkProxy},
		{"cache_dir", &f.CacheDir, checkPath},
	}
}

// configVariable names the configuration file itself.
const configVariable = EnvPrefix + "CONFIG"

// Variables lists the environment's names of all settings, for people.
func Variables() string {
	names := []string{configVariable}
	for _, o := range (&configFile{}).options() {
		names = append(names, o.env())
	}
	return strings.Join(names, ", ")
}

// UnknownVariables returns the names in an environment ("NAME=value") that begin like a
// setting and are none: somebody has mistyped one.
func UnknownVariables(environ []string) []string {
	known := strings.Split(Variables(), ", ")
	var unknown []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, EnvPrefix) && value != "" && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

const maxConfigSize = 64 << 10

// ReadConfig reads the file at path ("" for the usual one) and the environment, which
// wins, and fills in defaults. A file that is not there is an empty one; one that others can change
// is refused, since it decides which program runs. The error lists every mistake.
func ReadConfig(path string, getenv func(string) string) (Config, error) {
	path = orDefault(path, defaultPlaces(getenv).config)
	file, err := readConfigFile(path)
	if err != nil {
		return Config{}, err
	}
	for _, o := range file.options() {
		if value := getenv(o.env()); value != "" {
			*o.value = value
		}
	}
	if err := file.check(path); err != nil {
		return Config{}, err
	}
	return file.config(getenv), nil
}

func readConfigFile(path string) (configFile, error) {
	var file configFile
	data, err := custody.Read(path, custody.Unchangeable, maxConfigSize)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return file, fmt.Errorf("configuration: %w", err)
	}
	err = yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&file)
	if err != nil && !errors.Is(err, io.EOF) { // a file of comments alone ends at once
		// Without the source: the line at fault may hold a proxy's password.
		return file, fmt.Errorf("configuration %s: %s", path, yaml.FormatError(err, false, false))
	}
	return file, nil
}

// check reports every setting that is not what it must be.
func (f *configFile) check(path string) error {
	var mistakes []string
	for _, o := range f.options() {
		if *o.value == "" {
			continue
		}
		if wrong := o.check(*o.value); wrong != "" {
			mistakes = append(mistakes, fmt.Sprintf("%s (or %s) %s", o.name, o.env(), wrong))
		}
	}
	if len(mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("configuration %s:\n  %s", path, strings.Join(mistakes, "\n  "))
}

// config turns checked text into values. Where the file says nothing about
// folders, they are the system's usual ones.
func (f *configFile) config(getenv func(string) string) Config {
	places := defaultPlaces(getenv)
	c := Config{
		Server:       strings.TrimSuffix(f.Server, "/"),
		Pin:          f.Pin,
		CAFile:       f.CAFile,
		Proxy:        restic.NewSecret(f.Proxy),
		StateDir:     orDefault(f.StateDir, places.state),
		Policy:       orDefault(f.Policy, places.policy),
		Restic:       f.Restic,
		ResticCAFile: f.ResticCAFile,
		ResticProxy:  restic.NewSecret(f.ResticProxy),
	}
	c.CacheDir = orDefault(f.CacheDir, filepath.Join(c.StateDir, "cache"))
	if f.LogLevel != "" {
		_ = c.LogLevel.UnmarshalText([]byte(f.LogLevel)) // check has read it
	}
	return c
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// WriteConfig writes c to a new private file, without what is the default, so that
// a later start needs no environment. A file that exists is left as it is, and the
// error is fs.ErrExist.
func WriteConfig(path string, c Config, getenv func(string) string) error {
	standard := (&configFile{}).config(getenv)
	unless := func(value, usual string) string {
		if value == usual {
			return ""
		}
		return value
	}
	file := configFile{
		Server: c.Server, Pin: c.Pin, CAFile: c.CAFile, Proxy: c.Proxy.Reveal(),
		StateDir: unless(c.StateDir, standard.StateDir), Policy: unless(c.Policy, standard.Policy),
		Restic: c.Restic, ResticCAFile: c.ResticCAFile, ResticProxy: c.ResticProxy.Reveal(),
		CacheDir: unless(c.CacheDir, filepath.Join(c.StateDir, "cache")),
	}
	if c.LogLevel != standard.LogLevel {
		file.LogLevel = strings.ToLower(c.LogLevel.String())
	}
	text, err := yaml.MarshalWithOptions(file, yaml.OmitEmpty())
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return custody.Create(path, append([]byte("# restic-manager agent. What else can be set: see agent.reference.yaml.\n"), text...))
}

func checkServer(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "must be an address such as https://backup.example.org"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "must be scheme, host and port alone, without user, path or query"
	case u.Scheme == "http" && !loopback(u.Hostname()): //guard:config-encrypted
		return "must be https: plain http is for a server on this machine alone"
	}
	return ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkProxy(text string) string {
	if text == "none" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		return "must be http://[user:password@]host:port, or none"
	}
	return ""
}

func checkPath(text string) string {
	if !filepath.IsAbs(text) {
		return "must be an absolute path"
	}
	return ""
}

func checkLogLevel(text string) string {
	if new(slog.Level).UnmarshalText([]byte(text)) != nil {
		return "must be debug, info, warn or error"
	}
	return ""
}

func checkPin(text string) string {
	hex, ok := strings.CutPrefix(text, "sha256:")
	if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "must be sha256: and 64 digits in lower-case hex, as the enrolment line has it"
	}
	return ""
}

// tempDir is where restic and the agent put what does not outlast a job.
func (c Config) tempDir() string { return filepath.Join(c.StateDir, "tmp") }
