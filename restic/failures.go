package restic

// failureOf returns the words for a failure's code: what is wrong, and what to do.
func failureOf(code Code) *Error {
	words := func(message, next string) *Error { return &Error{Code: code, Message: message, Next: next} }
	switch code {
	case CodeRepoNotFound:
		return words("there is no repository at this location",
			"check the location; if a repository was here before, find out what became of it before making a new one")
	case CodeRepoHalfMade:
		return words("there are keys at this location, and no repository: somebody began to make one",
			"remove what is there with the storage's own tools, and make the repository again")
	case CodeRepoExists:
		return words("there is a repository at this location already",
			"identify it instead of making a new one, or choose another location")
	case CodeRepoLocked:
		return words("the repository is locked by another restic",
			"wait until it has finished; if it has died, its lock can be removed")
	case CodeRepoUnreachable:
		return words("the storage cannot be reached",
			"check that the storage is running, and the network, name, port and proxy between this host and it")
	case CodeRepoTLS:
		return words("the storage's certificate or encryption is not accepted",
			"check that the location's https:// or http:// is right, and that the agent's configuration names the authority that signed the certificate")
	case CodeRepoCredentialsRejected:
		return words("the storage does not accept this user name and password",
			"set the credential again, and check that the user may use this path")
	case CodeRepoForbidden:
		return words("the storage refuses access",
			"check the rights of the user at the storage, or of the agent on the folder")
	case CodeRepoUploadRefused:
		return words("something on the way to the storage refuses large uploads",
			"look at the proxy between this host and the storage; nginx needs client_max_body_size 0 for it")
	case CodeRepoAnswerLost:
		return words("an answer of the storage was lost on the way, so restic sent a file again that the storage has already, and storages take no file twice",
			"run it again: what is stored already is used; where it happens often, look at the network and the proxies between this host and the storage")
	case CodeRepoDamaged:
		return words("the repository has something in it that restic cannot read",
			"run a check; do not prune before it is clean")
	case CodeRepositoryFull:
		return words("the storage is full: its disk has no room, or its quota is used up",
			"enlarge the disk, free something else on it, or raise the quota; removing old snapshots and reclaiming space gives room only once the copies that the maintenance host keeps aside have gone "+
				"(14 days by default), and in a rest-server's quota only when it is started anew after that")
	case CodeDiskFull:
		return words("a disk is full",
			"make room on this host's disk, or on the one the repository is on")
	case CodeWrongPassword:
		return words("the repository's password is wrong",
			"set the repository's password again; do not initialise anything")
	case CodePasswordInvalid:
		return words("the repository's password is empty", "set the repository's password again")
	case CodeSourceMissing:
		return words("nothing of what is to be backed up exists",
			"correct the paths of the schedule, or bring back what is missing (is a disk not mounted?)")
	case CodeSourceFailed:
		return words("the script of the named source failed, so no snapshot was made", "look at its lines in the job's log, and try the script on the host")
	case CodeSourceEmpty:
		return words("the script of the named source ended well but wrote nothing to its standard output; the snapshot that restic made of it is empty",
			"try the script on the host: what is to be backed up must come out of its standard output")
	case CodeNothingRestored:
		return words("nothing of what was chosen is in the snapshot, so nothing was restored",
			"look at the snapshot's files and choose again; a name that is not UTF-8 is restored with its folder")
	case CodeRestoreIncomplete:
		return words("not everything could be restored", "see the rows of the result, and restore what is missing again")
	case CodeKeyNotFound:
		return words("the repository has no key with this id", "identify the repository again: its rows list the keys")
	case CodePackNotFound:
		return words("the repository has no pack with this id", "check the repository again, and repair what it names")
	case CodeLockNotFound:
		return words("the lock is gone", "list the locks again: its owner released it")
	case CodeSnapshotNotFound:
		return words("the repository has no snapshot with this id",
			"choose again from the list of snapshots: this one may have been removed, or its tags changed, which changes the id")
	case CodePathNotFound:
		return words("the snapshot has nothing at this path",
			"browse the snapshot; paths begin with / and, of Windows, with the drive's letter: /C/Users")
	case CodeResultNotTaken:
		return words("what restic listed could not be kept, so it was stopped", "make room in the agent's temporary folder, and run it again")
	case CodeResticCrashed:
		return words("restic crashed",
			"look at the job's log; a damaged repository can cause this, so run a check")
	case CodeResticKilled:
		return words("something else than the agent ended restic",
			"look at the host's system log: too little memory and shutdown are the usual reasons")
	case CodeResticStuck:
		return words("restic made no progress for too long and was stopped",
			"check that the storage is reachable and that nothing it reads or writes is on a network disk that hangs")
	case CodeResticTimeout:
		return words("restic took too long and was stopped", "check that the storage is reachable, and try again")
	case CodeResticUnknownExit:
		return words("restic ended with a code that is not known", "look at the job's log")
	default:
		return words("restic failed", "look at the job's log for its own words")
	}
}
