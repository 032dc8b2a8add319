package restic

import "os"

// Scratch makes a private file in TempDir, for what does not fit into memory. The caller
// closes and removes it; what a killed agent left of it goes with RemoveLeftovers.
func (r *Runner) Scratch() (*os.File, error) {
	if err := os.MkdirAll(r.config.TempDir, 0o700); err != nil {
		return nil, err
	}
	return os.CreateTemp(r.config.TempDir, runDirs)
}
