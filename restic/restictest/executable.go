package restictest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Executable writes a script that the test then has run, with the folders above it. No
// process is started meanwhile by the tests beside it: a child that has not come to its
// exec yet has the file open for writing, and nobody can execute a file that is.
func Executable(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte(text), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil { // whatever it was before
		t.Fatal(err)
	}
}
