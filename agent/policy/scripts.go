package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"restic-manager/agent/custody"
	"restic-manager/restic"
)

// kind is one of the two uses of scripts.
type kind struct {
	word       string // for people
	dir        string // beside the policy file
	key        string // of the policy
	notAllowed string
	insecure   string
	rules      func(*Policy) Scripts
}

var (
	hooks = kind{"hook", "hooks.d", "hooks", CodeHookNotAllowed, CodeHookInsecure, func(p *Policy) Scripts { return p.Hooks }}

	sources = kind{"named source", "sources.d", "sources", CodeSourceNotAllowed, CodeSourceInsecure, func(p *Policy) Scripts { return p.Sources }}
)

// Hook returns the hook of that name, as it lies on this host now. The error is a
// *Refusal: the policy does not list it, it is not there, or others than root could
// have put or changed it.
func (p *Policy) Hook(name string) (restic.Script, error) { return p.script(hooks, name) }

// Source returns the named source of that name. The error is as that of Hook.
func (p *Policy) Source(name string) (restic.Script, error) { return p.script(sources, name) }

// HookDir and SourceDir are where the scripts of this host lie.
func (p *Policy) HookDir() string   { return p.scriptDir(hooks) }
func (p *Policy) SourceDir() string { return p.scriptDir(sources) }

func (p *Policy) scriptDir(k kind) string {
	if dir := k.rules(p).Dir; dir != "" {
		return dir
	}
	return filepath.Join(p.folder, k.dir)
}

func (p *Policy) script(k kind, name string) (restic.Script, error) {
	dir := p.scriptDir(k)
	if !restic.ScriptName(name) || !filepath.IsAbs(dir) { //guard:script-name
		return restic.Script{}, &Refusal{k.notAllowed, "that is not the name of a " + k.word, "choose one that the host publishes"}
	}
	rules := k.rules(p)
	listed := rules.Allow == nil || slices.ContainsFunc(rules.Allow, func(s Script) bool { return s.Name == name })
	if !listed { //guard:script-listed
		return restic.Script{}, &Refusal{k.notAllowed, "the " + k.word + " " + name + " is not among those that this host's policy lists",
			"add it to " + k.key + ".allow in the policy file, as root"}
	}
	return k.open(dir, name)
}

// open looks at the file itself. The folder must be safe too, sticky or not: there is
// no reason why others should put anything there.
func (k kind) open(dir, name string) (restic.Script, error) {
	path := filepath.Join(dir, name)
	if err := custody.CheckFolder(dir, custody.Unchangeable); err != nil { //guard:script-folder
		return restic.Script{}, k.refusal(name, err)
	}
	f, err := custody.Open(path, custody.Unchangeable)
	if err != nil { //guard:script-file
		return restic.Script{}, k.refusal(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !executable(name, info) {
		err = &custody.Problem{Path: path, What: "is not executable", Mend: executableAdvice(path)}
	}
	if err != nil {
		return restic.Script{}, k.refusal(name, err)
	}
	script, err := restic.ScriptOf(path, f)
	if err != nil {
		return restic.Script{}, k.refusal(name, err)
	}
	return script, nil
}

func (k kind) refusal(name string, err error) error {
	var insecure *custody.Problem
	switch {
	case errors.As(err, &insecure):
		return &Refusal{k.insecure, insecure.Path + " " + insecure.What, insecure.Mend}
	case errors.Is(err, fs.ErrNotExist):
		return &Refusal{k.notAllowed, "there is no " + k.word + " of the name " + name + " on this host", "choose one that the host publishes, or have root put it there"}
	}
	return &Refusal{k.insecure, "the " + k.word + " " + name + " could not be looked at: " + err.Error(), "make it readable for the agent"}
}

func executable(name string, info fs.FileInfo) bool {
	if runtime.GOOS == "windows" {
		return slices.Contains([]string{".exe", ".cmd", ".bat"}, strings.ToLower(filepath.Ext(name)))
	}
	return info.Mode().Perm()&0o111 != 0
}

func executableAdvice(path string) string {
	if runtime.GOOS == "windows" {
		return "give it a name that ends in .exe, .cmd or .bat"
	}
	return "run: chmod 0755 " + custody.Quote(path)
}

// Published is a script that a job could name, and why the agent would refuse it now,
// "" where it would not.
type Published struct{ Name, Problem string }

// maxPublished is what the contract takes.
const maxPublished = 100

// Published lists what lies in the two folders of this host, each by name. Hidden
// files and folders are left out. Files whose names no job could have come last: they
// are there to be told of, by a name that can be shown.
func (p *Policy) Published() (inHooks, inSources []Published) {
	return p.published(hooks), p.published(sources)
}

func (p *Policy) published(k kind) []Published {
	entries, err := os.ReadDir(p.scriptDir(k))
	if err != nil {
		return nil
	}
	var list, misnamed []Published
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		if !restic.ScriptName(name) {
			misnamed = append(misnamed, Published{shownName(name), "a " + k.word + " cannot have this name; rename it to at most 64 letters, digits and . _ -, the first a letter or digit"})
			continue
		}
		published := Published{Name: name}
		var refusal *Refusal
		if _, err := p.script(k, name); errors.As(err, &refusal) {
			published.Problem = refusal.What + "; " + refusal.Next
		}
		list = append(list, published)
		if len(list) == maxPublished {
			break
		}
	}
	list = append(list, misnamed...)
	return list[:min(len(list), maxPublished)]
}

// shownName is a file name that nobody could use, as it can be shown: it stays one that
// nobody could use.
func shownName(name string) string {
	shown := strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, name)
	const most = 60
	if len(shown) <= most {
		return shown
	}
	return strings.ToValidUTF8(shown[:most], "") + "…"
}
