package probe

import (
	"encoding/binary"
	"iter"
	"strconv"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
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

// attributes are those of one level of nesting, by type. As in iproute2, the
// first of several of one type counts and types above the highest one asked
// for are dropped. An attribute without payload is empty, one that is absent
// is nil.
type attributes [][]byte

func parseAttributes(b []byte, highest int) attributes {
	table := make(attributes, highest+1)
	for kind, payload := range eachAttribute(b) {
		if kind <= highest && table[kind] == nil {
			table[kind] = payload
		}
	}
	return table
}

// nested parses the payload of attribute i; without it everything is absent.
func (t attributes) nested(i, highest int) attributes {
	return parseAttributes(t[i], highest)
}

func (t attributes) has(i int) bool { return t[i] != nil }

// The numbers are in host byte order. One that is too short counts as absent;
// the kernel sends none.

func (t attributes) u8(i int) (uint8, bool) {
	if len(t[i]) < 1 {
		return 0, false
	}
	return t[i][0], true
}

func (t attributes) u16(i int) (uint16, bool) {
	if len(t[i]) < 2 {
		return 0, false
	}
	return binary.NativeEndian.Uint16(t[i]), true
}

func (t attributes) u32(i int) (uint32, bool) {
	if len(t[i]) < 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(t[i]), true
}

// number is an optional u32 as facts carry it.
func (t attributes) number(i int) *int {
	v, ok := t.u32(i)
	if !ok {
		return nil
	}
	return new(int(v))
}

// text is a C string, made printable.
func (t attributes) text(i int) string { return printable(cString(t[i])) }

// cString cuts b at its first NUL.
func cString(b []byte) string { return unix.ByteSliceToString(b) }

// signed reads a 32-bit number of the kernel that may be negative: an error, an
// index, or -1 for none.
func signed(n uint32) int {
	return int(int32(n)) //nolint:gosec // the sign bit is what this is about
}

// u32 and u16 write an index, a length or a constant for the kernel.

func u32(n int) uint32 {
	return uint32(n) //nolint:gosec // these fit
}

func u16(n int) uint16 {
	return uint16(n) //nolint:gosec // these fit
}

// field is one attribute of a kind of link as iproute2 prints it.
type field struct {
	attr  int
	name  string
	value func(payload []byte) any // nil where the payload has the wrong size
}

// decode adds what table holds of fields to out.
func (t attributes) decode(out fact.Attrs, fields []field) {
	for _, f := range fields {
		if !t.has(f.attr) {
			continue
		}
		if v := f.value(t[f.attr]); v != nil {
			out[f.name] = v
		}
	}
}

// The values of a field. Their names are those of the C type on the wire and,
// where it differs, of what is printed.

func asU8(b []byte) any {
	if len(b) < 1 {
		return nil
	}
	return uint64(b[0])
}

func asU16(b []byte) any {
	if len(b) < 2 {
		return nil
	}
	return uint64(binary.NativeEndian.Uint16(b))
}

func asU32(b []byte) any {
	if len(b) < 4 {
		return nil
	}
	return uint64(binary.NativeEndian.Uint32(b))
}

func asU64(b []byte) any {
	if len(b) < 8 {
		return nil
	}
	return binary.NativeEndian.Uint64(b)
}

func asBool(b []byte) any {
	if len(b) < 1 {
		return nil
	}
	return b[0] != 0
}

// asTrue is for settings that iproute2 prints only where they are on.
func asTrue(b []byte) any {
	if len(b) < 1 || b[0] == 0 {
		return nil
	}
	return true
}

func asHex16(b []byte) any {
	if len(b) < 2 {
		return nil
	}
	return hexNumber(uint64(binary.NativeEndian.Uint16(b)))
}

// asTimer is a time in 1/100 s (USER_HZ), printed in seconds.
func asTimer(b []byte) any {
	if len(b) < 8 {
		return nil
	}
	return float64(binary.NativeEndian.Uint64(b)) / 100
}

// hexNumber writes n as C's "%#x" does, zero without a prefix.
func hexNumber(n uint64) string {
	if n == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(n, 16)
}
