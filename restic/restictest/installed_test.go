package restictest

import (
	"fmt"
	"path/filepath"
	"testing"
)

// ended is what a test in trouble does.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper()                   {}
func (e *ended) Fatalf(f string, a ...any) { e.end("failed: " + fmt.Sprintf(f, a...)) }
func (e *ended) Skipf(f string, a ...any)  { e.end("skipped: " + fmt.Sprintf(f, a...)) }
func (e *ended) end(how string)            { e.how = how; panic(e) }

func TestAProgramThatIsMissingFailsInCIAndSkipsElsewhere(t *testing.T) {
	if path := Program(t, "sh"); !filepath.IsAbs(path) {
		t.Errorf("sh is %q", path)
	}
	for ci, want := range map[string]string{"true": "failed: no-such-program is not installed; see .ci/packages", "": "skipped: no-such-program is not installed; see .ci/packages"} {
		t.Setenv("CI", ci)
		e := &ended{TB: t}
		func() {
			defer func() { _ = recover() }()
			Program(e, "no-such-program")
		}()
		if e.how != want {
			t.Errorf("with CI=%q: %q", ci, e.how)
		}
	}
}
