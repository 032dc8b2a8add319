package policy

// Codes of a locked agent.
const (
	CodeMissing  = "policy_file_missing"
	CodeInsecure = "policy_file_insecure" // somebody else could have changed it
	CodeInvalid  = "policy_file_invalid"
)

// Codes of a refusal.
const (
	CodeOperationNotAllowed = "operation_not_allowed"
	CodeRepoNotAllowed      = "repo_not_allowed"
	CodePathNotAllowed      = "path_not_allowed"
	CodePathRequired        = "policy_requires_path"
	CodeTooManyExcludes     = "too_many_excludes"
	CodeHookNotAllowed      = "hook_not_allowed"     // not listed, or not there
	CodeHookInsecure        = "hook_file_insecure"   // somebody else could have changed it
	CodeSourceNotAllowed    = "source_not_allowed"   // likewise
	CodeSourceInsecure      = "source_file_insecure" // likewise
	CodeRestoreTargetDenied = "restore_target_denied"
	CodeRestoreTooLarge     = "restore_too_large"
)

// Locked says why there is no policy, so that the agent runs nothing.
type Locked struct {
	Code string
	What string // in plain words, for root
	Next string // the command that mends it, or what to write
	Err  error  // the cause
}

func (l *Locked) Error() string { return l.Code + ": " + l.What + "; " + l.Next }

// Unwrap returns the cause.
func (l *Locked) Unwrap() error { return l.Err }

// Refusal says what the policy does not allow. It is shown to the people at the
// server as well as to root.
type Refusal struct {
	Code string
	What string // what was refused
	Next string // the command by which root would allow it, or what to do instead
}

func (r *Refusal) Error() string { return r.Code + ": " + r.What + "; " + r.Next }
