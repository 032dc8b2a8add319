package server

// syncFolder does nothing: Windows has no sync of a folder, and NTFS journals names.
func syncFolder(string) error { return nil }
