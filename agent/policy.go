package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"restic-manager/agent/policy"
)

// loadPolicy reads the policy file, and adds to what it denies the folders that hold
// this host's secrets.
func (c Config) loadPolicy() (*policy.Policy, error) {
	p, err := policy.Load(c.Policy)
	if err != nil {
		return nil, err
	}
	p.Protect(c.StateDir, c.CacheDir)
	p.StageIn(filepath.Join(c.StateDir, "restore"))
	return p, nil
}

// PolicySummary says what the policy file allows, or why the agent is locked.
func PolicySummary(c Config) policy.Summary { return policy.SummaryOf(c.loadPolicy()) }

// Asked is what CheckPolicy asks a policy about.
type Asked struct {
	Repositories []string // locations
	Sources      []string // paths
	Hooks, Named []string // scripts of this host
}

// CheckPolicy returns why the agent is locked, or why it would refuse something.
func CheckPolicy(c Config, asked Asked) error {
	p, err := c.loadPolicy()
	if err != nil {
		return err
	}
	var refused []error
	for _, location := range asked.Repositories {
		refused = append(refused, p.AllowRepository(location))
	}
	if len(asked.Sources) > 0 {
		refused = append(refused, p.AllowSources(asked.Sources, nil))
	}
	for _, name := range asked.Hooks {
		_, err := p.Hook(name)
		refused = append(refused, err)
	}
	for _, name := range asked.Named {
		_, err := p.Source(name)
		refused = append(refused, err)
	}
	return errors.Join(refused...)
}

// InitPolicy writes a policy file where there is none.
func InitPolicy(c Config, profile string, repositories []string) error {
	err := policy.Default(policy.Profile(profile), repositories...).Write(c.Policy)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is not replaced: change it with policy allow, or by hand", c.Policy)
	}
	return err
}

// AllowPolicy adds an exception to the policy file, and says when it ends: the zero
// time for one that does not.
func AllowPolicy(c Config, what, under string, term time.Duration) (until time.Time, err error) {
	if !slices.Contains(policy.Kinds(), what) {
		return time.Time{}, fmt.Errorf("%q is nothing that can be allowed; choose one of %v", what, policy.Kinds())
	}
	if term < 0 {
		return time.Time{}, errors.New("an allowance cannot end before it begins")
	}
	allowance := policy.Allowance{What: what, Under: under}
	if term > 0 {
		until = time.Now().Add(term)
		allowance.Until = policy.Until(until)
	}
	return until, policy.Allow(c.Policy, allowance)
}

// DenyPolicy takes an exception out of the policy file.
func DenyPolicy(c Config, what, under string) error { return policy.Deny(c.Policy, what, under) }
