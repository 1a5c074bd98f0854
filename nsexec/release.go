package nsexec

import "fmt"

// releaseAtLeast compares the leading MAJOR.MINOR of a kernel release such as
// "6.1.0-13-amd64". A release it cannot read counts as new enough: the system
// call that is missing will say so better.
func releaseAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, err := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 || err != nil {
		return true
	}
	return a > major || (a == major && b >= minor)
}
