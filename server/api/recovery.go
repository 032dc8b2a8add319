package api

import (
	"context"
	"fmt"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ShowRecoverySheet shows what it takes to get at a repository without this server.
// It is audited before the answer; once somebody said that they saved it, the
// admin's own password is asked for again.
func (h *Handlers) ShowRecoverySheet(ctx context.Context, r ShowRecoverySheetRequestObject) (ShowRecoverySheetResponseObject, error) {
	repository, err := h.store.Repository(ctx, fleet.RepositoryID(r.RepositoryId))
	if err != nil {
		return nil, err
	}
	exchanged, err := h.exchanged(ctx, repository.ID)
	if err != nil {
		return nil, err
	}
	if repository.SheetSaved || exchanged { //guard:sheet-reauth
		own := ""
		if r.Body != nil {
			own = r.Body.OwnPassword
		}
		if err := h.auth.Reprove(ctx, own); err != nil {
			return nil, err
		}
	}
	sheet, err := h.sheet(ctx, repository)
	if err != nil {
		return nil, err
	}
	err = h.store.Update(ctx, auth.Audit(ctx, "repository.recovery-sheet"), func(tx *store.Tx) error {
		about(tx, store.ObjectRepository, string(repository.ID), repository.Name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ShowRecoverySheet200JSONResponse(sheet), nil
}

func (h *Handlers) sheet(ctx context.Context, r *fleet.Repository) (RecoverySheet, error) {
	sheet := RecoverySheet{Location: r.Location, ResticId: r.ResticID}
	_, password, err := h.opened(ctx, r.ID, fleet.PasswordSlot)
	if err != nil {
		return sheet, err
	}
	credential, secret, err := h.opened(ctx, r.ID, fleet.AppendSlot)
	switch {
	case fleet.Is(err, fleet.NotFound): // the backend asks for none
	case err != nil:
		return sheet, err
	default:
		sheet.Username, sheet.AppendSecret = credential.Username, secret.Reveal()
	}
	sheet.Password = password.Reveal()
	former, secret, err := h.opened(ctx, r.ID, fleet.SecondPasswordSlot)
	switch {
	case fleet.Is(err, fleet.NotFound):
	case err != nil:
		return sheet, err
	case former.Former > 0 && former.KeyID != "":
		sheet.FormerPassword = secret.Reveal()
	}
	sheet.Text = sheetText(r, &sheet)
	return sheet, nil
}

// opened reads the credential of all hosts in a slot. NotFound when there is none.
func (h *Handlers) opened(ctx context.Context, id fleet.RepositoryID, slot fleet.Slot) (*fleet.Credential, restic.Secret, error) {
	c, err := h.store.Credential(ctx, id, "", slot)
	if err != nil {
		return nil, restic.Secret{}, err
	}
	secret, err := h.open(c)
	if err != nil {
		return nil, restic.Secret{}, err
	}
	return c, secret, nil
}

// exchanged tells whether a repository's password is another than it was at first.
func (h *Handlers) exchanged(ctx context.Context, id fleet.RepositoryID) (bool, error) {
	c, err := h.store.Credential(ctx, id, "", fleet.PasswordSlot)
	if fleet.Is(err, fleet.NotFound) {
		return false, nil
	}
	return err == nil && c.Version > 1, err
}

// sheetText is the sheet as people print it.
func sheetText(r *fleet.Repository, s *RecoverySheet) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-14s %s\n", name, value)
		}
	}
	b.WriteString("RECOVERY SHEET\n\nWith this sheet and restic (0.18 or newer, https://restic.net) everything in the\n" +
		"repository can be read, by anybody. Keep it where you keep such things, not on a\nmachine that is backed up there.\n\n")
	line("Repository", r.Name)
	line("Location", s.Location)
	line("Repository id", s.ResticId)
	line("Password", s.Password)
	line("Former one", s.FormerPassword)
	line("User", s.Username)
	line("User's secret", s.AppendSecret)
	if s.FormerPassword != "" {
		b.WriteString("\nThe former password opens the repository, too, until its key is removed.\n")
	}
	variables := []struct{ name, value string }{
		{"RESTIC_REPOSITORY", s.Location}, {"RESTIC_PASSWORD", s.Password},
		{"RESTIC_REST_USERNAME", s.Username}, {"RESTIC_REST_PASSWORD", s.AppendSecret},
	}
	b.WriteString("\nLinux and macOS, in a shell:\n\n")
	for _, v := range variables {
		if v.value != "" {
			fmt.Fprintf(&b, "export %s=%s\n", v.name, shellQuote(v.value))
		}
	}
	b.WriteString(plainRestic("/tmp/restored"))
	b.WriteString("\nWindows, in PowerShell:\n\n")
	for _, v := range variables {
		if v.value != "" {
			fmt.Fprintf(&b, "$env:%s = %s\n", v.name, powerShellQuote(v.value))
		}
	}
	b.WriteString(plainRestic(`C:\restored`))
	if strings.HasPrefix(s.Location, "rest:https:") {
		b.WriteString("\nIf the storage's certificate is self-made, keep a copy of it with this sheet and\n" +
			"add --cacert FILE to each command; without it restic tries for a long time.\n")
	}
	return b.String()
}

// plainRestic is the commands that need nothing of ours.
func plainRestic(target string) string {
	return "restic snapshots\n" +
		"# take an id from that list; \"latest\" is the newest of all schedules\n" +
		"restic ls latest\nrestic restore latest --target " + target + "\n"
}
