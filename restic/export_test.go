//go:build !windows

package restic

// StarterArguments is the command line with which a hook's starter is started.
func StarterArguments(s Script) []string { return starterCommand(gateClosed, s, nil) }

// OpenScript opens a script the way its starter does.
var OpenScript = openScript
