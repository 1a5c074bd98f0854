package lookup

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// packed packs a reply to a question, with records in text.
func packed(t testing.TB, name string, qtype uint16, change func(*dns.Msg), records ...string) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.Id, m.Response, m.RecursionAvailable, m.Compress = 7, true, true, true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if change != nil {
		change(m)
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func parsed(t testing.TB, packet []byte, name string, qtype uint16) *Message {
	t.Helper()
	m := readAnswer(packet, 7, name, qtype)
	if m == nil {
		t.Fatalf("%x does not answer %s", packet, name)
	}
	return m
}

func TestMessageAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		title         string
		qtype         uint16
		records       []string
		taken, loose  string
		aliases       string
		matching, ttl int
	}{
		{title: "plain", qtype: typeA, records: []string{"a.example. 30 A 192.0.2.1", "a.example. 20 A 192.0.2.2"}, taken: "192.0.2.1 192.0.2.2", loose: "192.0.2.1 192.0.2.2", matching: 2, ttl: 20},
		{title: "chain", qtype: typeA, records: []string{"a.example. 5 CNAME b.example.", "b.example. 60 CNAME c.example.", "c.example. 30 A 192.0.2.1"},
			taken: "192.0.2.1", loose: "192.0.2.1", aliases: "b.example. c.example.", matching: 1, ttl: 5},
		{title: "case does not matter", qtype: typeA, records: []string{"A.EXAMPLE. 30 A 192.0.2.1"}, taken: "192.0.2.1", loose: "192.0.2.1", matching: 1, ttl: 30},
		{title: "another owner", qtype: typeA, records: []string{"b.example. 30 A 192.0.2.1"}, loose: "192.0.2.1", matching: 1, ttl: 30},
		{title: "chain out of order", qtype: typeA, records: []string{"b.example. 30 A 192.0.2.1", "a.example. 30 CNAME b.example."}, loose: "192.0.2.1", aliases: "b.example.", matching: 1, ttl: 30},
		{title: "loop", qtype: typeA, records: []string{"a.example. 30 CNAME b.example.", "b.example. 30 CNAME a.example."}, aliases: "b.example. a.example.", ttl: 30},
		{title: "other type", qtype: typeA, records: []string{"a.example. 30 AAAA 2001:db8::1"}, ttl: -1},
		{title: "AAAA", qtype: typeAAAA, records: []string{"a.example. 30 AAAA 2001:db8::1"}, taken: "2001:db8::1", loose: "2001:db8::1", matching: 1, ttl: 30},
		{title: "nothing", qtype: typeA, ttl: -1},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			m := parsed(t, packed(t, "a.example.", c.qtype, nil, c.records...), "a.example.", c.qtype)
			if got := join(m.Addresses); got != c.taken {
				t.Errorf("addresses %q, want %q", got, c.taken)
			}
			if got := join(m.Loose); got != c.loose {
				t.Errorf("loose addresses %q, want %q", got, c.loose)
			}
			if got := strings.Join(m.Aliases, " "); got != c.aliases {
				t.Errorf("aliases %q, want %q", got, c.aliases)
			}
			if m.Matching != c.matching || m.TTL != c.ttl || m.Malformed {
				t.Errorf("matching %d, TTL %d, malformed %v", m.Matching, m.TTL, m.Malformed)
			}
		})
	}
}

func join(list []netip.Addr) string {
	var texts []string
	for _, ip := range list {
		texts = append(texts, ip.String())
	}
	return strings.Join(texts, " ")
}

func TestMessageDenial(t *testing.T) {
	t.Parallel()
	packet := packed(t, "a.example.", typeA, func(m *dns.Msg) {
		m.Rcode = dns.RcodeNameError
		soa, err := dns.NewRR("example. 900 SOA ns.example. admin.example. 1 2 3 4 60")
		if err != nil {
			t.Fatal(err)
		}
		m.Ns = []dns.RR{soa}
	})
	m := parsed(t, packet, "a.example.", typeA)
	if m.Rcode != rcodeNXDomain || m.Zone != "example." || m.NegativeTTL != 60 || m.failure() != OutcomeNXDomain {
		t.Errorf("%+v", m)
	}
}

func TestMessageRecords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a.example. 30 MX 10 mail.example.":                         "10 mail.example.",
		"a.example. 30 SRV 0 5 5060 sip.example.":                   "0 5 5060 sip.example.",
		"a.example. 30 NS ns.example.":                              "ns.example.",
		"a.example. 30 PTR b.example.":                              "b.example.",
		"a.example. 30 CNAME b.example.":                            "b.example.",
		"a.example. 30 SOA ns.example. ad.example. 1 2 3 4 5":       "ns.example. ad.example. 1 2 3 4 5",
		`a.example. 30 TXT "v=spf1 -all" "\027[31mred\"\195\188"`:   `!"v=spf1 -all" "\027[31mred\"\195\188"`,
		`a.example. 30 CAA 0 issue "ca.example"`:                    `!0 issue "ca.example"`,
		`a.example. 30 HTTPS 1 . alpn="h2,h3" ipv4hint="192.0.2.1"`: `!1 . alpn="h2,h3" ipv4hint="192.0.2.1"`,
		`a.example. 30 TYPE65280 \# 4 0a000001`:                     `!\# 4 0a000001`,
		`a.example. 30 HINFO "x\000y" "z"`:                          `!"x\000y" "z"`,
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m := parsed(t, packed(t, "a.example.", rr.Header().Rrtype, nil, text), "a.example.", rr.Header().Rrtype)
		if len(m.Records) != 1 {
			t.Errorf("%s: %+v", text, m)
			continue
		}
		data, free := strings.CutPrefix(want, "!")
		if r := m.Records[0]; r.Data+r.Untrusted.Data != data || (r.Untrusted.Data != "") != free || r.Name != "a.example." || r.TTL != 30 {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	good := packed(t, "a.example.", typeA, nil)
	for title, c := range map[string]struct {
		packet []byte
		want   bool
	}{
		"good":            {good, true},
		"other case":      {packed(t, "A.Example.", typeA, nil), true},
		"other name":      {packed(t, "b.example.", typeA, nil), false},
		"longer name":     {packed(t, "a.example.org.", typeA, nil), false},
		"other type":      {packed(t, "a.example.", typeAAAA, nil), false},
		"other class":     {packed(t, "a.example.", typeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), false},
		"two questions":   {packed(t, "a.example.", typeA, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), false},
		"cut question":    {good[:len(good)-1], false},
		"bare success":    {packed(t, "a.example.", typeA, func(m *dns.Msg) { m.Question = nil }), false},
		"bare refusal":    {packed(t, "a.example.", typeA, func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeRefused }), true},
		"pointer to self": {append(slices.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1), false},
	} {
		if got := readAnswer(c.packet, 7, "a.example.", typeA) != nil; got != c.want {
			t.Errorf("%s: %v", title, got)
		}
	}
	if readAnswer(good[:11], 7, "a.example.", typeA) != nil || readAnswer(good, 8, "a.example.", typeA) != nil {
		t.Error("11 bytes, or another ID, are an answer")
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	good := packed(t, "a.example.", typeA, nil, "a.example. 30 A 192.0.2.1")
	more := slices.Clone(good)
	more[7] = 9 // states nine answers
	for title, packet := range map[string][]byte{"cut": good[:len(good)-2], "fewer answers than stated": more} {
		if m := parsed(t, packet, "a.example.", typeA); !m.Malformed || m.failure() != OutcomeBadResponse {
			t.Errorf("%s: %+v", title, m)
		}
	}
	cut := slices.Clone(good[:len(good)-2])
	cut[2] |= 2 // truncated, and says so
	if m := parsed(t, cut, "a.example.", typeA); m.Malformed || !m.TC {
		t.Errorf("truncated: %+v", m)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	for _, edns := range []bool{false, true} {
		for _, ad := range []bool{false, true} {
			id, packet, err := newQuery(`a\ b.example.`, typeAAAA, edns, ad)
			if err != nil {
				t.Fatal(err)
			}
			var m dns.Msg
			if err := m.Unpack(packet); err != nil {
				t.Fatal(err)
			}
			opt := m.IsEdns0()
			if m.Id != id || !m.RecursionDesired || m.AuthenticatedData != ad || (opt != nil) != edns || len(m.Question) != 1 {
				t.Errorf("%v", &m)
			}
			if opt != nil && opt.UDPSize() != ednsSize {
				t.Errorf("EDNS size %d", opt.UDPSize())
			}
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(packed(f, "a.example.", typeA, nil, "a.example. 30 CNAME b.example.", "b.example. 30 A 192.0.2.1"), typeA)
	f.Add(packed(f, "a.example.", dns.TypeTXT, nil, `a.example. 30 TXT "x\000y"`), dns.TypeTXT)
	f.Add(packed(f, "a.example.", dns.TypeHTTPS, nil, `a.example. 30 HTTPS 1 . alpn="h2"`), dns.TypeHTTPS)
	f.Add(packed(f, "a.example.", dns.TypeSRV, nil, "a.example. 30 SRV 0 5 5060 sip.example."), dns.TypeSRV)
	f.Fuzz(func(t *testing.T, packet []byte, qtype uint16) {
		if len(packet) < 2 {
			return
		}
		m := readAnswer(packet, binary.BigEndian.Uint16(packet), "a.example.", qtype)
		if m == nil {
			return
		}
		if len(m.Addresses) > len(m.Loose) || len(m.Loose)+len(m.Records) > maxAnswers || m.TTL < -1 {
			t.Fatalf("%+v", m)
		}
		for _, r := range m.Records {
			if len(r.Data) > maxData+8 || strings.ContainsFunc(r.Data+r.Name, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Fatalf("record %q %q", r.Name, r.Data)
			}
		}
		for _, alias := range m.Aliases {
			if strings.ContainsFunc(alias, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Fatalf("alias %q", alias)
			}
		}
		m.failure()
	})
}
