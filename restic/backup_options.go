package restic

import (
	"fmt"
	"regexp"
	"runtime"
	"strconv"
)

// BackupOptions are the options of a backup that people choose. The zero value is
// restic's own defaults. All but Compression are for paths and not for a named source.
type BackupOptions struct {
	// ExcludeFiles are files of the host with patterns. The agent reads them; restic
	// is given their patterns, see [Backup.Excludes].
	ExcludeFiles []string `json:"exclude_files,omitempty"`

	ExcludeIfPresent  []string `json:"exclude_if_present,omitempty"`  // names of files; of a folder that has one all else is left out
	ExcludeLargerThan int64    `json:"exclude_larger_than,omitempty"` // bytes; 0 leaves nothing out
	ExcludeCaches     bool     `json:"exclude_caches,omitempty"`      // folders with a CACHEDIR.TAG
	OneFileSystem     bool     `json:"one_file_system,omitempty"`
	Compression       string   `json:"compression,omitempty"` // "", "auto", "off", "max"
	ReadConcurrency   int      `json:"read_concurrency,omitempty"`
	SkipIfUnchanged   bool     `json:"skip_if_unchanged,omitempty"` // only together with Backup.Parent
	UseFSSnapshot     bool     `json:"use_fs_snapshot,omitempty"`   // a volume shadow copy of windows
}

// Bounds of the contract.
const (
	maxExcludeFiles    = 20
	maxReadConcurrency = 64
)

var presentPattern = regexp.MustCompile(`^[^/\\\x00-\x1f:]{1,255}$`)

// Validate returns every mistake, with the member that it is in.
func (o BackupOptions) Validate() error { return o.mistakes().orNil() }

func (o BackupOptions) mistakes() Errors {
	var errs Errors
	wrong := func(field, message string) {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: field, Message: message})
	}
	if len(o.ExcludeFiles) > maxExcludeFiles {
		wrong("exclude_files", fmt.Sprintf("there are at most %d files", maxExcludeFiles))
	}
	if len(o.ExcludeIfPresent) > maxExcludeFiles {
		wrong("exclude_if_present", fmt.Sprintf("there are at most %d names", maxExcludeFiles))
	}
	for i, path := range o.ExcludeFiles {
		errs = append(errs, entryErrors("exclude_files", i, CheckSource(path))...)
	}
	for i, name := range o.ExcludeIfPresent {
		if !presentPattern.MatchString(name) || name == "." || name == ".." { //guard:exclude-present
			wrong(fmt.Sprintf("exclude_if_present[%d]", i), "is not the name of a file, without a folder")
		}
	}
	if o.ExcludeLargerThan < 0 {
		wrong("exclude_larger_than", "must not be negative")
	}
	switch o.Compression {
	case "", "auto", "off", "max":
	default:
		wrong("compression", "must be auto, off or max")
	}
	if o.ReadConcurrency < 0 || o.ReadConcurrency > maxReadConcurrency {
		wrong("read_concurrency", fmt.Sprintf("must be 0 to %d", maxReadConcurrency))
	}
	return errs
}

// forPaths reports whether something is chosen that means nothing for a named source.
func (o BackupOptions) forPaths() bool {
	return len(o.ExcludeFiles)+len(o.ExcludeIfPresent) > 0 || o.ExcludeLargerThan > 0 || o.ExcludeCaches || o.OneFileSystem ||
		o.ReadConcurrency > 0 || o.SkipIfUnchanged || o.UseFSSnapshot
}

// NamedSourceMistake says what of the options a named source cannot have, or returns nil.
func (o BackupOptions) NamedSourceMistake() error {
	if !o.forPaths() {
		return nil
	}
	return &Error{Code: CodeFieldInvalid, Field: "backup", Message: "a named source takes no options but compression", Next: "remove the others"}
}

// here returns what this system cannot do.
func (o BackupOptions) here(system string) Errors {
	if o.UseFSSnapshot && system != "windows" {
		return Errors{{Code: CodeFieldInvalid, Field: "use_fs_snapshot", Message: "only windows has volume shadow copies", Next: "switch it off for this host"}}
	}
	return nil
}

// errorsFor are the mistakes of options in a backup that runs here.
func (o BackupOptions) errorsFor(named bool) Errors {
	errs := append(o.mistakes(), o.here(runtime.GOOS)...)
	if named {
		errs = append(errs, entryErrorOf(o.NamedSourceMistake())...)
	}
	return errs
}

func entryErrorOf(err error) Errors {
	if e, ok := err.(*Error); ok && e != nil {
		return Errors{e}
	}
	return nil
}

func (o BackupOptions) flags(parent string) []string {
	var flags []string
	for _, name := range o.ExcludeIfPresent {
		flags = append(flags, "--exclude-if-present="+name)
	}
	if o.ExcludeLargerThan > 0 {
		flags = append(flags, "--exclude-larger-than="+strconv.FormatInt(o.ExcludeLargerThan, 10))
	}
	for _, f := range []struct {
		on   bool
		flag string
	}{
		{o.ExcludeCaches, "--exclude-caches"},
		{o.OneFileSystem, "--one-file-system"},
		{o.SkipIfUnchanged && parent != "", "--skip-if-unchanged"},
		{o.UseFSSnapshot, "--use-fs-snapshot"},
	} {
		if f.on {
			flags = append(flags, f.flag)
		}
	}
	if o.Compression != "" {
		flags = append(flags, "--compression="+o.Compression)
	}
	if o.ReadConcurrency > 0 {
		flags = append(flags, "--read-concurrency="+strconv.Itoa(o.ReadConcurrency))
	}
	if parent != "" {
		flags = append(flags, "--parent="+parent)
	}
	return flags
}
