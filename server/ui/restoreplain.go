package ui

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// unwritable tells that no command can be shown with these paths: a character that is not seen
// cannot be copied as it is, nor typed.
func unwritable(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return visiblePath(p) != p })
}

// allowing is what root types at a host so that files may go back where they were; "" where it
// cannot be shown.
func allowing(os string, paths []string) string {
	folder := "/srv"
	if len(paths) > 0 && paths[0] != "/" {
		folder = paths[0]
	}
	if unwritable([]string{folder}) {
		return ""
	}
	if os == "windows" {
		folder = strings.ReplaceAll(strings.TrimPrefix(folder, "/"), "/", `\`)
		if drive, rest, ok := strings.Cut(folder, `\`); ok && len(drive) == 1 {
			folder = drive + `:\` + rest
		}
	}
	return "restic-manager-agent policy allow restore-in-place --under " + quoted(folder) + " --for 24h"
}

// quoted makes one word of a shell of a text.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`/._-:\,@+=`, r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plainRestic is how the same is done without us; saved are the snapshot's own paths. It is ""
// where that cannot be shown.
func plainRestic(w wish, staging, os string, saved []string) string {
	if unwritable(w.paths) {
		return ""
	}
	if os == "windows" {
		return plainWindows(w, staging, saved)
	}
	if staging == "" {
		staging = "/var/tmp"
	}
	var b strings.Builder
	target := staging + "/by-hand"
	if w.to == "in_place" {
		target = "/"
	}
	fmt.Fprintf(&b, "restic restore %s \\\n  --target %s", short(w.snapshot), quoted(target))
	for _, flag := range w.flags() {
		b.WriteString(" \\\n  " + flag)
	}
	for _, p := range outermost(w.paths) {
		if p != "/" {
			fmt.Fprintf(&b, " \\\n  --include %s", quoted(literally(p)))
		}
	}
	return b.String()
}

// flags are restic's for what was chosen beside the place.
func (w wish) flags() (list []string) {
	if w.verify {
		list = append(list, "--verify")
	}
	if w.to == "in_place" && w.overwrite != "" {
		list = append(list, "--overwrite "+w.overwrite)
	}
	return list
}

// plainWindows is plainRestic for a PowerShell. A snapshot made there has each drive as a
// folder, so what goes back in place goes folder by folder: a target of / would make a
// folder C on the drive.
func plainWindows(w wish, staging string, saved []string) string {
	if staging == "" {
		staging = `C:\restic-restore`
	}
	flags := strings.Join(append([]string{""}, w.flags()...), " ")
	paths := outermost(w.paths)
	if w.to != "in_place" {
		command := "restic restore " + short(w.snapshot) + " --target " + quotedPowerShell(staging+`\by-hand`) + flags
		for _, p := range paths {
			if p != "/" {
				command += " --include " + quotedPowerShell(literally(p))
			}
		}
		return command
	}
	if slices.Contains(paths, "/") || len(paths) == 0 {
		if paths = inSnapshot(saved); unwritable(paths) {
			return ""
		}
	}
	var lines []string
	for _, p := range paths {
		folder, name := path.Split(p)
		if folder = path.Clean(folder); folder == "/" { // a drive
			folder, name = p, ""
		}
		line := "restic restore " + quotedPowerShell(short(w.snapshot)+":"+folder) + " --target " + quotedPowerShell(onDrive(folder)) + flags
		if name != "" {
			line += " --include " + quotedPowerShell(literally("/"+name))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// inSnapshot gives paths of Windows as a snapshot has them: C:\Users is /C/Users.
func inSnapshot(paths []string) (list []string) {
	for _, p := range paths {
		list = append(list, "/"+strings.Trim(strings.Replace(strings.ReplaceAll(p, `\`, "/"), ":", "", 1), "/"))
	}
	return outermost(list)
}

// onDrive is a folder of a snapshot as Windows writes it.
func onDrive(folder string) string {
	drive, rest, _ := strings.Cut(strings.TrimPrefix(folder, "/"), "/")
	return drive + `:\` + strings.ReplaceAll(rest, "/", `\`)
}

// quotedPowerShell makes one word of a PowerShell of a text.
func quotedPowerShell(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// literally keeps restic from reading a path as a pattern.
func literally(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}
