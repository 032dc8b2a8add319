package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"restic-manager/agent/custody"
)

// Load reads a policy file. Its errors are of type *Locked: there is no file, others
// could have changed it, or it is not understood. It keeps no state: an agent that
// loads before each job goes by what root wrote last.
func Load(path string) (*Policy, error) {
	data, err := custody.Read(path, custody.Unchangeable, maxFile)
	var insecure *custody.Problem
	switch {
	case errors.As(err, &insecure):
		return nil, &Locked{CodeInsecure, insecure.Path + " " + insecure.What, insecure.Mend, err}
	case errors.Is(err, fs.ErrNotExist): //guard:policy-missing
		return nil, &Locked{CodeMissing, "there is no policy file at " + path,
			"run: " + command("init", "--profile", string(Guarded)), err}
	case err != nil:
		return nil, &Locked{CodeInsecure, "the policy file could not be read", "make it readable for the agent", err}
	}
	p, err := parse(data)
	if err != nil {
		return nil, &Locked{CodeInvalid, path + " is not understood: " + err.Error(), "correct it and run: " + command("show"), err}
	}
	p.folder = filepath.Dir(path)
	return p, nil
}

// parse reads the text of one policy. Unknown keys, keys given twice and anything
// after the policy are errors, since all of them are guesses at what root meant.
func parse(data []byte) (*Policy, error) {
	if err := plain(data); err != nil {
		return nil, err
	}
	p := &Policy{}
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := dec.Decode(p); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	if err := dec.Decode(&Policy{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the policy")
	}
	if err := p.validate(); err != nil { //guard:policy-valid
		return nil, err
	}
	sum := sha256.Sum256(data)
	p.digest = "sha256:" + hex.EncodeToString(sum[:])
	return p, nil
}

// plain refuses the parts of YAML that a policy has no use for, before they are
// acted upon: aliases make a small file fill the memory, tags and merged keys make
// it mean something else than one reads.
func plain(data []byte) error {
	depth := 0
	for _, t := range lexer.Tokenize(string(data)) {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType, token.MappingKeyType:
			return fmt.Errorf("line %d has an anchor, alias, tag, merged key or directive: write values out", t.Position.Line)
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if depth > maxDepth || t.Position.Column > maxColumn {
			return fmt.Errorf("line %d is nested too deeply or too long", t.Position.Line)
		}
	}
	return nil
}

// Write makes a policy file where there is none, for root alone. It returns an
// error that is fs.ErrExist if there is one: what root decided is never replaced.
func (p *Policy) Write(path string) error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	return custody.Create(path, append([]byte(header), text...))
}

const header = `# What the agent of restic-manager may do on this machine. The server cannot change
# this file. It belongs to root; if others could write it, the agent runs nothing.
# Exceptions: restic-manager-agent policy allow …; every key is in policy.reference.yaml.
`
