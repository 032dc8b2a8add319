// Package upkeep is what a maintenance host keeps of a repository in its care, on disk:
// when each snapshot was first seen, what was verified, and what could be brought back.
// It starts no program and knows nothing of restic but how a repository's folder is laid
// out, and as which user it works there.
//
// # Vocabulary
//
//   - The Ledger of a repository says when each of its snapshots was first seen. Lines are
//     only ever added, and each carries a hash over all before it. One that was changed is
//     Damaged, and then nothing is deleted.
//   - An undo copy is a folder beside the repository with hard links to files that are
//     about to go. It costs no space but theirs, and belongs to the repository's owner.
//   - The Stock of a repository is its packs and its index, by what is known of their files
//     without reading them; Verified is a stock that was read and found good.
//   - Replacing is which snapshots a job is about to put others in the place of. Their Heirs
//     inherit when they were first seen, also where the job was cut off.
//   - An accepted key is one that root has called known, in a file beside the ledgers.
//   - Quarantine is the folder beside the repository where foreign files are put.
package upkeep
