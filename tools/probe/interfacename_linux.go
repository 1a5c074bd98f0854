package probe

import "golang.org/x/sys/unix"

// InterfaceName names an interface of the namespace of a socket; "" where there is none.
func InterfaceName(fd int, index uint32) string {
	request, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	request.SetUint32(index)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		return ""
	}
	return LinkName(request.Name())
}
