package nsexec

import "fmt"

// Identity names one network namespace among all that live now.
type Identity struct {
	// Dev and Inode are those of the namespace's nsfs file (namespaces(7)). An
	// inode number is reused once its namespace is gone.
	Dev, Inode uint64
	// Cookie is SO_NETNS_COOKIE: never reused until the next boot, the same
	// from every process. 0 means unknown (kernels before 5.14).
	Cookie uint64
}

// Same reports whether i and o are one namespace. It compares cookies where
// both are known, device and inode otherwise; two zero identities are not the
// same namespace.
func (i Identity) Same(o Identity) bool {
	if i.Cookie != 0 && o.Cookie != 0 {
		return i.Cookie == o.Cookie
	}
	return i.Inode != 0 && i.Dev == o.Dev && i.Inode == o.Inode
}

// String writes the identity as the kernel writes a namespace link.
func (i Identity) String() string {
	return fmt.Sprintf("net:[%d]", i.Inode)
}
