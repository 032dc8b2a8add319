package restic

import "time"

// Config is an installed restic with its directories and network settings. The
// zero value of a duration is its default.
type Config struct {
	// Binary is the absolute path of restic, a regular file. It and every folder
	// above it belong to root, or to the agent's own user where that is not root,
	// and no other user may write to them. This is checked before every start.
	Binary string

	CacheDir string // restic's cache; made with mode 0700 when missing
	TempDir  string // for restic's temporary files and our lists, on a disk; made with mode 0700 when missing
	Home     string // HOME; default CacheDir

	HTTPProxy  Secret // proxy URLs, which may carry credentials
	HTTPSProxy Secret
	NoProxy    string
	CACertFile string // PEM file of the authorities that sign the repository's certificate

	Grace         time.Duration // from the interrupt to the kill; default 75 s
	StuckAfter    time.Duration // what makes no progress is stopped, counted from its first word on; default 30 min
	ProbeDeadline time.Duration // for everything that is not a backup; default 2 min

	// Starter is the program that calls StartScript; default the running one.
	Starter string

	// HopelessAfter is how long restic may go on trying what more trying does
	// not mend, such as storing on a full storage: by itself it would for 15
	// minutes. Default 1 min. A storage that is away is not hopeless.
	HopelessAfter time.Duration
}

// Access is a repository with what opens it.
type Access struct {
	Location Location
	Password Secret

	Username     string // for a REST server that asks for one
	RESTPassword Secret

	KeyHint   string        // id of the key to try first; skips junk among the keys
	RetryLock time.Duration // how long to wait for a lock; 0: not at all

	// From is the repository that a Copy reads.
	From *Access

	// NewPassword is what a KeyAdd lets open the repository from then on.
	NewPassword Secret

	// RunAs is the user as whom restic runs; nil for the agent's own. Another one needs
	// an agent that is root, and cannot read the data of a named source.
	RunAs *RunAs
}

// Stream is where a line came from.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Line is one line that restic wrote: valid UTF-8, without control sequences,
// with secrets replaced. Status messages are not lines, they are Progress; nor is
// the document that an Op such as Snapshots yields.
type Line struct {
	Time    time.Time
	Stream  Stream
	Text    string
	Omitted int64 // bytes cut off the end of a line longer than 1 MiB
}

// Progress is one sample of a backup under way.
type Progress struct {
	Time             time.Time
	PercentDone      float64 // 0 to 1; at 1 everything is read, while uploads may go on
	TotalFiles       int64
	FilesDone        int64
	TotalBytes       int64
	BytesDone        int64
	Errors           int64
	SecondsElapsed   int64
	SecondsRemaining int64
	CurrentFiles     []string
	Retrying         bool // it tries something at the storage again, and nothing came forward since
}

// Handlers are called while restic runs, never two at the same time; any may be
// nil. A slow handler slows restic down, but loses nothing.
type Handlers struct {
	// Started is called once, before restic can touch the repository. When it
	// returns an error, restic is killed at once and Run returns that error.
	Started func(ProcessRef) error

	Line     func(Line)
	Progress func(Progress) // at most once a second; the first and the last sample always arrive
}
