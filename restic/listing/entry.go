package listing

import (
	"errors"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"
)

// Type is what an entry is.
type Type uint8

// The types.
const (
	File Type = iota
	Dir
	Symlink
	Other // a device, a pipe, a socket
)

// String returns "file", "dir", "symlink" or "other".
func (t Type) String() string {
	switch t {
	case File:
		return "file"
	case Dir:
		return "dir"
	case Symlink:
		return "symlink"
	}
	return "other"
}

// Entry is a file, folder or other thing in a snapshot.
type Entry struct {
	Folder  string // its path from the snapshot's root: "/", or "/" before each name
	Name    string
	Type    Type
	Size    int64 // bytes; of a folder that was read from an index, of all below it
	Files   int64 // of a folder that was read from an index: how many files are below it
	Mode    fs.FileMode
	ModTime time.Time // in whole seconds, when read from an index
	Lossy   bool      // of an index: its path has a character that stands for bytes that are not UTF-8
}

// Path is the entry's path from the snapshot's root.
func (e *Entry) Path() string { return join(e.Folder, e.Name) }

// Summary is what an index is about.
type Summary struct {
	Entries int64 // all, folders too
	Folders int64 // with the root
	Files   int64
	Bytes   int64 // of all files
	Skipped int64 // entries whose names or paths are too long to be listed
}

// Kinds of blocks.
const (
	KindRoot    = 0
	KindFolders = 1
	KindEntries = 2
)

// Bounds that both sides keep to.
const (
	blockPlain = 16 << 10  // what a block is filled to
	maxPlain   = 256 << 10 // of any block
	MaxBlock   = 256 << 10 // of a compressed block
	MaxBlocks  = 1 << 20   // of one kind
	maxPath    = 8 << 10
	maxName    = 1 << 10  // of one name; file systems have 255, lossy ones become longer
	maxNames   = 16 << 20 // of all names of one run, as they are
)

// Errors of reading.
var (
	// ErrDamaged is an index that no Writer has written.
	ErrDamaged = errors.New("the index is damaged")
	// ErrNoFolder is a path that is no folder of the snapshot.
	ErrNoFolder = errors.New("no such folder in the snapshot")
	// ErrPosition is a text that is no position of this list.
	ErrPosition = errors.New("no position in this list")
)

// goodName refuses names that would lead elsewhere when they are put into a path.
func goodName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") && utf8.ValidString(name)
}

// join is the path of a name in a folder.
func join(folder, name string) string {
	if folder == "/" {
		return "/" + name
	}
	return folder + "/" + name
}
