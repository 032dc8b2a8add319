package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"restic-manager/restic/restictest"
)

// instruction is one of a Dockerfile.
type instruction struct{ name, rest string }

// stages parses a Dockerfile. There is no engine here to build it with.
func stages(t *testing.T, text string) (all [][]instruction) {
	t.Helper()
	known := []string{"FROM", "WORKDIR", "COPY", "RUN", "ARG", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if !slices.Contains(known, name) || rest == "" {
			t.Fatalf("not understood: %q", line)
		}
		if name == "FROM" {
			all = append(all, nil)
		} else if len(all) == 0 {
			t.Fatalf("before FROM: %q", line)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, rest})
	}
	return all
}

func only(t *testing.T, stage []instruction, name string) string {
	t.Helper()
	var found []string
	for _, i := range stage {
		if i.name == name {
			found = append(found, i.rest)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d × %s", len(found), name)
	}
	return found[0]
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheImageHoldsTheServerAloneAndRunsAsNobody(t *testing.T) {
	all := stages(t, readText(t, "Dockerfile"))
	if len(all) != 2 {
		t.Fatalf("%d stages", len(all))
	}
	build, image := all[0], all[1]
	if base := only(t, image, "FROM"); base != "scratch" {
		t.Errorf("FROM %s", base)
	}
	if user := only(t, image, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s: scratch knows no names, and 0 is root", user)
	}
	command := func(text string) (words []string) {
		if err := json.Unmarshal([]byte(text), &words); err != nil || len(words) == 0 {
			t.Errorf("%s is no list of words, and there is no shell: %v", text, err)
		}
		return words
	}
	if entry := command(only(t, image, "ENTRYPOINT")); entry[0] != "/restic-manager" {
		t.Errorf("ENTRYPOINT %v", entry)
	}
	_, check, _ := strings.Cut(only(t, image, "HEALTHCHECK"), "CMD ")
	if words := command(check); len(words) != 2 || words[0] != "/restic-manager" || words[1] != "health" {
		t.Errorf("HEALTHCHECK %v", words)
	}
	if !strings.Contains(readText(t, "../cmd/server/main.go"), "Health  healthCommand") {
		t.Error("the server has no command health")
	}
	for _, i := range image {
		if i.name == "RUN" {
			t.Errorf("there is nothing in scratch to RUN %s", i.rest)
		}
	}

	// Each file that is copied from the sources' folder is one that make puts there.
	if run := build[len(build)-1]; run.name != "RUN" || !strings.Contains(run.rest, "make programs agents") {
		t.Errorf("it is built by %v", run)
	}
	plan, err := exec.CommandContext(t.Context(), restictest.Program(t, "make"), "-C", "..", "-n", "programs", "agents", "VERSION=v1").Output()
	if err != nil {
		t.Fatal(err)
	}
	copied := 0
	for _, i := range image {
		words := strings.Fields(i.rest)
		if i.name != "COPY" || !strings.HasPrefix(words[len(words)-2], "/src/") {
			continue
		}
		copied++
		if from := strings.TrimPrefix(words[len(words)-2], "/src/"); !regexp.MustCompile(`-o ` + from + `[ /]`).Match(plan) {
			t.Errorf("COPY %s: make does not write that:\n%s", from, plan)
		}
	}
	if copied != 2 {
		t.Errorf("%d programs are copied", copied)
	}
}

func TestTheContainersHaveLittleAndTheStorageIsAppendOnly(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Build       struct{ Context, Dockerfile string }
			Image       string
			Restart     string
			Environment map[string]string
			Ports       []string
			Volumes     []string
			ReadOnly    bool     `yaml:"read_only"`
			CapDrop     []string `yaml:"cap_drop"`
			SecurityOpt []string `yaml:"security_opt"`
			StopGrace   string   `yaml:"stop_grace_period"`
		}
		Volumes map[string]any
	}
	if err := yaml.UnmarshalWithOptions([]byte(readText(t, "docker-compose.yml")), &compose, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for name, s := range compose.Services {
		if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || len(s.SecurityOpt) != 1 || s.Restart == "" {
			t.Errorf("%s may do more than it must: %+v", name, s)
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if _, named := compose.Volumes[source]; !named && !strings.HasPrefix(source, "./storage-") {
				t.Errorf("%s mounts %s", name, volume)
			}
		}
	}
	if options := compose.Services["storage"].Environment["OPTIONS"]; !strings.Contains(options, "--append-only") || !strings.Contains(options, "--private-repos") || !strings.Contains(options, "--tls ") {
		t.Errorf("the storage runs with %s", options)
	}

	// Every variable is an option of the server's reference.
	options := readText(t, "server.reference.yaml")
	text := readText(t, "Dockerfile") + readText(t, "docker-compose.yml")
	for _, name := range regexp.MustCompile(`RM_[A-Z_]+`).FindAllString(text, -1) {
		option := strings.ToLower(strings.TrimPrefix(name, "RM_"))
		if !regexp.MustCompile(`(?m)^#?` + option + `:`).MatchString(options) {
			t.Errorf("%s is no option", name)
		}
	}
}
