package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"restic-manager/server"
)

type adminCommand struct {
	ResetPassword resetCommand `cmd:"" help:"Give an account another password and end its sign-ins."`
	SetupCode     codeCommand  `cmd:"" help:"Print the one-time code of the first account."`
	AddProgram    addCommand   `cmd:"" help:"Give machines that have no restic, or one that is too old, the one in a file."`
	Verify        checkCommand `cmd:"" help:"Look whether the audit log is whole and the numbers shown are right."`
}

type resetCommand struct {
	Name string `arg:"" help:"Name of the account."`
	configured
}

// Run reads the new password as one line from standard input, so that it stands in
// no command line and no history.
func (c *resetCommand) Run(ctx context.Context, w world) error {
	fmt.Fprintf(w.stderr, "New password of %s (it will be visible; or pipe it in): ", c.Name)
	line, err := bufio.NewReader(w.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the password: %w", err)
	}
	fmt.Fprintln(w.stderr)
	if err := server.ResetPassword(ctx, c.Options, w.stderr, c.Name, strings.TrimRight(line, "\r\n")); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "The password of %s was changed; its sign-ins have ended.\n", c.Name)
	return err
}

type codeCommand struct{ configured }

func (c *codeCommand) Run(w world) error {
	code, err := server.SetupCode(c.Options)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.stdout, code)
	return err
}

type addCommand struct {
	File      string `arg:"" help:"restic for Linux or Windows, as it was downloaded: the program, .bz2 or .zip."`
	SHA256    string `name:"sha256" placeholder:"DIGEST" help:"What the file must have, by restic's list of digests."`
	VersionIs string `placeholder:"0.19.1" help:"Version of a program that this machine cannot run."`
	configured
}

func (c *addCommand) Run(ctx context.Context, w world) error {
	added, err := server.AddProgram(ctx, c.Options, c.File, c.SHA256, c.VersionIs)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "Added %s with the SHA-256 %s. New enrolment lines carry it.\n", added.File, added.SHA256)
	return err
}

type checkCommand struct{ configured }

func (c *checkCommand) Run(ctx context.Context, w world) error {
	entries, err := server.Verify(ctx, c.Options, w.stderr)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "The audit log is whole, with %d entries, and the numbers shown are right.\n", entries)
	return err
}
