package lookup

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"nsenter-mcp/tools/fact"
)

const (
	headerSize = 12 // RFC 1035, section 4.1.1
	// ednsSize is what glibc says that it can receive (RESOLV_EDNS_BUFFER_SIZE).
	ednsSize = 1200
)

// newQuery packs a question as the libraries do: recursion desired, one
// question, class IN. name is absolute.
func newQuery(name string, qtype uint16, edns, trustAD bool) (id uint16, packet []byte, err error) {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.AuthenticatedData = trustAD
	if edns {
		m.SetEdns0(ednsSize, false)
	}
	packet, err = m.Pack()
	if err != nil {
		return 0, nil, fmt.Errorf("pack query for %s: %w", name, err)
	}
	return m.Id, packet, nil
}

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
	Records []fact.DNSRecord
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

// readAnswer reads a packet; nil where that does not answer this question. A packet
// that is only a header does, where it states an error: some servers refuse like
// that.
func readAnswer(packet []byte, id uint16, name string, qtype uint16) *Message {
	if len(packet) < headerSize || binary.BigEndian.Uint16(packet) != id {
		return nil
	}
	var full dns.Msg
	err := full.Unpack(packet) // leaves what comes before an error in place
	stated := func(section int) int { return int(binary.BigEndian.Uint16(packet[4+2*section:])) }
	m := &Message{
		Rcode: full.Rcode, AA: full.Authoritative, TC: full.Truncated, RA: full.RecursionAvailable, AD: full.AuthenticatedData,
		Size: len(packet), Answers: stated(1), Bare: stated(0) == 0 && len(packet) == headerSize, TTL: -1,
	}
	switch {
	case !full.Response || m.Bare && m.Rcode == dns.RcodeSuccess:
		return nil
	case !m.Bare && (stated(0) != 1 || len(full.Question) != 1 || !isQuestion(full.Question[0], name, qtype)):
		return nil
	}
	m.Lame = m.Rcode == dns.RcodeSuccess && m.Answers == 0 && !m.AA && !m.RA && stated(3) == 0
	// Fewer records than stated is no error to the package.
	m.Malformed = !m.TC && (err != nil || len(full.Answer) < m.Answers)
	m.readAnswers(full.Answer, name, qtype)
	for _, rr := range full.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			m.Zone, m.NegativeTTL = withoutBlanks(soa.Hdr.Name), int(min(soa.Hdr.Ttl, soa.Minttl))
			break
		}
	}
	return m
}

func isQuestion(q dns.Question, name string, qtype uint16) bool {
	return strings.EqualFold(withoutBlanks(q.Name), name) && q.Qtype == qtype && q.Qclass == dns.ClassINET
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
		if strings.EqualFold(withoutBlanks(h.Name), owner) {
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

// Question packs a question for the IPv4 addresses of an absolute name, which passes
// [CheckName]. rcode names the answer's code (RFC 6895, section 2.3); "" where a message
// answers something else.
func Question(name string) (packet []byte, rcode func(answer []byte) string, err error) {
	fqdn, ok := absolute(name)
	if !ok {
		return nil, nil, CheckName(name)
	}
	id, packet, err := newQuery(fqdn, typeA, false, false)
	return packet, func(answer []byte) string {
		if m := readAnswer(answer, id, fqdn, typeA); m != nil {
			return rcodeName(m.Rcode)
		}
		return ""
	}, err
}
