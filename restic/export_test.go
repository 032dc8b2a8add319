//go:build !windows

package restic

// StarterArguments is the command line with which a hook's starter is started.
func StarterArguments(s Script) []string { return starterCommand(gateClosed, s, nil) }

// OpenScript opens a script the way its starter does.
var OpenScript = openScript

// RefOf identifies a process the way a started one is.
func RefOf(pid int) (ProcessRef, error) {
	boot, err := bootID()
	if err != nil {
		return ProcessRef{}, err
	}
	stat, err := readStat(pid)
	return ProcessRef{PID: pid, Group: stat.group, Start: stat.start, Boot: boot}, err
}
