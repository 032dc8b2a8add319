//go:build !windows

package restic_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"restic-manager/restic"
)

func TestABackupIsHeldToItsLimits(t *testing.T) {
	for _, test := range []struct {
		limits restic.Limits
		want   []string
	}{
		{restic.Limits{}, nil},
		{restic.Limits{UploadKiB: 512}, []string{"--limit-upload=512"}},
		{restic.Limits{UploadKiB: 1, DownloadKiB: 2048}, []string{"--limit-upload=1", "--limit-download=2048"}},
	} {
		s := newStage(t, restic.Config{}, backupReply(0, out(summary)))
		op := restic.Backup{Sources: []string{s.source()}, Host: "web-1", Limits: test.limits}
		if _, err := restic.Run(t.Context(), s.runner, op, s.access, s.handlers()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, arg := range s.fake.Calls()[0].Args {
			if strings.HasPrefix(arg, "--limit-") {
				got = append(got, arg)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v became %q, want %q", test.limits, got, test.want)
		}
	}
}

func TestLimitsThatAreNoneAreRefused(t *testing.T) {
	for range 20 {
		var errs restic.Errors
		err := restic.Limits{UploadKiB: -1, DownloadKiB: -1}.Validate()
		if !errors.As(err, &errs) || len(errs) != 2 || errs[0].Field != "limit_upload" || errs[1].Field != "limit_download" {
			t.Fatalf("mistakes out of order: %v", err)
		}
	}
	for _, limits := range []restic.Limits{{UploadKiB: -1}, {DownloadKiB: 11 << 20}} {
		op := restic.Backup{Sources: []string{"/etc"}, Host: "web-1", Limits: limits}
		if err := op.Validate(); restic.CodeOf(err) != restic.CodeFieldInvalid {
			t.Errorf("%+v: got %v", limits, err)
		}
	}
}
