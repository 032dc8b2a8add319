package restic

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// stuckRequestTimeout is after how long restic tries a silent request again.
const stuckRequestTimeout = 5 * time.Minute

// arguments is the one place where restic's argument list is made. Names are
// constants of the ops; values are joined to their names or come after the "--",
// so that no value can become an option. List files are written into dir, which restic
// finds as seen.
func arguments(p plan, v Version, access Access, dir, seen string) ([]string, error) {
	args := []string{"--json"}
	switch {
	case p.noRepository:
	case p.reads:
		args = append(args, "--no-lock")
	case access.RetryLock > 0:
		args = append(args, "--retry-lock="+access.RetryLock.String())
	}
	if v.Has(FeatureStuckRequestTimeout) && !p.noRepository {
		args = append(args, "--stuck-request-timeout="+stuckRequestTimeout.String())
	}
	args = append(args, p.verb...)
	args = append(args, p.flags...)
	for i, file := range p.files {
		name := fmt.Sprintf("list-%d", i)
		if err := os.WriteFile(filepath.Join(dir, name), file.content, 0o600); err != nil {
			return nil, err
		}
		args = append(args, file.flag+"="+filepath.Join(seen, name))
	}
	if len(p.operands) > 0 {
		args = append(args, "--") //guard:restic-dashes
		args = append(args, p.operands...)
	}
	return args, nil
}
