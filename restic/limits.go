package restic

import (
	"fmt"
	"strconv"
)

// Limits bound how fast one restic moves data; zero is no bound.
type Limits struct {
	UploadKiB   int // a second
	DownloadKiB int // a second
}

// maxLimit is 10 GiB a second.
const maxLimit = 10 << 20

// Validate checks both bounds.
func (l Limits) Validate() error { return l.mistakes().orNil() }

func (l Limits) mistakes() Errors {
	var errs Errors
	for _, limit := range []struct {
		field string
		rate  int
	}{{"limit_upload", l.UploadKiB}, {"limit_download", l.DownloadKiB}} {
		if limit.rate < 0 || limit.rate > maxLimit {
			errs = append(errs, &Error{Code: CodeFieldInvalid, Field: limit.field, Message: fmt.Sprintf("must be 0 to %d KiB a second", maxLimit)})
		}
	}
	return errs
}

func (l Limits) flags() []string {
	var flags []string
	if l.UploadKiB > 0 {
		flags = append(flags, "--limit-upload="+strconv.Itoa(l.UploadKiB))
	}
	if l.DownloadKiB > 0 {
		flags = append(flags, "--limit-download="+strconv.Itoa(l.DownloadKiB))
	}
	return flags
}
