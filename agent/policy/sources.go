package policy

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// AllowSources returns a *Refusal unless the policy lets a backup read the sources
// and leave out what the patterns exclude. Links are followed as far as they exist.
//
// A source inside a denied folder is refused. A source that contains one is allowed:
// the caller adds the patterns of DeniedIn after its own.
func (p *Policy) AllowSources(sources, excludes []string) error {
	if most := p.maxExcludes(); len(excludes) > most { //guard:policy-excludes
		return &Refusal{CodeTooManyExcludes, fmt.Sprintf("the backup has %d patterns, this host's policy takes %d", len(excludes), most),
			allowCommand(WhatExcludes, strconv.Itoa(len(excludes)))}
	}
	for _, source := range sources {
		if err := p.allowSource(source); err != nil {
			return err
		}
	}
	for _, required := range p.Backup.MustInclude {
		if withinAny(required, p.allowed(WhatOmission)) {
			continue
		}
		if !covered(required, sources) || slices.ContainsFunc(excludes, func(e string) bool { return leavesOut(e, required) }) { //guard:policy-required
			return &Refusal{CodePathRequired, "this host's policy says that no backup may leave out " + required,
				allowCommand(WhatOmission, required)}
		}
	}
	return nil
}

func (p *Policy) maxExcludes() int {
	most := defaultExcludes
	if p.Backup.MaxExcludes != nil {
		most = *p.Backup.MaxExcludes
	}
	for _, n := range p.allowed(WhatExcludes) {
		if n, err := strconv.Atoi(n); err == nil {
			most = max(most, n)
		}
	}
	return most
}

func (p *Policy) allowSource(source string) error {
	if !filepath.IsAbs(source) || strings.ContainsRune(source, 0) {
		return &Refusal{CodePathNotAllowed, "a source is not an absolute path", "correct it at the server: write it from the root"}
	}
	source = filepath.Clean(source)
	if err := checkForm(source); err != nil {
		return &Refusal{CodePathNotAllowed, "the source is refused: " + err.Error(), "correct it at the server: write the plain path"}
	}
	real, err := resolve(source)
	if err != nil {
		return &Refusal{CodePathNotAllowed, "the source " + source + " leads nowhere that could be checked", "look at the links on its way"}
	}
	if denied(source, real, p.own) { //guard:policy-own-folder
		return &Refusal{CodePathNotAllowed, "the source " + source + " lies in the agent's own folder, which holds its secrets",
			"choose a source outside of it: no command allows this"}
	}
	if leadsInto(real, p.allowed(WhatSource)) {
		return nil
	}
	allowed := wholeMachine(real)
	if len(p.Backup.AllowRoots) > 0 {
		allowed = leadsInto(real, p.Backup.AllowRoots)
	}
	if !allowed || denied(source, real, p.Backup.Deny) { //guard:policy-source
		return &Refusal{CodePathNotAllowed, "the source " + source + " is not in a folder that this host's policy allows",
			allowCommand(WhatSource, source)}
	}
	return nil
}

// leadsInto reports whether a resolved path lies in where one of the folders leads.
// How the path was written does not count, nor does a folder that leads nowhere.
func leadsInto(real string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		led, err := resolve(f)
		return err == nil && within(real, led)
	})
}

// denied reports whether a path, as written or where it leads, lies in one of the
// folders, as written or where they lead. A folder that leads nowhere denies.
func denied(path, real string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		led, err := resolve(f)
		return err != nil || within(path, f) || within(real, led)
	})
}

// DeniedIn returns patterns for restic that leave the denied folders out of the
// sources that contain them. They belong after the user's own, or a pattern that
// begins with "!" would bring the folders back.
func (p *Policy) DeniedIn(sources []string) []string {
	var patterns []string
	add := func(path string) {
		if pattern := patternFor(path); !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	for _, folder := range slices.Concat(p.own, p.Backup.Deny) {
		led, err := resolve(folder)
		if err != nil {
			led = folder
		}
		for _, source := range sources {
			source = filepath.Clean(source)
			if within(folder, source) {
				add(folder)
			}
			// restic names what it finds by the source as written, not by where it leads.
			real, err := resolve(source)
			if err != nil || !within(led, real) {
				continue
			}
			if rel, err := filepath.Rel(real, led); err == nil {
				add(filepath.Join(source, rel))
			}
		}
	}
	return patterns
}

// patternFor writes a path as a pattern that matches it alone.
func patternFor(path string) string {
	var b strings.Builder
	for _, r := range path {
		switch {
		case r == '\n' || r == '\r':
			b.WriteRune('?') // a line break cannot be in a list of patterns
		case strings.ContainsRune(literal, r) && r != '\\':
			b.WriteString("[" + string(r) + "]")
		case strings.ContainsRune(literal, r):
			b.WriteString(`\\`)
		default:
			b.WriteRune(r)
		}
	}
	if text, blank := strings.CutSuffix(b.String(), " "); blank {
		return text + "[ ]"
	}
	return b.String()
}

// covered reports whether a folder lies in one of the sources.
func covered(required string, sources []string) bool {
	return slices.ContainsFunc(sources, func(s string) bool { return within(required, filepath.Clean(s)) })
}

// leavesOut reports whether a pattern excludes a required folder, one above it, or
// any name in it. Patterns that each exclude some names pass: their number is
// limited, and a backup that shrinks is an alarm elsewhere.
func leavesOut(pattern, required string) bool {
	if strings.HasPrefix(pattern, "!") {
		return false
	}
	pattern = path.Clean(filepath.ToSlash(comparable(pattern))) // as restic does
	if pattern == "/" {
		return true
	}
	// A name that no person gives stands for any name.
	parts := strings.Split(strings.Trim(filepath.ToSlash(comparable(required)), "/")+"/\ue000\ue001", "/")
	rooted := strings.HasPrefix(pattern, "/") || filepath.VolumeName(pattern) != ""
	wanted := slices.CompactFunc(strings.Split(strings.Trim(pattern, "/"), "/"), func(a, b string) bool { return a == "**" && b == "**" })
	for from := range parts {
		if rooted && from > 0 {
			return false
		}
		for to := from + 1; to <= len(parts); to++ {
			if matchParts(wanted, parts[from:to]) {
				return true
			}
		}
	}
	return false
}

// matchParts matches a pattern as restic does: part by part, ** for any number.
func matchParts(pattern, parts []string) bool {
	if len(pattern) == 0 {
		return len(parts) == 0
	}
	if pattern[0] == "**" {
		for skip := 0; skip <= len(parts); skip++ {
			if matchParts(pattern[1:], parts[skip:]) {
				return true
			}
		}
		return false
	}
	if len(parts) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], parts[0])
	return ok && err == nil && matchParts(pattern[1:], parts[1:])
}
