package resolve

import (
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// whoMayUse says of a socket which user and group may connect to it, "" if that
// cannot be seen. Writing is what connecting needs (unix(7)).
func whoMayUse(path string) string {
	info, err := stat(path)
	if err != nil {
		return ""
	}
	raw, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	owner, group := strconv.FormatUint(uint64(raw.Uid), 10), strconv.FormatUint(uint64(raw.Gid), 10)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	const groupMayWrite fs.FileMode = 0o020
	if info.Mode()&groupMayWrite == 0 {
		return fmt.Sprintf(": user %s alone may (mode %04o): run as that user, or as root", text(owner), info.Mode().Perm())
	}
	return fmt.Sprintf(": user %s and group %s may (mode %04o): run as one of them, or as root", text(owner), text(group), info.Mode().Perm())
}
