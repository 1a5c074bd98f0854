package attempt

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

const (
	// ecnTries is how many SYNs of each kind are compared: one may be lost by chance.
	ecnTries = 3
	// ecnWait bounds the comparison, and ecnGrace how long an answer may come after
	// the last of the other kind.
	ecnWait  = time.Second
	ecnGrace = 300 * time.Millisecond

	flagECE, flagCWR = 0x40, 0x80 // RFC 3168, section 6.1
)

// synProbe is one SYN of the comparison. Its socket only keeps the port: it is not
// connected, so the kernel resets what is answered.
type synProbe struct {
	socket
	fd       int
	ecn      bool
	sequence uint32
	done     bool
}

// CompareECN sends SYNs that differ by ECN alone to an address whose first SYN asked
// for it and was not answered, or was reset; nil where that is not so or cannot be
// measured. It ends with ctx, or after a second. The kernel asks for ECN where
// net.ipv4.tcp_ecn is 1 or 4, and repeats a SYN without it (tcp_ecn_send_syn and
// tcp_ecn_clear_syn in the kernel).
func CompareECN(ctx context.Context, h *nsexec.Handle, to netip.AddrPort) *fact.ECN {
	var raw *os.File
	var probes []synProbe
	err := h.Do(func() (err error) {
		if text, err := readInto(make([]byte, 8), "/proc/sys/net/ipv4/tcp_ecn"); err != nil || !strings.Contains("14", strings.TrimSpace(string(text))) {
			return errNoECN
		}
		raw, probes, err = openECN(to)
		return err
	})
	defer func() {
		for _, p := range probes {
			_ = unix.Close(p.fd) // was only bound
		}
	}()
	if err != nil {
		return nil
	}
	defer func() { _ = raw.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return exchangeSYNs(raw, to, probes)
}

var errNoECN = errors.New("the target does not ask for ECN")

// openECN opens, in the target, a raw socket to an address and reserves the ports to
// send from.
func openECN(to netip.AddrPort) (raw *os.File, probes []synProbe, err error) {
	family := int(familyOf(to.Addr()))
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	raw = os.NewFile(uintptr(fd), "raw")
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()
	if err := unix.Connect(fd, sockaddr(netip.AddrPortFrom(to.Addr(), 0), 0)); err != nil {
		return nil, nil, os.NewSyscallError("connect", err)
	}
	var own socket
	own.readLocal(fd)
	for i := range 2 * ecnTries {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return nil, probes, os.NewSyscallError("socket", err)
		}
		probes = append(probes, synProbe{fd: fd, ecn: i%2 == 1, sequence: rand.Uint32()}) //nolint:gosec // nothing is secret about it
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(own.local.Addr(), 0), 0)); err != nil {
			return nil, probes, os.NewSyscallError("bind", err)
		}
		probes[i].readLocal(fd)
	}
	return raw, probes, nil
}

// exchangeSYNs sends the SYNs and counts what comes back; nil where that cannot be
// done.
func exchangeSYNs(raw *os.File, to netip.AddrPort, probes []synProbe) *fact.ECN {
	result := &fact.ECN{Address: to.String(), Sent: ecnTries}
	for i := range probes {
		if _, err := raw.Write(probes[i].syn(to)); err != nil {
			return nil
		}
	}
	if err := raw.SetReadDeadline(time.Now().Add(ecnWait)); err != nil {
		return nil
	}
	buffer := make([]byte, 2048)
	for left := len(probes); left > 0; {
		n, err := raw.Read(buffer)
		if err != nil {
			break // the time is up, or an ICMP error came
		}
		seg, ok := parseSegment(buffer[:n])
		if to.Addr().Is6() { // raw(7): an IPv4 packet comes with its header
			seg, ok = parseTCP(to.Addr(), probes[0].local.Addr(), 0, buffer[:n])
		}
		for i := range probes {
			p := &probes[i]
			if !ok || p.done || p.local.Port() != seg.dst.Port() || seg.ack != p.sequence+1 {
				continue
			}
			p.done = true
			left--
			switch answered := seg.has(flagSYN | flagACK); {
			case answered && p.ecn:
				result.AnsweredECN++
			case answered:
				if result.Answered++; result.Answered == ecnTries {
					_ = raw.SetReadDeadline(time.Now().Add(ecnGrace)) // fails only on a closed socket
				}
			case seg.has(flagRST) && p.ecn:
				result.ResetECN++
			}
		}
	}
	return result
}

// syn is the probe's segment.
func (p *synProbe) syn(to netip.AddrPort) []byte {
	s := synHeader(p.local.Port(), to.Port())
	binary.BigEndian.PutUint32(s[4:], p.sequence)
	if p.ecn {
		s[13] |= flagECE | flagCWR
	}
	binary.BigEndian.PutUint16(s[14:], 64240) // window, as Linux begins
	binary.BigEndian.PutUint16(s[16:], checksum(p.local.Addr(), to.Addr(), protoTCP, s))
	return s
}
