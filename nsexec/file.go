package nsexec

// File is what [Files.ReadFile] read.
type File struct {
	Data []byte
	// Size is the length the file system states in bytes; some that generate
	// their files (cgroups) state 0.
	Size int64
	// Truncated: the file goes on after Data.
	Truncated bool
}
