package lookup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"nsenter-mcp/tools/fact"
)

// maxData bounds the data of a record; a record has up to 65535 bytes.
const maxData = 2048

// newRecord shows a record. The fields of the types that services are found by
// are names and numbers; everything else is free text.
func newRecord(rr dns.RR) fact.DNSRecord {
	h := rr.Header()
	r := fact.DNSRecord{Name: withoutBlanks(h.Name), Type: TypeName(h.Rrtype), TTL: h.Ttl}
	data := strings.TrimPrefix(rr.String(), h.String())
	switch rr := rr.(type) {
	case *dns.CNAME, *dns.DNAME, *dns.NS, *dns.PTR, *dns.MX, *dns.SRV, *dns.SOA, *dns.A, *dns.AAAA:
		if data = withoutBlanks(data); !strings.ContainsFunc(data, func(c rune) bool { return c < ' ' || c > '~' || c == '\\' }) {
			r.Data = data
			return r
		}
	case *dns.RFC3597: // of a type without a name
		data = fmt.Sprintf(`\# %d %s`, len(rr.Rdata)/2, rr.Rdata)
	}
	r.Untrusted.Data = printable(data, maxData)
	return r
}

// printable escapes what is not printable ASCII as \DDD and cuts the text.
func printable(s string, limit int) string {
	var b strings.Builder
	for i := range len(s) {
		if b.Len() >= limit {
			b.WriteString("...")
			break
		}
		if c := s[i]; c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\%03d`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// TypeName is the name of a record type, or TYPEnnn (RFC 3597).
func TypeName(t uint16) string { return dns.Type(t).String() }

// ParseType reads the name of a record type that can be asked for: an IANA name
// or TYPEnnn.
func ParseType(name string) (uint16, bool) {
	name = strings.ToUpper(strings.TrimSpace(name))
	t, ok := dns.StringToType[name]
	if number, found := strings.CutPrefix(name, "TYPE"); !ok && found {
		n, err := strconv.ParseUint(number, 10, 16)
		t, ok = uint16(n), err == nil
	}
	switch t {
	// Not types of data: they ask for a transfer, or sign and extend messages.
	case dns.TypeNone, dns.TypeOPT, dns.TypeTKEY, dns.TypeTSIG, dns.TypeIXFR, dns.TypeAXFR, dns.TypeReserved:
		return 0, false
	}
	return t, ok
}

// ReverseName is the name under which the PTR record of an address stands.
func ReverseName(address string) (string, bool) {
	ip, ok := addressLiteral(address)
	if !ok {
		return "", false
	}
	name, err := dns.ReverseAddr(ip.WithZone("").Unmap().String())
	return name, err == nil
}
