package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"restic-manager/agent"
)

type installCommand struct {
	Server          string   `required:"" placeholder:"URL" help:"Address of the server."`
	Pin             string   `placeholder:"sha256:…" help:"Public key of a server whose certificate is self-made."`
	Profile         string   `default:"guarded" enum:"guarded,trusting" help:"What a new policy file allows: guarded, or trusting."`
	AllowRepository []string `sep:"none" placeholder:"LOCATION" help:"Prefix of repositories that a new policy file allows; may be repeated."`
	ResticFile      string   `placeholder:"NAME" help:"What the server calls its restic for this machine. Fetched if none here is new enough."`
	ResticSHA256    string   `name:"restic-sha256" placeholder:"DIGEST" help:"Its digest."`
	TokenStdin      bool     `help:"Read the one-time token from standard input. Not needed where this machine is enrolled already."`
	NoService       bool     `help:"Enrol, and let something else run the agent, such as a container."`
}

func (i *installCommand) Run(ctx context.Context, w world, c *commands) error {
	token := ""
	if i.TokenStdin {
		var err error
		if token, err = readToken(w.stdin); err != nil {
			return usageError{err}
		}
	}
	result, err := agent.Install(ctx, agent.Installation{
		Enrolment: agent.Enrolment{
			ConfigPath: c.Config, Server: i.Server, Pin: i.Pin, Token: token,
			Profile: i.Profile, AllowRepositories: i.AllowRepository, Version: version, Getenv: w.getenv,
		},
		ResticFile: i.ResticFile, ResticSHA256: i.ResticSHA256, NoService: i.NoService,
	})
	return w.tell(result, err)
}

type uninstallCommand struct {
	Yes  bool `help:"Do not ask."`
	Keep bool `help:"Keep configuration, policy and state, for a later installation."`
}

func (u *uninstallCommand) Run(w world, c *commands) error {
	if !u.Yes {
		what := "the agent with its configuration, policy, identity and results not yet delivered"
		if u.Keep {
			what = "the agent and its service"
		}
		fmt.Fprintf(w.stdout, "This removes %s from this machine. Snapshots are not touched.\nType yes to go on: ", what)
		line, err := bufio.NewReader(w.stdin).ReadString('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("read the answer: %w", err)
		}
		if strings.TrimSpace(line) != "yes" {
			return fmt.Errorf("nothing was removed: the answer was not yes (or use --yes)")
		}
	}
	result, err := agent.Uninstall(agent.Removal{ConfigPath: c.Config, Keep: u.Keep, Getenv: w.getenv})
	return w.tell(result, err)
}

// tell prints what was done, and, unless it went wrong, what is left to do.
func (w world) tell(result agent.Enrolled, err error) error {
	for _, step := range result.Done {
		fmt.Fprintln(w.stdout, step)
	}
	if err != nil {
		return err
	}
	for _, advice := range result.Next {
		fmt.Fprintln(w.stdout, "next:", advice)
	}
	return nil
}

type serviceCommand struct {
	Command string `arg:"" enum:"status,start,stop,restart,install,uninstall" help:"status, start, stop, restart, install or uninstall."`
}

func (s *serviceCommand) Run(w world) error {
	says, err := agent.ControlService(s.Command)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.stdout, says)
	return err
}
