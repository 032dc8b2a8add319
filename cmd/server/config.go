package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"restic-manager/server"
)

// configured is the options of a command, taken from its flags, else from RM_…
// variables, else from the configuration file, else from the defaults.
type configured struct {
	Config         string `placeholder:"FILE" help:"Configuration file (or RM_CONFIG)."`
	server.Options `embed:""`
}

// BeforeResolve is kong's moment between reading the arguments and asking where
// else a flag's value may come from.
func (c *configured) BeforeResolve(parsed *kong.Context, w world) error {
	path := w.getenv("RM_CONFIG")
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			path, _ = parsed.FlagValue(p.Flag).(string)
		}
	}
	s := source{getenv: w.getenv}
	if path != "" {
		var err error
		if s.file, err = readConfig(path, optionsOf(parsed)); err != nil {
			return err
		}
	}
	parsed.AddResolver(s)
	return nil
}

// optionsOf gives the flags that are options, by their name in the file.
func optionsOf(parsed *kong.Context) map[string]*kong.Flag {
	options := map[string]*kong.Flag{}
	for _, flag := range parsed.Flags() {
		if flag.Name != "config" && flag.Name != "help" {
			options[fileName(flag)] = flag
		}
	}
	return options
}

func fileName(flag *kong.Flag) string { return strings.ReplaceAll(flag.Name, "-", "_") }

// readConfig reads a file strictly: one error names every key that is no option and
// every value of a wrong kind. It repeats no value, since some are secret.
func readConfig(path string, options map[string]*kong.Flag) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("configuration: %s: %s", path, yaml.FormatError(err, false, false))
	}
	var mistakes []error
	for name, value := range values {
		flag, known := options[name]
		if !known {
			mistakes = append(mistakes, fmt.Errorf("%s: there is no such option", name))
		} else if want := wanted(flag, value); want != "" {
			mistakes = append(mistakes, fmt.Errorf("%s: must be %s", name, want))
		}
	}
	if len(mistakes) > 0 {
		slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, fmt.Errorf("mend %s:\n%w", path, errors.Join(mistakes...))
	}
	return values, nil
}

// wanted says what kind of value a flag takes; empty when this is one.
func wanted(flag *kong.Flag, value any) string {
	switch flag.Target.Kind() {
	case reflect.Bool:
		if _, ok := value.(bool); !ok {
			return "true or false"
		}
	case reflect.Int, reflect.Uint32:
		if _, ok := value.(uint64); !ok {
			return "a whole number"
		}
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok || slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok }) {
			return "a list of texts"
		}
	default:
		if _, ok := value.(string); !ok {
			return "a text"
		}
	}
	return ""
}

// source looks for a flag's value in the environment, then in the file.
type source struct {
	getenv func(string) string
	file   map[string]any
}

// Validate has nothing to do: the file was checked when it was read.
func (source) Validate(*kong.Application) error { return nil }

// Resolve gives nil where a flag has no value here.
func (s source) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := "RM_" + strings.ToUpper(fileName(flag))
	value, path := s.getenv(name), ""
	if flag.Tag.Has("secret") {
		path = s.getenv(name + "_FILE")
	}
	switch {
	case value != "" && path != "":
		return nil, fmt.Errorf("%s and %s_FILE are both set; keep one", name, name)
	case path != "":
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s_FILE: %w", name, err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	case value != "":
		return value, nil
	}
	return s.file[fileName(flag)], nil
}
