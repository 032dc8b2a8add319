package restic

import "os"

// systemEnvironment is what any program needs on this system. Without SystemRoot
// a program of windows cannot open a socket.
func systemEnvironment(temp string) []string {
	root := os.Getenv("SystemRoot")
	return []string{"SystemRoot=" + root, "PATH=" + root + `\System32`, "TMP=" + temp, "TEMP=" + temp}
}
