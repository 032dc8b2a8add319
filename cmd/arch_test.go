// Package cmd_test holds the tests that look at the repository as a whole: which
// package may import which, who may start processes, and whether each guard is
// proven by a test that fails without it.
//
// A new arrow between two packages is a new entry in arrows below, so that it
// shows as a line in a diff that somebody has to approve.
package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module is the path that go.mod declares.
const module = "restic-manager"

// arrows lists every package of the module with the packages of the module that
// it may import. A package that is missing here fails the test. An entry that
// ends in "/*" stands for the direct children of that folder.
//
// Agent and server share restic, deploy and agent/slot, and nothing else.
var arrows = map[string][]string{
	"restic":            {},
	"restic/listing":    {},
	"restic/restictest": {"restic"},
	"web":               {},
	"web/webtest":       {"restic/restictest"}, // help for tests
	"deploy":            {},

	"server/secret":          {},
	"server/fleet":           {"restic", "agent/slot"},
	"server/store":           {"server/fleet", "restic"},
	"server/store/storetest": {"server/store", "server/fleet"},
	"server/wake":            {"server/fleet", "server/store"},
	"server/alert":           {"server/fleet", "server/store", "server/wake"},
	"server/auth":            {"server/fleet", "server/store", "server/wake"},
	"server/program":         {"deploy", "restic"},
	"server/notify":          {"server/fleet", "server/store", "server/wake", "server/secret"},
	// server/job takes the index of a snapshot over: it splits it into its blocks.
	"server/job": {"server/fleet", "server/store", "server/alert", "server/secret", "server/wake", "restic", "restic/listing", "agent/slot"},
	"server/api": {"server/job", "server/alert", "server/store", "server/auth", "server/notify", "server/program", "server/wake",
		"server/fleet", "restic", "restic/listing"},
	"server/ui": {"server/api", "web"},
	"server":    {"server/*", "restic", "web", "deploy"},

	"agent/slot":      {},
	"agent/custody":   {},
	"agent/control":   {"restic"},
	"agent/policy":    {"restic", "agent/custody"},
	"agent/secret":    {"restic", "agent/custody"},
	"agent/service":   {"deploy"},
	"agent/spool":     {"agent/control", "agent/custody"},
	"agent/schedule":  {"agent/slot", "agent/spool", "agent/control"},
	"agent/retention": {"restic"},
	"agent/stage":     {"restic", "agent/custody"},
	// agent/upkeep works in a repository's folder with the rights of the user that restic has there.
	"agent/upkeep": {"restic"},
	"agent/runner": {"agent/slot", "agent/spool", "agent/policy", "agent/secret", "agent/retention", "agent/stage", "agent/upkeep", "restic", "restic/listing"},
	"agent":        {"agent/*", "restic"},

	"cmd/server": {"server"},
	"cmd/agent":  {"agent"},
	"cmd/demo":   {},
}

// confined lists what only some packages may do. An import covers the packages
// below it; a name is a function or type of the package before the last dot.
//
// restic/restictest and server/store/storetest are help for tests, which may do as
// they like: since no package lists them in arrows, only tests import them.
var confined = []confinement{
	{
		what: "reaches a database",
		imports: []string{"database/sql", "github.com/jmoiron/sqlx", "modernc.org/sqlite",
			"github.com/jackc/pgx", "github.com/pressly/goose"},
		to: []string{"server/store", "server/store/storetest", "agent/spool"},
	},
	{
		what:    "starts processes",
		imports: []string{"os/exec", "plugin"},
		names: []string{
			"os.StartProcess", "syscall.StartProcess", "syscall.ForkExec", "syscall.Exec",
			"syscall.CreateProcess", "syscall.CreateProcessAsUser",
			"golang.org/x/sys/unix.Exec",
			"golang.org/x/sys/windows.CreateProcess", "golang.org/x/sys/windows.CreateProcessAsUser",
			"golang.org/x/sys/windows.ShellExecute",
		},
		// agent/service asks Debian to put its init script in order, as the library
		// that it wraps asks systemctl and rc-update.
		to: []string{"restic", "agent/service", "cmd/demo", "restic/restictest", "server/store/storetest"},
	},
	{
		what:    "catches signals",
		imports: []string{"os/signal"},
		to:      []string{"cmd/server", "cmd/agent", "cmd/demo", "restic/restictest"},
	},
	{
		what: "ends the process",
		names: []string{"os.Exit", "syscall.Exit", "golang.org/x/sys/unix.Exit",
			"golang.org/x/sys/windows.ExitProcess", "syscall.ExitProcess",
			"log.Fatal", "log.Fatalf", "log.Fatalln"},
		to: []string{"cmd/server", "cmd/agent", "cmd/demo"},
	},
	{
		what:    "needs a C compiler",
		imports: []string{"C"},
	},
}

// topLevel lists every entry that the repository may have at its top. What
// .gitignore names may lie there too.
var topLevel = []string{
	"cmd", "server", "agent", "restic", "web", "deploy",
	"openapi.yaml", "Makefile", "go.mod", "go.sum", "spec.md", "README.md", "LICENSE",
	".ci", ".gitignore",
}

func TestArchitecture(t *testing.T) {
	root := os.DirFS("..")
	tree, err := parseTree(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.files) == 0 {
		t.Fatal("found no Go file: this test looks at the wrong folder")
	}
	report(t, "arrow", checkArrows(tree, arrows))
	report(t, "confinement", checkConfined(tree, confined))
	report(t, "dot import", checkDotImports(tree))
	report(t, "package comment", checkComments(tree))
	top, err := checkTopLevel(root, topLevel)
	if err != nil {
		t.Fatal(err)
	}
	report(t, "top level", top)
}

// TestArchitecturePins compares the version of modernc.org/libc with the one that
// modernc.org/sqlite was generated for: any other may corrupt memory, and nothing
// but this test would say so.
func TestArchitecturePins(t *testing.T) {
	ours, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite").Output()
	if err != nil {
		t.Fatalf("ask go where sqlite's go.mod is: %v", err)
	}
	theirs, err := os.ReadFile(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	report(t, "pin", checkPin(ours, theirs, "modernc.org/libc"))
}

func report(t *testing.T, kind string, violations []string) {
	t.Helper()
	for _, v := range violations {
		t.Errorf("%s: %s", kind, v)
	}
}
