// Package listing is the codec of browse indexes: all entries of one snapshot, in blocks
// that are small enough to be kept one by one in a database, so that a click reads two or
// three of them. The agent writes them (Writer), the server splits them (Split) and reads
// them again (Reader).
//
// An index has three kinds of blocks, each numbered from 0 on:
//
//   - KindEntries: what folders contain. A block is a row of segments; a segment has
//     entries of one folder, folders first, in columns, names coded by what they share with
//     the name before. Small folders share a block, large ones have several.
//   - KindFolders: where a folder's entries are: records ordered by a hash of the folder's
//     path, each with the numbers of its blocks of entries.
//   - KindRoot: one block, the last: totals, and the first hash of each block of folders.
//
// Blocks are compressed with zstd, each for itself. The entries of a folder are written
// when they are known, its subfolders with the totals of all below them, so a folder comes
// behind what is below it, and a Writer needs memory for what is open only: the folders on
// the way to the entry under hand, and sixteen bytes for each folder that there is.
//
// What Split and Reader are given may come from anybody: they check all of it, and take no
// more memory than a few blocks.
//
// It is named after what goes in, restic's listing of one snapshot: "index" alone is what
// restic calls its list of what lies in the packs.
//
// It imports nothing of this project.
package listing
