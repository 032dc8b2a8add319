package web

import (
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Pages holds every page, parsed together with the layouts and partials.
// It is safe for concurrent use.
type Pages struct{ byName map[string]*template.Template }

// NewPages parses the embedded templates. The functions are those of [Funcs], to
// which a caller may add its own; a template that uses one that is missing, or that
// does not parse, is an error here and not at the first request.
func NewPages(funcs template.FuncMap) (*Pages, error) {
	root, err := fs.Sub(templateFiles, "templates")
	if err != nil {
		return nil, fmt.Errorf("open templates: %w", err)
	}
	return newPages(root, funcs)
}

func newPages(root fs.FS, funcs template.FuncMap) (*Pages, error) {
	shared, err := template.New("").Funcs(funcs).Option("missingkey=error").
		ParseFS(root, "layout/*.html", "partial/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse layouts and partials: %w", err)
	}
	files, err := fs.Glob(root, "page/*.html")
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	p := &Pages{byName: make(map[string]*template.Template, len(files))}
	for _, file := range files {
		page, err := shared.Clone()
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", file, err)
		}
		page, err = page.ParseFS(root, file)
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", file, err)
		}
		p.byName[strings.TrimSuffix(path.Base(file), ".html")] = page
	}
	return p, nil
}

// Names lists the pages by their file names without .html, sorted.
func (p *Pages) Names() []string { return slices.Sorted(maps.Keys(p.byName)) }

// Render writes a page. An error may come after a part was written: render into a
// buffer where the answer's status must still be free.
func (p *Pages) Render(w io.Writer, name string, view any) error {
	page, ok := p.byName[name]
	if !ok {
		return fmt.Errorf("no page %q", name)
	}
	if err := page.ExecuteTemplate(w, name+".html", view); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	return nil
}
