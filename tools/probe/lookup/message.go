package lookup

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	// maxMessage is what the length field of DNS over TCP can state, and more
	// than a datagram can hold.
	maxMessage = 65535
	// ednsSize is what glibc says that it can receive (RESOLV_EDNS_BUFFER_SIZE).
	ednsSize = 1200
)

// query is a packed question.
type query struct {
	id     uint16
	packet []byte
}

// newQuery packs a question as the libraries do: recursion desired, one
// question, class IN. name is absolute.
func newQuery(name string, qtype uint16, edns, trustAD bool) (query, error) {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired = true
	m.AuthenticatedData = trustAD
	m.Question = []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}
	if edns {
		m.SetEdns0(ednsSize, false)
	}
	packet, err := m.Pack()
	if err != nil {
		return query{}, fmt.Errorf("pack query for %s: %w", name, err)
	}
	return query{id: m.Id, packet: packet}, nil
}

// header is the fixed part of a message (RFC 1035, section 4.1.1).
type header struct {
	id                uint16
	response          bool
	aa, tc, ra, ad    bool
	rcode             int
	qd, an, ns, extra int
}

func parseHeader(packet []byte) (header, bool) {
	if len(packet) < headerSize {
		return header{}, false
	}
	flags := binary.BigEndian.Uint16(packet[2:])
	count := func(i int) int { return int(binary.BigEndian.Uint16(packet[4+2*i:])) }
	return header{
		id:       binary.BigEndian.Uint16(packet),
		response: flags&(1<<15) != 0,
		aa:       flags&(1<<10) != 0,
		tc:       flags&(1<<9) != 0,
		ra:       flags&(1<<7) != 0,
		ad:       flags&(1<<5) != 0,
		rcode:    int(flags & 0xf),
		qd:       count(0), an: count(1), ns: count(2), extra: count(3),
	}, true
}

// answers reports whether packet, whose header is h, is about this question. A
// packet that is only a header is, where it states an error: some servers
// refuse like that.
func (h *header) answers(packet []byte, name string, qtype uint16) bool {
	if h.bare(packet) {
		return h.rcode != dns.RcodeSuccess
	}
	if h.qd != 1 {
		return false
	}
	asked, end, err := dns.UnpackDomainName(packet, headerSize)
	if err != nil || len(packet) < end+4 {
		return false
	}
	return equalFold(withoutBlanks(asked), name) &&
		binary.BigEndian.Uint16(packet[end:]) == qtype &&
		binary.BigEndian.Uint16(packet[end+2:]) == dns.ClassINET
}

// bare: the packet has no question.
func (h *header) bare(packet []byte) bool { return h.qd == 0 && len(packet) == headerSize }

// Message is an answer that belongs to a question.
type Message struct {
	Rcode  int // with the upper bits of EDNS
	AA, TC bool
	RA, AD bool
	Size   int // bytes
	// Answers is the number of answers that the header states.
	Answers int
	// Bare: nothing but a header.
	Bare bool
	// Lame: no error, no answer, and neither authority nor recursion nor anything
	// else in it. The libraries take it for a broken server.
	Lame bool
	// Malformed: the header is in order and what follows it is not.
	Malformed bool

	// Addresses are those that glibc takes: of the type asked for and owned by
	// the name that the aliases lead to. Loose are all of that type, which musl
	// and Go take.
	Addresses, Loose []netip.Addr
	// Aliases are the targets of CNAME records in their order.
	Aliases []string
	// Records are the answers of the type asked for, addresses left out.
	Records []Record
	// Matching counts the answers of the type asked for.
	Matching int
	// TTL is the smallest of the answers that count, in seconds; -1 for none.
	TTL int
	// Zone and NegativeTTL are of the SOA record that comes with a denial.
	Zone        string
	NegativeTTL int
}

// maxAnswers bounds what is kept of one message.
const maxAnswers = 1000

// parseMessage reads a packet that header.answers has let pass. It cannot fail:
// what does not parse is Malformed.
func parseMessage(packet []byte, h header, name string, qtype uint16) *Message {
	m := &Message{
		Rcode: h.rcode, AA: h.aa, TC: h.tc, RA: h.ra, AD: h.ad,
		Size: len(packet), Answers: h.an, Bare: h.bare(packet), TTL: -1,
	}
	m.Lame = h.rcode == dns.RcodeSuccess && h.an == 0 && !h.aa && !h.ra && h.extra == 0
	var full dns.Msg
	err := full.Unpack(packet)
	// Fewer records than stated is no error to the package.
	if err != nil || len(full.Answer) < h.an {
		m.Malformed = !m.TC
	}
	if err == nil {
		m.Rcode = full.Rcode
	}
	m.readAnswers(full.Answer, name, qtype)
	for _, rr := range full.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			m.Zone, m.NegativeTTL = withoutBlanks(soa.Hdr.Name), int(min(soa.Hdr.Ttl, soa.Minttl))
			break
		}
	}
	return m
}

func (m *Message) readAnswers(answers []dns.RR, name string, qtype uint16) {
	owner := name
	for _, rr := range answers[:min(len(answers), maxAnswers)] {
		h := rr.Header()
		// Glibc does not look at the owner of an alias (nss_dns/dns-host.c).
		if alias, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
			owner = withoutBlanks(alias.Target)
			if !slices.Contains(m.Aliases, owner) {
				m.Aliases = append(m.Aliases, owner)
			}
			m.lowerTTL(h.Ttl)
			continue
		}
		if h.Rrtype != qtype && qtype != dns.TypeANY {
			continue
		}
		m.Matching++
		m.lowerTTL(h.Ttl)
		ip, isAddress := recordAddress(rr)
		if !isAddress {
			m.Records = append(m.Records, newRecord(rr))
			continue
		}
		if !ip.IsValid() {
			continue
		}
		m.Loose = append(m.Loose, ip)
		if equalFold(withoutBlanks(h.Name), owner) {
			m.Addresses = append(m.Addresses, ip)
		}
	}
}

func (m *Message) lowerTTL(ttl uint32) {
	if m.TTL < 0 || int(ttl) < m.TTL {
		m.TTL = int(ttl)
	}
}

// recordAddress returns the address of an A or AAAA record; it is not valid
// where the record has none.
func recordAddress(rr dns.RR) (ip netip.Addr, isAddress bool) {
	switch rr := rr.(type) {
	case *dns.A:
		// Kept in 16 bytes by the package.
		ip, _ = netip.AddrFromSlice(rr.A.To4())
		return ip, true
	case *dns.AAAA:
		ip, _ = netip.AddrFromSlice(rr.AAAA.To16())
		return ip, true
	}
	return netip.Addr{}, false
}
