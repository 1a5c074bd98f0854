package attempt

import (
	"context"
	"encoding/binary"
	"net/http"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// TestAcceptQueue: the queue of the listener that takes the connection is read, not that
// of another port or address.
func TestAcceptQueue(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	p := l.Pod(t, lab.PodSpec{IPv6: true})
	full := p.FillAcceptQueue(t, 80)
	for _, address := range []string{":81", "127.0.0.1:82", "[::]:83"} {
		if _, err := p.Serve(address, http.NotFoundHandler()); err != nil {
			t.Fatal(err)
		}
	}
	read := func(ip netip.Addr, port uint16) (full, known bool) {
		q := readAcceptQueue(context.Background(), p.Handle, netip.AddrPortFrom(ip, port))
		return q.Full(), q != nil
	}
	for _, c := range []struct {
		title       string
		ip          netip.Addr
		port        uint16
		full, known bool
	}{
		{"full", p.IP, full.Port(), true, true},
		{"another port", p.IP, 81, false, true},
		{"loopback only", p.IP, 82, false, false},
		{"IPv6", p.IP6, 83, false, true},
		{"IPv4 to a listener of IPv6", p.IP, 83, false, true},
		{"nobody", p.IP, 84, false, false},
		{"IPv6 to a listener of IPv4", p.IP6, full.Port(), false, false},
	} {
		if isFull, known := read(c.ip, c.port); isFull != c.full || known != c.known {
			t.Errorf("%s: full %v, known %v", c.title, isFull, known)
		}
	}
}

func FuzzAcceptQueue(f *testing.F) {
	message := make([]byte, diagMessageSize)
	message[0], message[1] = unix.AF_INET, tcpListen
	binary.BigEndian.PutUint16(message[4:], 80)
	f.Add(message)
	f.Fuzz(func(_ *testing.T, message []byte) { parseAcceptQueue(message, netip.MustParseAddrPort("10.0.0.1:80")) })
}
