package attempt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
)

// parseListeners returns the addresses and ports on which something listens, from /proc/net/tcp or tcp6 (proc_net_tcp in the kernel's documentation):
// "sl: ADDRESS:PORT REMOTE:PORT STATE ...", in hexadecimal. Addresses are in
// the byte order of the machine, 32 bits at a time.
func parseListeners(text []byte) []netip.AddrPort {
	const listen = "0A"
	var found []netip.AddrPort
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 4 || string(fields[3]) != listen {
			continue
		}
		address, portText, ok := bytes.Cut(fields[1], []byte(":"))
		n, err := strconv.ParseUint(string(portText), 16, 16)
		if !ok || err != nil {
			continue
		}
		ip := make([]byte, hex.DecodedLen(len(address)))
		if _, err := hex.Decode(ip, address); err != nil || len(ip)%4 != 0 {
			continue
		}
		for word := range slices.Chunk(ip, 4) {
			binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
		}
		if a, ok := netip.AddrFromSlice(ip); ok && !slices.Contains(found, netip.AddrPortFrom(a, uint16(n))) {
			found = append(found, netip.AddrPortFrom(a, uint16(n)))
		}
	}
	return found
}
