//go:build !windows

package restic

// systemEnvironment is what any program needs on this system.
func systemEnvironment(temp string) []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + temp}
}
