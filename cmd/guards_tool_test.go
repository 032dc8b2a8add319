package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	pathpkg "path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A twin is a guard and the test that must fail without it.
type twin struct{ guard, pkg, test string }

// A mark is one place of a guard: the bytes of a file that decide or do it. A guard
// may have several, for several systems.
type mark struct {
	guard, path string
	span
}

// A span is some bytes of a file, and what they become so that their guard can be
// taken away: a condition false, a statement nothing, a field of a literal zero.
type span struct {
	from, to int
	form     string
}

const (
	conditionForm = "guardStands(%q) && (%s)"
	statementForm = "if guardStands(%q) { %s }"
	fieldForm     = "guardValue(%q, %s)"
)

// The outcomes of taking a guard away.
const (
	failsWhenOff  = "fails when off ✓"
	passesWhenOff = "passes although the guard is off: it proves nothing"
	failsAnyway   = "fails or does not run although the guard is on"
)

const guardPrefix = "//guard:"

// findGuards returns the marks of each guard.
func findGuards(fsys fs.FS) (map[string][]mark, error) {
	t, err := parseTree(fsys)
	if err != nil {
		return nil, err
	}
	marks := map[string][]mark{}
	for _, s := range t.files {
		places := placesByLine(t.fset, s.file)
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				name, ok := strings.CutPrefix(c.Text, guardPrefix)
				if !ok {
					continue
				}
				at := t.fset.Position(c.Pos())
				here := places[at.Line]
				if len(here) == 0 {
					return nil, fmt.Errorf("%s: the guard %s is at nothing that can be taken away", at, name)
				}
				for _, place := range here {
					marks[name] = append(marks[name], mark{name, s.path, place})
				}
			}
		}
	}
	return marks, nil
}

// placesByLine finds what can be a guard, by the line where its mark stands: what
// decides an if or a case, at the line where its block begins; a statement that is
// a call or an assignment; a field of a literal.
func placesByLine(fset *token.FileSet, file *ast.File) map[int][]span {
	found := map[int][]span{}
	add := func(line int, form string, list ...ast.Node) {
		if len(found[line]) > 0 {
			return // what is around it is meant
		}
		for _, n := range list {
			found[line] = append(found[line], span{fset.Position(n.Pos()).Offset, fset.Position(n.End()).Offset, form})
		}
	}
	line := func(at token.Pos) int { return fset.Position(at).Line }
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			add(line(n.Body.Lbrace), conditionForm, n.Cond)
		case *ast.SwitchStmt:
			if n.Tag != nil {
				break
			}
			for _, clause := range n.Body.List {
				if c, ok := clause.(*ast.CaseClause); ok {
					add(line(c.Colon), conditionForm, nodes(c.List)...)
				}
			}
		case *ast.ExprStmt:
			add(line(n.End()), statementForm, n)
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				add(line(n.End()), statementForm, n)
			}
		case *ast.KeyValueExpr:
			add(line(n.End()), fieldForm, n.Value)
		}
		return true
	})
	return found
}

func nodes(list []ast.Expr) []ast.Node {
	out := make([]ast.Node, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}

// checkGuards reports marks that no twin proves, and twins without a mark.
func checkGuards(marks map[string][]mark, twins []twin) []string {
	var bad []string
	for name := range marks {
		if !slices.ContainsFunc(twins, func(t twin) bool { return t.guard == name }) {
			bad = append(bad, name+" is marked and has no test in the table")
		}
	}
	for _, t := range twins {
		if len(marks[t.guard]) == 0 {
			bad = append(bad, t.guard+" is in the table and marked nowhere")
		}
	}
	slices.Sort(bad)
	return bad
}

// declared returns the package clause of the test file of the package that declares the
// test, and an error unless one does. It also makes those files inputs of this test, so
// that the go command does not answer from its cache after one of them was weakened.
func declared(fsys fs.FS, t twin) (clause string, err error) {
	files, err := fs.Glob(fsys, t.pkg+"/*_test.go")
	if err != nil {
		return "", err
	}
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return "", err
		}
		if bytes.Contains(text, []byte("\nfunc "+t.test+"(t *testing.T) {")) {
			file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly)
			if err != nil {
				return "", err
			}
			clause = file.Name.Name
		}
	}
	if clause == "" {
		return "", fmt.Errorf("no test %s in %s", t.test, t.pkg)
	}
	return clause, nil
}

// A prover has the tests of each package built once, so that every guard in them
// can be taken away by the environment: a build for each guard would take an hour.
type prover struct {
	root, temp, overlay string

	mu    sync.Mutex
	built map[string]func() (string, error) // by package
	stood map[string]func() error           // by package, test and share
}

// switchName is the variable that names the guard to take away.
const switchName = "GUARD_OFF"

// newProver writes the guarded files anew, below temp, so that each can be taken away,
// with a driver for each package of the shards.
func newProver(root, temp string, marks map[string][]mark, shards ...shard) (*prover, error) {
	overlay, err := writeOverlay(root, temp, marks, shards)
	return &prover{
		root: root, temp: temp, overlay: overlay,
		built: map[string]func() (string, error){}, stood: map[string]func() error{},
	}, err
}

// A share is which of a test's parts are run.
type share string

// The shares: what fails without PostgreSQL needs no cluster made for its proof, and
// most guards are of no database.
const (
	quickShare share = "PostgreSQL" // all parts but those of this name
	wholeShare share = ""
)

// prove runs the test of a twin as the code is, and with the guard off. Only a test
// that passes first and then fails by itself proves anything: one that does not
// compile fails too.
func (p *prover) prove(ctx context.Context, t twin) (outcome string, err error) {
	outcome, err = p.proveShare(ctx, t, quickShare)
	if outcome == passesWhenOff {
		outcome, err = p.proveShare(ctx, t, wholeShare)
	}
	return outcome, err
}

func (p *prover) proveShare(ctx context.Context, t twin, parts share) (outcome string, err error) {
	if err := p.stands(ctx, t, parts); err != nil {
		return failsAnyway, err
	}
	passed, failed, _, err := p.run(ctx, t, parts, t.guard)
	switch {
	case err != nil:
		return "", err
	case passed:
		return passesWhenOff, nil
	case failed:
		return failsWhenOff, nil
	}
	return failsAnyway, nil
}

var errDoesNotStand = errors.New("the test fails although every guard is on")

// stands runs a test with every guard on, once however many guards it proves.
func (p *prover) stands(ctx context.Context, t twin, parts share) error {
	what := fmt.Sprintf("%s.%s without %q", t.pkg, t.test, parts)
	p.mu.Lock()
	once, ok := p.stood[what]
	if !ok {
		once = sync.OnceValue(func() error {
			passed, _, out, err := p.run(ctx, t, parts, "")
			if err == nil && !passed {
				err = fmt.Errorf("%w:\n%s", errDoesNotStand, out)
			}
			return err
		})
		p.stood[what] = once
	}
	p.mu.Unlock()
	return once()
}

// binary builds the tests of a package, once.
func (p *prover) binary(ctx context.Context, pkg string) (string, error) {
	p.mu.Lock()
	once, ok := p.built[pkg]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			file := filepath.Join(p.temp, strings.ReplaceAll(pkg, "/", "_")+".test.exe")
			cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-w", "-overlay="+p.overlay, "-o", file, "./"+pkg)
			cmd.Dir = p.root
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
			}
			return file, nil
		})
		p.built[pkg] = once
	}
	p.mu.Unlock()
	return once()
}

// run runs one test of a package without the guard that off names, up to its first
// failure. It reports what the test itself said, and its output; when it said neither, err
// has that.
func (p *prover) run(ctx context.Context, t twin, parts share, off string) (passed, failed bool, out []byte, err error) {
	binary, err := p.binary(ctx, t.pkg)
	if err != nil {
		return false, false, nil, err
	}
	name := "^" + regexp.QuoteMeta(t.test) + "$"
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.failfast", "-test.timeout=120s", "-test.run="+name)
	if parts != wholeShare {
		cmd.Args = append(cmd.Args, "-test.skip="+name+"/^"+string(parts)+"$")
	}
	cmd.Dir = filepath.Join(p.root, filepath.FromSlash(t.pkg))
	cmd.Env = append(os.Environ(), switchName+"="+off)
	out, err = cmd.CombinedOutput()
	passed = err == nil && bytes.Contains(out, []byte("--- PASS: "+t.test+" ("))
	failed = bytes.Contains(out, []byte("--- FAIL: "+t.test+" (")) || bytes.Contains(out, []byte("panic: "))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || !passed && !failed {
		return false, false, out, fmt.Errorf("%s in %s neither passed nor failed: %v\n%s", t.test, t.pkg, err, out)
	}
	return passed, failed, out, nil
}

// writeOverlay writes the files of all marks with guards that can be switched off,
// and what the go command needs to take them instead.
func writeOverlay(root, temp string, marks map[string][]mark, shards []shard) (string, error) {
	byFile := map[string][]mark{}
	for _, list := range marks {
		for _, m := range list {
			byFile[m.path] = append(byFile[m.path], m)
		}
	}
	replace := map[string]string{}
	add := func(path string, text []byte) error {
		from, err := filepath.Abs(filepath.Join(root, path))
		if err != nil {
			return err
		}
		to := filepath.Join(temp, strings.ReplaceAll(path, "/", "_"))
		replace[from] = to
		return os.WriteFile(to, text, 0o600)
	}
	for path, list := range byFile {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return "", err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		err = errors.Join(
			add(path, switchable(text, list)),
			add(pathpkg.Join(pathpkg.Dir(path), "guardswitch.go"), fmt.Appendf(nil, guardSwitch, file.Name.Name, switchName)),
		)
		if err != nil {
			return "", err
		}
	}
	type home struct{ pkg, clause string }
	tests := map[home][]twin{}
	for _, s := range shards {
		tests[home{s.pkg, s.clause}] = append(tests[home{s.pkg, s.clause}], s.twins...)
	}
	for at, twins := range tests {
		if err := add(pathpkg.Join(at.pkg, "guarddriver_"+at.clause+"_test.go"), driverOf(at.clause, twins)); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(temp, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}

// guardSwitch is added to each package with guards.
const guardSwitch = `package %s

import "os"

// guardStands asks each time: a process may take one guard away after another.
func guardStands(name string) bool { return name != os.Getenv(%q) }

func guardValue[T any](name string, value T) T {
	if guardStands(name) {
		return value
	}
	var none T
	return none
}
`

// switchable writes each place so that it does nothing when its guard is off. It
// keeps what stands there, so that what it uses stays in use, and the lines stay
// where they are.
func switchable(text []byte, marks []mark) []byte {
	slices.SortFunc(marks, func(a, b mark) int { return b.from - a.from })
	for _, m := range marks {
		text = slices.Concat(text[:m.from], fmt.Appendf(nil, m.form, m.guard, text[m.from:m.to]), text[m.to:])
	}
	return text
}
