package fleet

import (
	"errors"
	"slices"
	"testing"

	"restic-manager/restic"
)

func TestBackupOptionsAreCheckedByTheirField(t *testing.T) {
	check := func(o restic.BackupOptions, source string) []string {
		t.Helper()
		doc, err := NewDoc(ScheduleOptions{Backup: &o})
		if err != nil {
			t.Fatal(err)
		}
		s := &Schedule{Paths: NewList([]string{"/srv"}), Manual: true, Options: doc}
		if source != "" {
			s.Source, s.Paths = source, NewList(nil)
		}
		var found Fields
		var one *Error
		switch err := s.Check(); {
		case errors.As(err, &found):
		case errors.As(err, &one):
			found = Fields{one}
		}
		var fields []string
		for _, e := range found {
			fields = append(fields, e.Field)
		}
		return fields
	}
	if got := check(restic.BackupOptions{ExcludeCaches: true, Compression: "max"}, ""); len(got) != 0 {
		t.Errorf("good ones: %v", got)
	}
	got := check(restic.BackupOptions{ExcludeFiles: []string{"x"}, Compression: "most"}, "")
	if want := []string{"/options/backup/exclude_files/0", "/options/backup/compression"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := check(restic.BackupOptions{OneFileSystem: true}, "dump"); !slices.Equal(got, []string{"/options/backup"}) {
		t.Errorf("of a named source: %v", got)
	}
}
