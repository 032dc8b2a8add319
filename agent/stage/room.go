package stage

// Room is what the file system of a folder has left for us, and in all. Names are files
// and folders of whatever size; AllNames is 0 where their number has no bound.
type Room struct {
	Free, Total     int64 // bytes
	Names, AllNames int64
}
