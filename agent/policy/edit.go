package policy

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"restic-manager/agent/custody"
)

// Allow adds an allowance to a policy file, in place of one for the same thing.
// Allowances that have ended go. The rest of the file, comments included, stays
// byte by byte. It is for root's command: two at once may lose one of the changes,
// but never leave half a file.
func Allow(path string, a Allowance) error {
	if err := a.validate(); err != nil {
		return err
	}
	return edit(path, func(p *Policy) ([]Allowance, error) {
		return append(without(p, a.What, a.Under), a), nil
	})
}

// Deny removes an allowance from a policy file. It returns an error if there is none
// in force for that.
func Deny(path, what, under string) error {
	return edit(path, func(p *Policy) ([]Allowance, error) {
		if !slices.Contains(p.allowed(what), under) {
			return nil, fmt.Errorf("nothing is allowed for %s under %s", what, under)
		}
		return without(p, what, under), nil
	})
}

// without returns the allowances that are in force, but for one.
func without(p *Policy, what, under string) []Allowance {
	return slices.DeleteFunc(slices.Clone(p.Allowances), func(a Allowance) bool {
		return a.What == what && a.Under == under || !slices.Contains(p.allowed(a.What), a.Under)
	})
}

func edit(path string, change func(*Policy) ([]Allowance, error)) error {
	p, err := Load(path)
	if err != nil {
		return err
	}
	data, err := custody.Read(path, custody.Unchangeable, maxFile)
	if err != nil {
		return err
	}
	if p.Allowances, err = change(p); err != nil {
		return err
	}
	edited, err := splice(data, p.Allowances)
	if err != nil {
		return err
	}
	// The text was changed without understanding all of it, so what it means now is
	// compared with what it should mean.
	after, err := parse(edited)
	if err != nil || !same(p, after) || len(edited) > maxFile {
		return errors.New("the file is written in a way that cannot be changed by command: edit its allowances by hand")
	}
	return custody.Rewrite(path, edited)
}

func same(a, b *Policy) bool {
	textA, errA := yaml.Marshal(a)
	textB, errB := yaml.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(textA, textB) && reflect.DeepEqual(a.Operations, b.Operations) &&
		reflect.DeepEqual(a.Hooks, b.Hooks) && reflect.DeepEqual(a.Sources, b.Sources)
}

const allowancesKey = "allowances:"

// splice replaces the lines of the key allowances, or adds them at the end.
func splice(data []byte, allowances []Allowance) ([]byte, error) {
	var block []byte
	if len(allowances) > 0 {
		text, err := yaml.Marshal(map[string][]Allowance{strings.TrimSuffix(allowancesKey, ":"): allowances})
		if err != nil {
			return nil, err
		}
		block = text
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	from := slices.IndexFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, []byte(allowancesKey)) })
	if from < 0 {
		if len(data) > 0 && data[len(data)-1] != '\n' {
			data = append(slices.Clone(data), '\n')
		}
		return slices.Concat(data, block), nil
	}
	to := from + 1
	for to < len(lines) && continues(lines[to]) {
		to++
	}
	return slices.Concat(bytes.Join(lines[:from], nil), block, bytes.Join(lines[to:], nil)), nil
}

// continues reports whether a line belongs to the key above it.
func continues(line []byte) bool {
	return len(line) > 0 && (line[0] == ' ' || line[0] == '-' && !bytes.HasPrefix(line, []byte("---")))
}
