package probe

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// nsid returns the number under which the socket's namespace knows another,
// -1 where it has given it none. nsexec's own would enter once more.
func (s *routeSocket) nsid(ctx context.Context, other *nsexec.Handle) (int, error) {
	id := -1
	err := other.WithFD(func(fd int) error {
		// struct rtgenmsg: the family, padded to 4 bytes.
		body := appendAttribute(make([]byte, 4), unix.NETNSA_FD, binary.NativeEndian.AppendUint32(nil, u32(fd)))
		b, err := s.get(ctx, request{kind: unix.RTM_GETNSID, body: body}, unix.RTM_NEWNSID)
		if err != nil {
			return err
		}
		id, err = parseNSID(b)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("number of %s: %w", other.Identity(), err)
	}
	return id, nil
}

// parseNSID reads struct rtgenmsg and its attributes.
func parseNSID(b []byte) (int, error) {
	if len(b) < 4 {
		return -1, errShortMessage
	}
	value, ok := parseAttributes(b[4:], unix.NETNSA_NSID).u32(unix.NETNSA_NSID)
	if !ok {
		return -1, fmt.Errorf("RTM_NEWNSID without a number")
	}
	return int(signed(value)), nil
}
