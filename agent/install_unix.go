//go:build unix

package agent

import "os"

// swapProgram gives a written program its place. One that runs goes on with the old.
func swapProgram(written, place string) error { return os.Rename(written, place) }

func removeTree(path string) error { return os.RemoveAll(path) }

// removeProgram removes a program, which may be this one.
func removeProgram(path string, result *Enrolled) error { return removeOurs(result, path) }
