// Package restic is the restic program as this project knows it: what may be
// asked of it, how it is started, what its output and exit codes mean, and how
// it is stopped. It is the only package, besides the demo, that starts processes.
//
// # Vocabulary
//
//   - An Operation is what a job can ask for. [Operations] is the closed list; each
//     entry declares its fields, and [ValidateParams] checks a job's params against
//     them for the API, the pages and the agent alike.
//   - An [Op] is one restic process: a struct with typed fields, from which an
//     argument list is built by a table. Nothing that a caller types becomes an
//     option. An operation may take several Ops in order (a recipe, in the agent).
//   - An [Access] is one repository with what opens it; a [Location] says where it is.
//   - A [Runner] is an installed restic with its directories and network settings.
//     [Run] starts one Op with it and returns a [Result].
//
// # Use
//
//	runner := restic.New(restic.Config{Binary: "/usr/bin/restic", CacheDir: …, TempDir: …})
//	result, err := restic.Run(ctx, runner, restic.Backup{…}, access, restic.Handlers{
//		Started:  func(ref restic.ProcessRef) error { return spool.RecordProcess(ref) },
//		Line:     func(l restic.Line) { … },
//		Progress: func(p restic.Progress) { … },
//	})
//
// An error means that no restic ran on the repository: the op was invalid, the
// program missing, insecure or too old, or Started refused. Whatever happened to
// a restic that ran is in the Result: its Outcome, the typed Value, and for what
// went wrong a Failure with a stable code, plain words, a next step and restic's
// own first line. Both are of type [*Error].
//
// Cancelling the context stops restic politely: one interrupt, [Config].Grace to
// remove its lock, then the whole process group is killed. Run returns only when
// the process is gone and both its pipes are read to the end.
//
// # Starting, and dying in between
//
// A child must never work unnoticed. On unix restic reads the repository's
// password from an inherited pipe, which is written only after Handlers.Started
// has returned nil; until then restic waits and has touched nothing, and when the
// agent dies in that moment restic reads an empty password and ends by itself. On
// windows the process is created suspended in its job object and resumed after
// Started. An agent that finds a recorded ProcessRef at its start calls
// [KillOrphan], which compares boot and start time before it kills.
//
// # Scripts
//
// A [Script] is a file of the host that its administrator made for the agent. As a
// [Hook] it runs before or after a backup ([Runner.RunHook]), as a [NamedSource] restic
// stores what it writes. Neither is started directly: the program that uses this
// package starts itself ([StartScript]), and becomes the script once its process is
// recorded, the file is found to be the one that was meant, and the environment is empty
// but for what the script may know. What is too much of a script's output is left out. The
// same step puts the kernel's fence around a restic that writes to the host ([CanFence]).
//
// # Secrets
//
// The repository's password goes through that pipe; a password that restic would
// alter when reading it from there (blanks at an end, a byte order mark), and any
// password on windows, goes in the environment. Backend credentials go in the
// environment, the only way restic has. Nothing secret is ever an argument. The
// environment starts empty: of the agent's own nothing is inherited. Every line,
// message and name of a file that restic could not handle is passed through a redaction
// of all known secrets before it leaves this package; what a repository lists (snapshots,
// entries, keys) is handed on as it is.
//
// # Versions
//
// restic 0.18.0 is the oldest accepted ([MinVersion]): from there on exit codes and
// the last line on stderr can be trusted. What differs between newer versions is
// in one table, see [Feature].
//
// This package imports the standard library and golang.org/x/sys only.
package restic
