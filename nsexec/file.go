package nsexec

import "time"

// File is what [Files.ReadFile] read.
type File struct {
	Data []byte
	// Size is the length the file system states in bytes; some that generate
	// their files (cgroups) state 0.
	Size int64
	// Truncated: the file goes on after Data.
	Truncated bool
}

// Entry is one name in a directory, as [Files.ReadDir] found it.
type Entry struct {
	Name string
	Dir  bool
	// Link is where a symbolic link points, as it is written; "" for all else.
	Link    string
	ModTime time.Time
}
