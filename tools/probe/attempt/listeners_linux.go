package attempt

import (
	"errors"

	"golang.org/x/sys/unix"
)

// maxListenersText bounds what is read of /proc/net/tcp. Listening sockets come
// first in it.
const maxListenersText = 64 << 10

// readListeners returns the addresses on which something in the namespace
// listens on port, an empty list for none, nil where that cannot be known. It
// runs inside the namespace.
func readListeners(port uint16) []string {
	found := []string{}
	buffer := make([]byte, maxListenersText)
	for _, name := range [...]string{"tcp", "tcp6"} {
		text, err := readInto(buffer, "/proc/thread-self/net/"+name)
		if errors.Is(err, unix.ENOENT) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil
		}
		for _, a := range parseListeners(text, port) {
			found = append(found, a.String())
		}
	}
	return found
}
