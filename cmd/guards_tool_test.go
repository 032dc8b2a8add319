package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A twin is a guard and the test that must fail without it.
type twin struct{ guard, pkg, test string }

// A mark is one condition of a guard: the bytes of a file that decide it. A guard
// may have several, for several systems.
type mark struct {
	path     string
	from, to int
}

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
		conditions := conditionsByLine(t.fset, s.file)
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				name, ok := strings.CutPrefix(c.Text, guardPrefix)
				if !ok {
					continue
				}
				at := t.fset.Position(c.Pos())
				on := conditions[at.Line]
				if len(on) == 0 {
					return nil, fmt.Errorf("%s: the guard %s is neither at an if nor at a case of a switch without a tag", at, name)
				}
				for _, e := range on {
					marks[name] = append(marks[name], mark{s.path, t.fset.Position(e.Pos()).Offset, t.fset.Position(e.End()).Offset})
				}
			}
		}
	}
	return marks, nil
}

// conditionsByLine finds what decides each if and each case, by the line where its
// block begins, which is where the mark stands.
func conditionsByLine(fset *token.FileSet, file *ast.File) map[int][]ast.Expr {
	found := map[int][]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			found[fset.Position(n.Body.Lbrace).Line] = []ast.Expr{n.Cond}
		case *ast.SwitchStmt:
			if n.Tag != nil {
				break
			}
			for _, clause := range n.Body.List {
				if c, ok := clause.(*ast.CaseClause); ok {
					found[fset.Position(c.Colon).Line] = c.List
				}
			}
		}
		return true
	})
	return found
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

// declared returns an error unless a test file of the package declares the test. It
// also makes those files inputs of this test, so that the go command does not answer
// from its cache after one of them was weakened.
func declared(fsys fs.FS, t twin) error {
	files, err := fs.Glob(fsys, t.pkg+"/*_test.go")
	if err != nil {
		return err
	}
	found := false
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		found = found || bytes.Contains(text, []byte("\nfunc "+t.test+"(t *testing.T) {"))
	}
	if !found {
		return fmt.Errorf("no test %s in %s", t.test, t.pkg)
	}
	return nil
}

// prove runs the test of a twin as the code is, and with the guard off. Only a test
// that passes first and then fails by itself proves anything: one that does not
// compile fails too.
func prove(ctx context.Context, root, temp string, marks []mark, t twin) (outcome string, err error) {
	passed, _, err := runTest(ctx, root, t)
	if err != nil || !passed {
		return failsAnyway, err
	}
	overlay, err := writeOverlay(root, temp, marks)
	if err != nil {
		return "", err
	}
	passed, failed, err := runTest(ctx, root, t, "-overlay="+overlay)
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

// runTest runs one test of a package. It reports what the test itself said; when it
// said neither, err has the output.
func runTest(ctx context.Context, root string, t twin, flags ...string) (passed, failed bool, err error) {
	args := append([]string{"test", "-v", "-vet=off", "-ldflags=-w", "-timeout=120s", "-run=^" + regexp.QuoteMeta(t.test) + "$"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+t.pkg)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	passed = err == nil && bytes.Contains(out, []byte("--- PASS: "+t.test+" ("))
	failed = bytes.Contains(out, []byte("--- FAIL: "+t.test+" (")) || bytes.Contains(out, []byte("panic: "))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || !passed && !failed {
		return false, false, fmt.Errorf("%s in %s neither passed nor failed: %v\n%s", t.test, t.pkg, err, out)
	}
	return passed, failed, nil
}

// writeOverlay writes the files of marks with their conditions off, and what the go
// command needs to take them instead.
func writeOverlay(root, temp string, marks []mark) (string, error) {
	byFile := map[string][]mark{}
	for _, m := range marks {
		byFile[m.path] = append(byFile[m.path], m)
	}
	replace := map[string]string{}
	for path, list := range byFile {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return "", err
		}
		from, err := filepath.Abs(filepath.Join(root, path))
		if err != nil {
			return "", err
		}
		to := filepath.Join(temp, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(to, switchOff(text, list), 0o600); err != nil {
			return "", err
		}
		replace[from] = to
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(temp, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}

// switchOff makes each condition false. It keeps the condition, so that what it uses
// stays in use, and the lines stay where they are.
func switchOff(text []byte, marks []mark) []byte {
	slices.SortFunc(marks, func(a, b mark) int { return b.from - a.from })
	for _, m := range marks {
		text = slices.Concat(text[:m.from], []byte("false && ("), text[m.from:m.to], []byte(")"), text[m.to:])
	}
	return text
}
