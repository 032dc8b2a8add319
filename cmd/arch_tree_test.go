package cmd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A tree is the parsed Go code of a repository. Files for every system and build
// tag are in it: what is checked must not depend on where the test runs.
type tree struct {
	fset  *token.FileSet
	files []source
}

// A source is one Go file: its package's folder, and its syntax.
type source struct {
	path, dir string
	file      *ast.File
}

// A confinement says that only the packages in to may import imports or use names.
type confinement struct {
	what    string
	imports []string
	names   []string
	to      []string
}

// parseTree parses every Go file but those of tests, which may reach anywhere,
// and those in folders that the go command passes over.
func parseTree(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && unseenByGo(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(t.fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		t.files = append(t.files, source{path: name, dir: path.Dir(name), file: file})
		return nil
	})
	return t, err
}

func unseenByGo(folder string) bool {
	return folder == "testdata" || folder == "vendor" || strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_")
}

// checkArrows reports each import of the module's own packages that allowed does
// not list, and each package that it does not know.
func checkArrows(t *tree, allowed map[string][]string) []string {
	var bad []string
	unknown := map[string]bool{}
	for _, s := range t.files {
		may, known := allowed[s.dir]
		if !known {
			if !unknown[s.dir] {
				bad = append(bad, fmt.Sprintf("package %s is not in the table: add it with what it may import", s.dir))
			}
			unknown[s.dir] = true
			continue
		}
		for _, spec := range s.file.Imports {
			to, ours := strings.CutPrefix(importPath(spec), module+"/")
			if ours && !permits(may, to) {
				bad = append(bad, fmt.Sprintf("%s: %s may not import %s", t.fset.Position(spec.Pos()), s.dir, to))
			}
		}
	}
	return bad
}

// permits reports whether to is listed, by name or as a direct child of "dir/*".
func permits(may []string, to string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		folder, all := strings.CutSuffix(m, "/*")
		return m == to || all && path.Dir(to) == folder
	})
}

// checkConfined reports each use of what a confinement keeps to other packages.
func checkConfined(t *tree, rules []confinement) []string {
	var bad []string
	for _, s := range t.files {
		for _, r := range rules {
			if slices.Contains(r.to, s.dir) {
				continue
			}
			for _, use := range uses(s.file, r) {
				bad = append(bad, fmt.Sprintf("%s: %s %s by %s; only %s may",
					t.fset.Position(use.pos), s.dir, r.what, use.name, listed(r.to)))
			}
		}
	}
	return bad
}

func listed(packages []string) string {
	if len(packages) == 0 {
		return "nobody"
	}
	return strings.Join(packages, ", ")
}

type use struct {
	pos  token.Pos
	name string
}

// uses finds the imports and names of r in file.
func uses(file *ast.File, r confinement) []use {
	var found []use
	local := map[string]string{} // name in this file → import path
	for _, spec := range file.Imports {
		from := importPath(spec)
		if slices.ContainsFunc(r.imports, func(i string) bool { return from == i || strings.HasPrefix(from, i+"/") }) {
			found = append(found, use{spec.Pos(), from})
		}
		name := path.Base(from)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = from
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// An identifier that the parser resolved is a variable, not a package.
		if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil {
			if name := local[x.Name] + "." + sel.Sel.Name; slices.Contains(r.names, name) {
				found = append(found, use{sel.Pos(), name})
			}
		}
		return true
	})
	return found
}

// checkDotImports reports each dot import: uses cannot see what they bring in.
func checkDotImports(t *tree) []string {
	var bad []string
	for _, s := range t.files {
		for _, spec := range s.file.Imports {
			if spec.Name != nil && spec.Name.Name == "." {
				bad = append(bad, fmt.Sprintf("%s: a dot import of %s", t.fset.Position(spec.Pos()), importPath(spec)))
			}
		}
	}
	return bad
}

// checkComments reports each package without a comment that begins as godoc wants
// it: "Package name …", or for main "Command …" or "Program …".
func checkComments(t *tree) []string {
	documented := map[string]bool{}
	for _, s := range t.files {
		begins := []string{"Package " + s.file.Name.Name + " "}
		if s.file.Name.Name == "main" {
			begins = []string{"Command ", "Program "}
		}
		documented[s.dir] = documented[s.dir] || slices.ContainsFunc(begins, func(begin string) bool {
			return strings.HasPrefix(s.file.Doc.Text(), begin)
		})
	}
	var bad []string
	for dir, ok := range documented {
		if !ok {
			bad = append(bad, fmt.Sprintf("package %s has none that begins with \"Package …\" (\"Command …\" for main)", dir))
		}
	}
	slices.Sort(bad)
	return bad
}

// checkTopLevel reports each entry at the top that is neither allowed nor ignored
// by .gitignore.
func checkTopLevel(fsys fs.FS, allowed []string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	ignore, err := fs.ReadFile(fsys, ".gitignore")
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, e := range entries {
		if e.Name() != ".git" && !slices.Contains(allowed, e.Name()) && !ignored(ignore, e) {
			bad = append(bad, e.Name()+" does not belong there: the list is fixed")
		}
	}
	return bad, nil
}

// ignored understands the two forms that our .gitignore has: "/folder/" and "*.ext".
func ignored(gitignore []byte, e fs.DirEntry) bool {
	for lines := bufio.NewScanner(bytes.NewReader(gitignore)); lines.Scan(); {
		pattern, folder := strings.CutSuffix(strings.TrimSpace(lines.Text()), "/")
		pattern = strings.TrimPrefix(pattern, "/")
		if match, _ := path.Match(pattern, e.Name()); match && (e.IsDir() || !folder) {
			return true
		}
	}
	return false
}

// checkPin reports when our go.mod and that of a dependency ask for different
// versions of the same third module.
func checkPin(ours, theirs []byte, name string) []string {
	got, want := required(ours, name), required(theirs, name)
	if got == "" || want == "" || got != want {
		return []string{fmt.Sprintf("go.mod has %s %q, what depends on it asks for %q", name, got, want)}
	}
	return nil
}

// required returns the version of a module in a go.mod, or "".
func required(gomod []byte, name string) string {
	for lines := bufio.NewScanner(bytes.NewReader(gomod)); lines.Scan(); {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "require "))
		if len(f) >= 2 && f[0] == name {
			return f[1]
		}
	}
	return ""
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}
