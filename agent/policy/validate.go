package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"restic-manager/restic"
)

// validate returns every mistake in one error. Keys that nothing uses yet are
// checked like the others: what is wrong today must not begin to matter later.
func (p *Policy) validate() error {
	var m mistakes
	m.want(p.Version == fileVersion, "version", fmt.Sprintf("must be %d", fileVersion))
	m.oneOf("profile", string(p.Profile), string(Guarded), string(Trusting))
	for i, name := range p.Operations {
		_, known := restic.OperationNamed(name)
		m.want(known, entry("operations", i), "is not the name of an operation")
	}
	m.folders("backup.allow_roots", p.Backup.AllowRoots)
	m.folders("backup.deny", p.Backup.Deny)
	m.folders("backup.must_include", p.Backup.MustInclude)
	m.want(p.Backup.MaxExcludes == nil || *p.Backup.MaxExcludes >= 0, "backup.max_excludes", "must not be negative")
	for i, prefix := range p.Repos.Allow {
		_, err := restic.ParseLocation(prefix)
		m.because(err, entry("repos.allow", i))
	}
	p.validateRestore(&m)
	p.validateLimits(&m)
	p.validateSigners(&m)
	for i, e := range p.Maintenance {
		e.validate(&m, entry("maintenance", i))
	}
	for i, a := range p.Allowances {
		m.because(a.validate(), entry("allowances", i))
	}
	return errors.Join(m...)
}

func (p *Policy) validateRestore(m *mistakes) {
	m.folder("restore.staging_dir", p.Restore.StagingDir)
	m.folders("restore.in_place_allow", p.Restore.InPlaceAllow)
	m.want(p.Restore.MaxBytes >= 0, "restore.max_bytes", "must not be negative")
	m.want(p.Restore.KeepFree >= 0, "restore.keep_free", "must not be negative")
	p.Hooks.validate(m, "hooks")
	p.Sources.validate(m, "sources")
}

func (s Scripts) validate(m *mistakes, key string) {
	m.folder(key+".dir", s.Dir)
	for i, script := range s.Allow {
		name := entry(key+".allow", i)
		m.want(restic.ScriptName(script.Name), name+".name", "must be a file name of letters, digits and . _ -, not beginning with one of these")
		for j, pattern := range script.Args {
			_, err := regexp.Compile(pattern)
			m.because(err, entry(name+".args", j))
		}
	}
}

var (
	window    = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$`)
	version   = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	longID    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	signRight = []string{"restore_in_place", "policy", "repo", "hooks", "update"}
)

func (p *Policy) validateLimits(m *mistakes) {
	m.oneOf("schedule.offline", p.Schedule.Offline, "", "keep", "pause")
	m.want(p.Limits.UploadKiB >= 0, "limits.upload_kib_s", "must not be negative")
	m.want(p.Limits.DownloadKiB >= 0, "limits.download_kib_s", "must not be negative")
	m.want(p.Limits.Window == "" || window.MatchString(p.Limits.Window), "limits.window", `must have the form "22:00-06:00"`)
	m.oneOf("update.channel", p.Update.Channel, "", "signed", "manual")
	m.want(p.Update.MinVersion == "" || version.MatchString(p.Update.MinVersion), "update.min_version", `must have the form "1.2.3"`)
}

func (p *Policy) validateSigners(m *mistakes) {
	for i, s := range p.Signers {
		m.want(s.Name != "", entry("signers", i)+".name", "is required")
		m.want(s.Key != "", entry("signers", i)+".key", "is required")
		for j, right := range s.Rights {
			m.oneOf(entry(entry("signers", i)+".rights", j), right, signRight...)
		}
	}
	m.want(p.Threshold >= 0 && p.Threshold <= max(defaultThreshold, len(p.Signers)), "threshold",
		"must not be more than there are signers")
}

func (e Maintenance) validate(m *mistakes, name string) {
	m.want((e.Path == "") != (e.Location == ""), name, "must have either path, a folder, or location, on a REST server")
	m.folder(name+".path", e.Path)
	if e.Location != "" {
		l, err := restic.ParseLocation(e.Location)
		m.because(err, name+".location")
		m.want(err != nil || l.REST(), name+".location", "must be on a REST server; a folder is a path")
	}
	m.want(len(e.RunAs) <= 100 && (e.RunAs == "" || e.Path != ""), name+".run_as", "is the name of a user, for a path alone")
	m.want(e.RepositoryID == "" || longID.MatchString(e.RepositoryID), name+".repository_id", "must be 64 hexadecimal digits")
	m.want(e.KeepDays >= 0, name+".keep_days", "must not be negative")
	m.want(e.KeepLast >= 0, name+".keep_last", "must not be negative")
	m.want(e.MaxDeleteFraction >= 0 && e.MaxDeleteFraction <= 1, name+".max_delete_fraction", "must be from 0 to 1")
	m.want(e.UndoDays >= 0, name+".undo_days", "must not be negative")
}

// mistakes collects what is wrong, each with the key that it is about.
type mistakes []error

func (m *mistakes) want(ok bool, key, rule string) {
	if !ok {
		*m = append(*m, fmt.Errorf("%s %s", key, rule))
	}
}

func (m *mistakes) because(err error, key string) {
	if err != nil {
		*m = append(*m, fmt.Errorf("%s: %w", key, err))
	}
}

func (m *mistakes) oneOf(key, got string, choices ...string) {
	for _, c := range choices {
		if got == c {
			return
		}
	}
	m.want(false, key, "must be one of: "+strings.TrimPrefix(strings.Join(choices, ", "), ", "))
}

func (m *mistakes) folders(key string, paths []string) {
	for i, p := range paths {
		m.want(p != "", entry(key, i), "is empty")
		m.folder(entry(key, i), p)
	}
}

// folder accepts an absolute path in its shortest form, so that what is written is
// what is compared.
func (m *mistakes) folder(key, path string) {
	m.want(path == "" || filepath.IsAbs(path) && filepath.Clean(path) == path && checkForm(path) == nil,
		key, "must be an absolute path without . and .. and without a separator at its end")
}

func entry(key string, index int) string { return fmt.Sprintf("%s[%d]", key, index) }
