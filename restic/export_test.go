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

// PretendUser makes the Runner believe that it is another user, until the test ends.
func PretendUser(t interface{ Cleanup(func()) }, uid uint32) {
	before := currentUser
	currentUser = func() uint32 { return uid }
	t.Cleanup(func() { currentUser = before })
}

// NotStarted is why a restic was not started.
var NotStarted = notStarted
