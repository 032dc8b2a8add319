package ui

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// tree is the files of a snapshot as a page shows them: the folders that are open, or
// what a search found. tree.js opens more by the contract, in the same form.
type tree struct {
	Repository, Snapshot string
	At                   string // the snapshot's page
	Buttons              bool   // folders open by a button of the form around it, not by a link
	Nodes                []node
	Find                 string
	Note                 string // what was found, or not all shown
	Hidden               []string
	Open                 []string
	Problem              string // why nothing can be shown
	Next                 string // further on in the folder or the search
	Elsewhere            string // where what was not found can be looked for in every snapshot
}

type node struct {
	Entry   api.Entry
	Level   int
	Open    bool
	Picked  bool
	Covered string // the picked folder that it comes with
	Partly  bool   // something below it is picked
	Label   string // the name, or what was found as a path
	ID      string
	Href    string // opens or closes it without a script
}

// mostFolders is how many folders one page opens.
const mostFolders = 60

func snapshotHref(repository, snapshot string) string {
	return "/repositories/" + url.PathEscape(repository) + "/snapshots/" + url.PathEscape(snapshot)
}

func snapshotAPI(repository, snapshot string) string {
	return "/api/v1" + snapshotHref(repository, snapshot)
}

// folderOf gives the folder that holds an entry.
func folderOf(p string) string { return path.Dir(p) }

// A path as the value of a field or an attribute: pages and posted forms change line ends, so a
// path that has one would come back as another one. text.js has the same.
var pathEncoder, pathDecoder = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A"), strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n")

func encodePath(p string) string { return pathEncoder.Replace(p) }

// decodePaths gives the paths in a posted form as they are in the snapshot.
func decodePaths(form url.Values) {
	for _, name := range []string{"path", "open", "toggle"} {
		for i, value := range form[name] {
			form[name][i] = pathDecoder.Replace(value)
		}
	}
}

// below tells whether an entry lies under a folder.
func below(p, folder string) bool {
	return p != folder && (folder == "/" || strings.HasPrefix(p, folder+"/"))
}

// planting makes a tree.
type planting struct {
	v     *visit
	tree  *tree
	picks []string
	asked int
}

// plant reads the open folders, or what is searched for. What the contract refuses of it
// (a folder that is not there) the tree says.
func (v *visit) plant(t *tree, picks []string, token string) error {
	t.At = snapshotHref(t.Repository, t.Snapshot)
	p := &planting{v: v, tree: t, picks: picks}
	err := p.read(token)
	if problem, refused := err.(*problem); refused && problem.Status >= 400 && problem.Status != 401 && problem.Status < 500 {
		t.Problem, err = problem.Detail, nil
	}
	for _, pick := range picks {
		if !slices.ContainsFunc(t.Nodes, func(n node) bool { return n.Entry.Path == pick && n.Covered == "" }) {
			t.Hidden = append(t.Hidden, pick)
		}
	}
	return err
}

func (p *planting) read(token string) error {
	if p.tree.Find != "" {
		return p.search(token)
	}
	root := api.Entry{Path: "/", Name: "/", Type: api.Dir}
	p.add(root, 0, true)
	p.tree.Nodes[0].Label = "Everything"
	if err := p.folder("/", 1, token); err != nil {
		return err
	}
	for _, n := range p.tree.Nodes[1:] {
		if n.Level == 1 {
			p.tree.Nodes[0].Entry.Size += n.Entry.Size
			p.tree.Nodes[0].Entry.Files += filesOf(n.Entry)
		}
	}
	return nil
}

func filesOf(e api.Entry) int64 {
	if e.Type == api.Dir {
		return e.Files
	}
	return 1
}

func (p *planting) search(token string) error {
	q := url.Values{"q": {p.tree.Find}, "page_size": {"100"}}
	if token != "" {
		q.Set("page_token", token)
	}
	page, err := get[api.EntryPage](p.v, snapshotAPI(p.tree.Repository, p.tree.Snapshot)+"/search", q)
	if err != nil {
		return err
	}
	for _, e := range page.Entries {
		p.add(e, 0, false)
		p.tree.Nodes[len(p.tree.Nodes)-1].Label = e.Path
	}
	p.tree.Next = page.NextPageToken
	p.tree.Note = plural(len(page.Entries), "entry is", "entries are") + " called like that."
	switch {
	case len(page.Entries) == 0 && page.NextPageToken != "":
		p.tree.Note = "Nothing was found yet: the snapshot is very large. Look further, or below a folder."
	case len(page.Entries) == 0:
		p.tree.Note = "Nothing is called like that."
		p.tree.Elsewhere = everywhere(p.tree.Repository, p.tree.Find)
	case page.NextPageToken != "":
		p.tree.Note = "The first " + plural(len(page.Entries), "entry", "entries") + " called like that. Type more of the name to find others."
	}
	return nil
}

// everywhere leads to the form that looks for a name in every snapshot, for which restic wants
// a pattern; tree.js does the same.
func everywhere(repository, name string) string {
	if !strings.ContainsAny(name, "*?[/") {
		name = "*" + name + "*"
	}
	return "/repositories/" + url.PathEscape(repository) + "/run/find?" + url.Values{"patterns": {name}, "ignore_case": {"true"}}.Encode()
}

func (p *planting) folder(folder string, level int, token string) error {
	if p.asked++; p.asked > mostFolders {
		return nil
	}
	q := url.Values{"path": {folder}, "page_size": {"200"}}
	if token != "" && folder == p.last() {
		q.Set("page_token", token)
	}
	page, err := get[api.EntryPage](p.v, snapshotAPI(p.tree.Repository, p.tree.Snapshot)+"/entries", q)
	if err != nil {
		return err
	}
	alone := len(page.Entries) == 1 && level < 6 // a way without a fork is walked
	for _, e := range page.Entries {
		open := e.Type == api.Dir && (p.open(e.Path) || alone)
		p.add(e, level, open)
		if !open {
			continue
		}
		if err := p.folder(e.Path, level+1, token); err != nil {
			return err
		}
	}
	if page.NextPageToken != "" && folder == p.last() {
		p.tree.Next = page.NextPageToken
	}
	if page.NextPageToken != "" {
		p.tree.Note = fmt.Sprintf("%s has more entries than are shown here; find the others by their name.", visiblePath(folder))
	}
	return nil
}

// last is the folder whose further pages a page without a script leads to.
func (p *planting) last() string {
	if len(p.tree.Open) == 0 {
		return "/"
	}
	return p.tree.Open[len(p.tree.Open)-1]
}

// open tells whether a folder is open: it was opened, or what was opened or picked lies in it.
func (p *planting) open(folder string) bool {
	in := func(list []string, self bool) bool {
		return slices.ContainsFunc(list, func(s string) bool { return self && s == folder || below(s, folder) })
	}
	return in(p.tree.Open, true) || len(p.picks) <= 20 && in(p.picks, false)
}

func (p *planting) add(e api.Entry, level int, open bool) {
	n := node{Entry: e, Level: level, Open: open, Label: e.Name, ID: fmt.Sprintf("n%d", len(p.tree.Nodes)), Picked: slices.Contains(p.picks, e.Path)}
	for _, pick := range p.picks {
		if below(e.Path, pick) {
			n.Covered, n.Picked = pick, true
		}
		n.Partly = n.Partly || below(pick, e.Path)
	}
	if e.Type == api.Dir {
		to := e.Path
		if open {
			to = folderOf(e.Path)
		}
		n.Href = p.tree.At + "?" + url.Values{"path": {to}}.Encode()
	}
	p.tree.Nodes = append(p.tree.Nodes, n)
}

// total is how much was picked, as far as the tree tells it.
type total struct {
	Files, Bytes int64
	More         bool // something that the tree does not show is picked too
}

func totalOf(t *tree, picks []string) (sum total) {
	for _, pick := range outermost(picks) {
		i := slices.IndexFunc(t.Nodes, func(n node) bool { return n.Entry.Path == pick })
		if i < 0 {
			sum.More = true
			continue
		}
		sum.Files += filesOf(t.Nodes[i].Entry)
		sum.Bytes += t.Nodes[i].Entry.Size
	}
	return sum
}

// outermost leaves out what comes with a folder that is picked too, and what is picked twice.
func outermost(picks []string) (list []string) {
	for i, pick := range picks {
		inside := slices.ContainsFunc(picks, func(other string) bool { return below(pick, other) })
		if !inside && !slices.Contains(picks[:i], pick) {
			list = append(list, pick)
		}
	}
	return list
}

// words tells what was picked in a line.
func (t total) words(picks int) string {
	switch {
	case picks == 0:
		return "nothing picked yet"
	case t.More && t.Files == 0:
		return plural(picks, "path", "paths")
	}
	s := plural(int(t.Files), "file", "files") + ", " + web.Bytes(t.Bytes)
	if t.More {
		s = "at least " + s
	}
	return s
}
