package main

import (
	"fmt"
	"strings"
	"time"

	"restic-manager/agent"
)

type policyCommand struct {
	Show  policyShow  `cmd:"" default:"1" help:"Show what the agent may do; this is what policy alone does."`
	Check policyCheck `cmd:"" help:"Say whether the policy file is in order, and whether it allows something."`
	Init  policyInit  `cmd:"" help:"Write a policy file where there is none."`
	Allow policyAllow `cmd:"" help:"Allow something more, for a time or for good."`
	Deny  policyDeny  `cmd:"" help:"Take back what was allowed."`
}

type policyShow struct{}

func (policyShow) Run(w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	fmt.Fprintln(w.stdout, "file:", config.Policy)
	summary := agent.PolicySummary(config)
	if summary.Code != "" {
		fmt.Fprintf(w.stdout, "locked: %s: %s\n→ %s\n", summary.Code, summary.Message, summary.NextStep)
		return errSaid
	}
	fmt.Fprintln(w.stdout, "profile:", summary.Profile)
	for _, rule := range summary.Rules {
		fmt.Fprintf(w.stdout, "%s: %s\n", rule.Name, rule.Value)
	}
	return nil
}

type policyCheck struct {
	Repository []string `sep:"none" placeholder:"LOCATION" help:"A repository's location; may be repeated."`
	Source     []string `sep:"none" placeholder:"PATH" help:"A path to back up; may be repeated."`
	Hook       []string `sep:"none" placeholder:"NAME" help:"A hook of this machine; may be repeated."`
	Named      []string `sep:"none" placeholder:"NAME" help:"A named source of this machine; may be repeated."`
}

func (p *policyCheck) Run(w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	if err := agent.CheckPolicy(config, agent.Asked{Repositories: p.Repository, Sources: p.Source, Hooks: p.Hook, Named: p.Named}); err != nil {
		return err
	}
	fmt.Fprintln(w.stdout, "in order:", config.Policy)
	return nil
}

type policyInit struct {
	Profile         string   `default:"guarded" enum:"guarded,trusting" help:"guarded, or trusting."`
	AllowRepository []string `sep:"none" placeholder:"LOCATION" help:"Prefix of repositories that are allowed; may be repeated."`
}

func (p *policyInit) Run(w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	if err := agent.InitPolicy(config, p.Profile, p.AllowRepository); err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "wrote %s with the profile %s\n", config.Policy, p.Profile)
	return nil
}

type policyAllow struct {
	What  string        `arg:"" help:"What to allow: repository, source, operation, excludes, omission, maintenance, restore-in-place."`
	Under string        `required:"" help:"The location, folder, name or number that it is allowed for."`
	For   time.Duration `placeholder:"24h" help:"How long; for good when left out."`
}

func (p *policyAllow) Run(w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	until, err := agent.AllowPolicy(config, p.What, p.Under, p.For)
	if err != nil {
		return err
	}
	term := "for good"
	if !until.IsZero() {
		term = "until " + until.Local().Format("2006-01-02 15:04:05 MST")
	}
	fmt.Fprintf(w.stdout, "allowed %s under %s, %s\n", p.What, strings.TrimSpace(p.Under), term)
	return nil
}

type policyDeny struct {
	What  string `arg:"" help:"What was allowed."`
	Under string `required:"" help:"What it was allowed for."`
}

func (p *policyDeny) Run(w world, c *commands) error {
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	if err := agent.DenyPolicy(config, p.What, p.Under); err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "%s under %s is not allowed any more\n", p.What, p.Under)
	return nil
}
