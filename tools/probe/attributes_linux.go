package probe

import (
	"encoding/binary"
	"iter"
	"strconv"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// nextAttribute reads the header of the netlink attribute (netlink(7), struct
// nlattr) at offset at of b: its type, where its payload ends, and where the next
// one begins. It fails at the end of b and where the attribute does not fit.
func nextAttribute(b []byte, at int) (kind, end, next int, ok bool) {
	// The upper bits say that the payload is nested or in network byte order.
	const typeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	if len(b)-at < unix.SizeofNlAttr {
		return 0, 0, 0, false
	}
	length := int(binary.NativeEndian.Uint16(b[at:]))
	if length < unix.SizeofNlAttr || length > len(b)-at {
		return 0, 0, 0, false
	}
	aligned := (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
	return int(binary.NativeEndian.Uint16(b[at+2:]) & typeMask), at + length, min(at+aligned, len(b)), true
}

// eachAttribute iterates over the attributes in b and ends at the first that does
// not fit. Payloads alias b.
func eachAttribute(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for at := 0; ; {
			kind, end, next, ok := nextAttribute(b, at)
			if !ok || !yield(kind, b[at+unix.SizeofNlAttr:end:end]) {
				return
			}
			at = next
		}
	}
}

// attributes are those of one level of nesting, by type. As in iproute2, the
// first of several of one type counts and types above the highest one asked
// for are dropped.
type attributes struct {
	message []byte
	// at is where in message the payload of each type begins; 0 where it is absent.
	// Slices of the payloads would take six times the memory, for tables that are
	// mostly empty.
	at []uint32
}

func parseAttributes(b []byte, highest int) attributes {
	table := attributes{b, make([]uint32, highest+1)}
	for at := 0; ; {
		kind, _, next, ok := nextAttribute(b, at)
		if !ok {
			return table
		}
		if kind <= highest && table.at[kind] == 0 {
			table.at[kind] = u32(at + unix.SizeofNlAttr)
		}
		at = next
	}
}

// get returns the payload of attribute i: empty for one without payload, nil for
// one that is absent.
func (t attributes) get(i int) []byte {
	at := int(t.at[i])
	if at == 0 {
		return nil
	}
	end := at - unix.SizeofNlAttr + int(binary.NativeEndian.Uint16(t.message[at-unix.SizeofNlAttr:]))
	return t.message[at:end:end]
}

// nested parses the payload of attribute i; without it everything is absent.
func (t attributes) nested(i, highest int) attributes {
	return parseAttributes(t.get(i), highest)
}

func (t attributes) has(i int) bool { return t.at[i] != 0 }

// The numbers are in host byte order. One that is too short counts as absent;
// the kernel sends none.

func (t attributes) u8(i int) (uint8, bool) {
	b := t.get(i)
	if len(b) < 1 {
		return 0, false
	}
	return b[0], true
}

func (t attributes) u16(i int) (uint16, bool) {
	b := t.get(i)
	if len(b) < 2 {
		return 0, false
	}
	return binary.NativeEndian.Uint16(b), true
}

func (t attributes) u32(i int) (uint32, bool) {
	b := t.get(i)
	if len(b) < 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(b), true
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
func (t attributes) text(i int) string { return printable(cString(t.get(i))) }

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
		if v := f.value(t.get(f.attr)); v != nil {
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
