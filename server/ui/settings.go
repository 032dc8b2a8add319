package ui

import (
	"net/http"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// programRow is a program that the server hands to machines.
type programRow struct {
	Program api.Program
	State   web.State
}

type settingsView struct {
	web.Shell
	Rows  []programRow
	Known bool
	Lacks []string // what a new machine of a system would not get
	Line  web.Copy
}

func (u *UI) settings(v *visit) error {
	shell, err := v.shell("Settings")
	if err != nil {
		return err
	}
	list, known, err := part[api.ProgramList](v, "/api/v1/programs", nil)
	if err != nil {
		return err
	}
	view := settingsView{Shell: shell, Known: known, Rows: programRows(list.Programs), Lacks: lacking(list.Programs),
		Line: web.Copy{ID: "add-program", Text: "restic-manager admin add-program --sha256 DIGEST restic_0.19.1_linux_amd64.bz2", Label: "the command that adds a program"}}
	return v.show(http.StatusOK, "settings", view)
}

// programRows tells which of the programs new machines get: the newest of each system.
// The contract lists them so that the newest is the last.
func programRows(list []api.Program) []programRow {
	rows := make([]programRow, len(list))
	given := map[string]bool{}
	for i := len(list) - 1; i >= 0; i-- {
		p := list[i]
		kind := strings.Join([]string{string(p.Name), p.Os, p.Arch}, " ")
		switch {
		case p.Problem != "":
			rows[i].State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Not handed out"}
		case given[kind]:
			rows[i].State = web.State{Tone: web.Idle, Glyph: "idle", Word: "An older one"}
		default:
			given[kind], rows[i].State = true, web.State{Tone: web.OK, Glyph: "ok", Word: "Handed out"}
		}
		rows[i].Program = p
	}
	return rows
}

// lacking says of which systems a program is not there.
func lacking(list []api.Program) (lacks []string) {
	for _, kind := range []struct {
		name api.ProgramName
		then string
	}{
		{"restic-manager-agent", "a pasted line only enrols there, and the agent must come by other means"},
		{"restic", "a machine without restic, or with one that is too old, must get it by other means"},
	} {
		var systems []string
		for _, s := range [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}} {
			there := false
			for _, p := range list {
				there = there || p.Name == kind.name && p.Os == s[0] && p.Arch == s[1] && p.Problem == ""
			}
			if !there {
				systems = append(systems, s[0]+" "+s[1])
			}
		}
		if len(systems) > 0 {
			lacks = append(lacks, "No "+string(kind.name)+" for "+strings.Join(systems, ", ")+": "+kind.then+".")
		}
	}
	return lacks
}
