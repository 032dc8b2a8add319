package spool

// FreeSpace tells how many bytes the file system of a directory has free for us, and in
// all.
func FreeSpace(dir string) (free, total int64, err error) {
	f, t, err := freeSpace(dir)
	return int64(f), int64(t), err
}
