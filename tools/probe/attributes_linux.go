package probe

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// eachAttribute iterates over the netlink attributes in b (netlink(7), struct
// nlattr) and ends at the first that does not fit. Payloads alias b.
func eachAttribute(b []byte) iter.Seq2[int, []byte] {
	// The upper bits say that the payload is nested or in network byte order.
	const typeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return func(yield func(int, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			length := int(binary.NativeEndian.Uint16(b))
			if length < unix.SizeofNlAttr || length > len(b) {
				return
			}
			kind := int(binary.NativeEndian.Uint16(b[2:]) & typeMask)
			if !yield(kind, b[unix.SizeofNlAttr:length:length]) {
				return
			}
			aligned := (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
			b = b[min(aligned, len(b)):]
		}
	}
}

// attributes are the payloads of one level of nesting, by type: empty for one
// without payload, nil for one that is absent. As in iproute2, the first of several
// of one type counts, and types above the highest one asked for are dropped.
type attributes [][]byte

func parseAttributes(b []byte, highest int) attributes {
	table := make(attributes, highest+1)
	table.fill(b)
	return table
}

// fill parses b in place of what was there.
func (t attributes) fill(b []byte) {
	clear(t)
	for kind, payload := range eachAttribute(b) {
		if kind < len(t) && t[kind] == nil {
			t[kind] = payload
		}
	}
}

// nested parses the payload of attribute i; without it everything is absent.
func (t attributes) nested(i, highest int) attributes { return parseAttributes(t[i], highest) }

func (t attributes) has(i int) bool { return t[i] != nil }

// uint reads a number of 1, 2, 4 or 8 bytes in host byte order.
func (t attributes) uint(i int) (uint64, bool) {
	b := t[i]
	switch len(b) {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.NativeEndian.Uint16(b)), true
	case 4:
		return uint64(binary.NativeEndian.Uint32(b)), true
	case 8:
		return binary.NativeEndian.Uint64(b), true
	}
	return 0, false
}

// signed reads a 32-bit number that may be negative: an index, or -1 for none.
func (t attributes) signed(i int) (int, bool) {
	n, ok := t.uint(i)
	return signed(uint32(n)), ok //nolint:gosec // the attribute has 32 bits
}

// number is an optional number as facts carry it.
func (t attributes) number(i int) *int {
	n, ok := t.uint(i)
	if !ok {
		return nil
	}
	return new(int(n)) //nolint:gosec // the attributes have 32 bits
}

// text is a C string that can be shown: most are names of interfaces.
func (t attributes) text(i int) string { return LinkName(cString(t[i])) }

// cString cuts b at its first NUL.
func cString(b []byte) string { return unix.ByteSliceToString(b) }

// signed reads a 32-bit number of the kernel that may be negative.
func signed(n uint32) int {
	return int(int32(n)) //nolint:gosec // the sign bit is what this is about
}
