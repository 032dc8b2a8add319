package ui

import (
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// What restic itself does in a backup: which files it leaves out by a rule, how it
// reads, and how it stores.

// backupFields are their names, by the contract's members.
var backupFields = []string{
	"exclude_files", "exclude_if_present", "exclude_larger_than", "exclude_caches", "one_file_system", "compression", "read_concurrency", "skip_if_unchanged", "use_fs_snapshot",
}

// backupChecks are the options that are a box. A box that is not set sends nothing, so
// the form says by "checks" which boxes it has shown.
var backupChecks = map[string]func(*api.BackupOptions) *bool{
	"exclude_caches":    func(o *api.BackupOptions) *bool { return &o.ExcludeCaches },
	"one_file_system":   func(o *api.BackupOptions) *bool { return &o.OneFileSystem },
	"skip_if_unchanged": func(o *api.BackupOptions) *bool { return &o.SkipIfUnchanged },
	"use_fs_snapshot":   func(o *api.BackupOptions) *bool { return &o.UseFsSnapshot },
}

// setBackup fills the form with a schedule's options.
func setBackup(f *form, o api.BackupOptions) {
	f.set("exclude_files", strings.Join(o.ExcludeFiles, "\n"))
	f.set("exclude_if_present", strings.Join(o.ExcludeIfPresent, "\n"))
	f.set("exclude_larger_than", byteText(o.ExcludeLargerThan))
	f.set("compression", string(o.Compression))
	if o.ReadConcurrency > 0 {
		f.set("read_concurrency", strconv.Itoa(o.ReadConcurrency))
	}
	for name, box := range backupChecks {
		if *box(&o) {
			f.set(name, "true")
		}
	}
}

// readBackup reads the options on top of those that the schedule has.
func readBackup(f *form, o *api.BackupOptions) {
	if f.has("exclude_files") {
		o.ExcludeFiles = f.lines("exclude_files")
	}
	if f.has("exclude_if_present") {
		o.ExcludeIfPresent = f.lines("exclude_if_present")
	}
	if f.has("compression") {
		o.Compression = api.BackupOptionsCompression(f.get("compression"))
	}
	if f.has("exclude_larger_than") {
		n, ok := byteSize(f.get("exclude_larger_than"))
		if o.ExcludeLargerThan = n; !ok {
			f.wrong("exclude_larger_than", "Write a size with its unit, such as 2 GiB or 500 MiB.")
		}
	}
	if f.has("read_concurrency") {
		n, err := 0, error(nil)
		if text := f.get("read_concurrency"); text != "" {
			n, err = strconv.Atoi(text)
		}
		if o.ReadConcurrency = n; err != nil || n < 0 {
			f.wrong("read_concurrency", "A whole number, or nothing.")
		}
	}
	for _, name := range strings.Fields(f.get("checks")) {
		if box := backupChecks[name]; box != nil {
			*box(o) = f.checked(name)
		}
	}
}

// backupForm is the part of the schedule's form that says what restic does.
type backupForm struct {
	Files, Present, Larger   web.Field
	Caches, OneSystem        web.Field
	Compression, Reads, Same web.Field
	Shadow                   web.Field
	Windows                  bool   // the host has shadow copies, or the schedule wants one
	Checks                   string // the boxes that are shown
	Open                     bool   // one of them is set, or was refused
}

func backupFormOf(f *form, windows bool) backupForm {
	b := backupForm{
		Files:       f.with(web.Field{Name: "exclude_files", Label: "Files with exclude patterns", Rows: 2, Mono: true, Placeholder: "/etc/restic/excludes", Hint: "Absolute paths on the host, one a line. They are read there before each run."}),
		Present:     f.with(web.Field{Name: "exclude_if_present", Label: "Leave out folders that hold", Rows: 2, Mono: true, Placeholder: ".nobackup", Hint: "A file of one of these names, one a line. That file itself is kept."}),
		Larger:      f.with(web.Field{Name: "exclude_larger_than", Label: "Leave out files larger than", Placeholder: "no limit", Hint: "Such as 2 GiB.", Autocomplete: "off"}),
		Caches:      f.with(web.Field{Name: "exclude_caches", Label: "Leave out caches", Hint: "Folders with a CACHEDIR.TAG."}),
		OneSystem:   f.with(web.Field{Name: "one_file_system", Label: "Stay in one file system", Hint: "Do not go into others that are mounted below a path, such as network shares."}),
		Compression: f.with(web.Field{Name: "compression", Label: "Compression", Options: []web.Option{{Label: "restic's own default"}, {Value: "auto", Label: "automatic"}, {Value: "max", Label: "as small as possible, slower"}, {Value: "off", Label: "none"}}}),
		Reads:       f.with(web.Field{Name: "read_concurrency", Label: "Files read at a time", Pattern: "[0-9]*", Placeholder: "restic's own default", Hint: "More helps fast disks, fewer slow ones.", Autocomplete: "off"}),
		Same:        f.with(web.Field{Name: "skip_if_unchanged", Label: "No snapshot when nothing changed", Hint: "The run is a good backup all the same: it names the snapshot before it."}),
		Shadow:      f.with(web.Field{Name: "use_fs_snapshot", Label: "Read from a shadow copy (VSS)", Hint: "So that files that are open can be read."}),
	}
	b.Windows = windows || f.checked("use_fs_snapshot")
	b.Checks = "exclude_caches one_file_system skip_if_unchanged"
	if b.Windows {
		b.Checks += " use_fs_snapshot"
	}
	for _, name := range backupFields {
		b.Open = b.Open || f.get(name) != "" || f.errors[name] != ""
	}
	return b
}
