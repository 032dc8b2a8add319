package restic

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestBackupOptions(t *testing.T) {
	for _, test := range []struct {
		options BackupOptions
		field   string
	}{
		{BackupOptions{ExcludeFiles: []string{"relative"}}, "exclude_files[0]"},
		{BackupOptions{ExcludeIfPresent: []string{"fine", "a/b"}}, "exclude_if_present[1]"},
		{BackupOptions{ExcludeIfPresent: []string{"name:header"}}, "exclude_if_present[0]"},
		{BackupOptions{ExcludeIfPresent: []string{".."}}, "exclude_if_present[0]"},
		{BackupOptions{ExcludeFiles: slices.Repeat([]string{"/x"}, 21)}, "exclude_files"},
		{BackupOptions{ExcludeIfPresent: slices.Repeat([]string{"x"}, 21)}, "exclude_if_present"},
		{BackupOptions{ExcludeLargerThan: -1}, "exclude_larger_than"},
		{BackupOptions{Compression: "--password-command=x"}, "compression"},
		{BackupOptions{ReadConcurrency: 65}, "read_concurrency"},
	} {
		var errs Errors
		if err := test.options.Validate(); !errors.As(err, &errs) || errs[0].Field != test.field {
			t.Errorf("%+v: %v", test.options, err)
		}
	}
	good := BackupOptions{ExcludeIfPresent: []string{"--x"}, ExcludeLargerThan: 5, ExcludeCaches: true, Compression: "max", ReadConcurrency: 2, SkipIfUnchanged: true}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	id := strings.Repeat("a", 64)
	want := []string{"--exclude-if-present=--x", "--exclude-larger-than=5", "--exclude-caches", "--skip-if-unchanged", "--compression=max", "--read-concurrency=2", "--parent=" + id}
	if got := good.flags(id); !slices.Equal(got, want) {
		t.Errorf("flags %v", got)
	}
	if slices.Contains(good.flags(""), "--skip-if-unchanged") {
		t.Error("without a parent of ours, a snapshot of anybody's could stand for the backup")
	}
	if good.NamedSourceMistake() == nil || (BackupOptions{Compression: "off"}).NamedSourceMistake() != nil {
		t.Error("a named source takes compression alone")
	}
	if len(BackupOptions{UseFSSnapshot: true}.here("linux")) == 0 || len(BackupOptions{UseFSSnapshot: true}.here("windows")) != 0 {
		t.Error("shadow copies are of windows")
	}
}

func TestADryRunNamesNoSnapshot(t *testing.T) {
	out := &output{summary: json.RawMessage(`{"message_type":"summary","dry_run":true,"total_files_processed":3,"snapshot_id":"` + strings.Repeat("a", 64) + `"}`), items: &ItemList{}}
	got, err := Backup{DryRun: true}.decode(out)
	if err != nil || got.SnapshotID != "" || got.TotalFilesProcessed != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	out.summary = json.RawMessage(`{"message_type":"summary","snapshot_id":"` + strings.Repeat("a", 64) + `"}`)
	if _, err := (Backup{DryRun: true}).decode(out); err == nil {
		t.Error("a backup was taken for a dry run")
	}
	out.summary = json.RawMessage(`{"message_type":"summary"}`)
	if _, err := (Backup{Options: BackupOptions{SkipIfUnchanged: true}}).decode(out); err == nil {
		t.Error("without a parent nothing can be unchanged")
	}
	if got, err := (Backup{Options: BackupOptions{SkipIfUnchanged: true}, Parent: strings.Repeat("b", 64)}).decode(out); err != nil || !got.Unchanged {
		t.Errorf("got %+v, %v", got, err)
	}
}
