package attempt

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// tcp4 is an IPv4 packet with the head of a TCP segment.
func tcp4(src, dst netip.AddrPort, flags byte) []byte {
	ip := make([]byte, 20, 40)
	ip[0], ip[8], ip[9] = 0x45, 61, protoTCP
	copy(ip[12:], src.Addr().AsSlice())
	copy(ip[16:], dst.Addr().AsSlice())
	return append(ip, tcp(src, dst, flags)...)
}

func tcp6(src, dst netip.AddrPort, flags byte) []byte {
	ip := make([]byte, 40, 60)
	ip[0], ip[6], ip[7] = 0x60, protoTCP, 61
	copy(ip[8:], src.Addr().AsSlice())
	copy(ip[24:], dst.Addr().AsSlice())
	return append(ip, tcp(src, dst, flags)...)
}

func tcp(src, dst netip.AddrPort, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	b[12], b[13] = 5<<4, flags
	return b
}

var (
	client4 = netip.MustParseAddrPort("10.0.0.5:40000")
	server4 = netip.MustParseAddrPort("192.0.2.1:80")
	client6 = netip.MustParseAddrPort("[fd00::5]:40000")
	server6 = netip.MustParseAddrPort("[2001:db8::1]:80")
)

func TestParseSegment(t *testing.T) {
	t.Parallel()
	for _, packet := range [][]byte{tcp4(server4, client4, flagSYN|flagACK), tcp6(server6, client6, flagSYN|flagACK)} {
		seg, ok := parseSegment(packet)
		if !ok || seg.ttl != 61 || !seg.has(flagSYN|flagACK) || seg.has(flagRST) || seg.src.Port() != 80 || seg.dst.Port() != 40000 {
			t.Errorf("%+v, %v", seg, ok)
		}
	}
	if _, ok := parseSegment(tcp4(server4, client4, flagRST)[:30]); ok {
		t.Error("a segment that ends in its header was taken")
	}
	fragment := tcp4(server4, client4, flagRST)
	fragment[7] = 1
	if _, ok := parseSegment(fragment); ok {
		t.Error("a later fragment was taken for a segment")
	}
	udp := tcp4(server4, client4, flagRST)
	udp[9] = 17
	if _, ok := parseSegment(udp); ok {
		t.Error("UDP was taken for TCP")
	}
}

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		head    byte // length of the header in words
		options []byte
		value   uint32
		ok      bool
	}{
		{"none", 5, nil, 0, false},
		{"as Linux writes it", 10, []byte{2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}, 0x01020304, true},
		{"padded", 8, []byte{1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0}, 0x01020304, true},
		{"behind the end", 8, []byte{0, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0}, 0, false},
		{"an option that ends nowhere", 6, []byte{8, 10, 1, 2}, 0, false},
		{"an option without length", 6, []byte{2, 0, 8, 10}, 0, false},
		{"half an option", 6, []byte{1, 1, 1, 8}, 0, false},
		{"of another length", 6, []byte{8, 4, 1, 2}, 0, false},
		{"a header that was cut", 10, []byte{8, 10, 1, 2, 3, 4, 0, 0, 0, 0}, 0, false},
		{"a header that is too short", 4, []byte{8, 10, 1, 2, 3, 4, 0, 0, 0, 0}, 0, false},
	} {
		packet := append(tcp4(client4, server4, flagSYN), c.options...)
		packet[20+12] = c.head << 4
		seg, ok := parseSegment(packet)
		if !ok || seg.stamped != c.ok || seg.stamp != c.value {
			t.Errorf("%s: %+v, %v", c.name, seg, ok)
		}
	}
}

func TestParseICMP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v6         bool
		kind, code byte
		inner      []byte
		ends       bool
		name       string
	}{
		{false, 3, 3, tcp4(client4, server4, flagSYN)[:28], true, "port unreachable"},
		{false, 3, 13, tcp4(client4, server4, flagSYN), true, "administratively prohibited"},
		{false, 3, 4, tcp4(client4, server4, flagSYN), false, "type 3 code 4"},
		{false, 3, 99, tcp4(client4, server4, flagSYN), true, "type 3 code 99"},
		{false, 11, 0, tcp4(client4, server4, flagSYN), true, "time exceeded"},
		{false, 5, 0, tcp4(client4, server4, flagSYN), false, "type 5 code 0"},
		{true, 1, 4, tcp6(client6, server6, flagSYN), true, "port unreachable"},
		{true, 1, 1, tcp6(client6, server6, flagSYN), true, "administratively prohibited"},
		{true, 2, 0, tcp6(client6, server6, flagSYN), false, "type 2 code 0"},
		{true, 3, 0, tcp6(client6, server6, flagSYN), true, "time exceeded"},
	} {
		message := slices.Concat([]byte{c.kind, c.code, 0, 0, 0, 0, 0, 0}, c.inner)
		e, ok := parseICMP(c.v6, message)
		if !ok || e.ends() != c.ends || e.String() != c.name || e.src.Port() != 40000 || e.dst.Port() != 80 {
			t.Errorf("%d/%d: %+v (%s), %v", c.kind, c.code, e, &e, ok)
		}
		if _, ok := parseICMP(!c.v6, message); ok {
			t.Errorf("%d/%d: taken for the other family", c.kind, c.code)
		}
	}
}

func TestParseNeighbour(t *testing.T) {
	t.Parallel()
	reply := []byte{0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 5, 10, 0, 0, 5}
	if who, mac, ok := parseNeighbour(reply); !ok || who != netip.MustParseAddr("10.0.0.1") || mac.String() != "02:00:00:00:00:01" {
		t.Errorf("%s at %s, %v", who, mac, ok)
	}
	request := slices.Clone(reply)
	request[7] = 1
	if _, _, ok := parseNeighbour(request); ok {
		t.Error("a request was taken for a reply")
	}
	if _, _, ok := parseNeighbour(reply[:20]); ok {
		t.Error("half a reply was taken")
	}
	advert := slices.Concat([]byte{0x60, 0, 0, 0, 0, 24, protoICMPv6, 255},
		server6.Addr().AsSlice(), client6.Addr().AsSlice(), []byte{icmp6Advertisement, 0, 0, 0, 0x60, 0, 0, 0}, server6.Addr().AsSlice())
	if who, mac, ok := parseNeighbour(advert); !ok || who != server6.Addr() || mac != nil {
		t.Errorf("%s at %s, %v", who, mac, ok)
	}
	with := slices.Concat(advert, []byte{2, 1, 2, 0, 0, 0, 0, 9})
	if who, mac, ok := parseNeighbour(with); !ok || who != server6.Addr() || mac.String() != "02:00:00:00:00:09" {
		t.Errorf("%s at %s, %v", who, mac, ok)
	}
	advert[7] = 254
	if _, _, ok := parseNeighbour(advert); ok {
		t.Error("an advertisement from beyond the link was taken")
	}
}

func FuzzPackets(f *testing.F) {
	f.Add(tcp4(client4, server4, flagSYN))
	f.Add(tcp6(client6, server6, flagSYN))
	f.Add(syn(client4, server4, 1, 2).packet)
	f.Add(slices.Concat([]byte{3, 3, 0, 0, 0, 0, 0, 0}, tcp4(client4, server4, flagSYN)))
	f.Fuzz(func(_ *testing.T, packet []byte) {
		if seg, ok := parseSegment(packet); ok && seg.has(flagSYN) {
			_ = seg.src.String()
		}
		parseNeighbour(packet)
		for _, v6 := range []bool{false, true} {
			if e, ok := parseICMP(v6, packet); ok {
				_ = e.String()
			}
		}
	})
}
