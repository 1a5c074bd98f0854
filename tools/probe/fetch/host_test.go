package fetch

import (
	"net/netip"
	"testing"
)

func TestParseHost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"example.com":         "example.com",
		"EXAMPLE.com.":        "example.com",
		"_sip._tcp.test":      "_sip._tcp.test",
		"bücher.test":         "xn--bcher-kva.test",
		"10.0.0.1":            "10.0.0.1",
		"10.0.0.1.":           "10.0.0.1",
		"2130706433":          "127.0.0.1",
		"0x7f000001":          "127.0.0.1",
		"0X7F.1":              "127.0.0.1",
		"0177.0.0.1":          "127.0.0.1",
		"127.1":               "127.0.0.1",
		"10.0.258":            "10.0.1.2",
		"0":                   "0.0.0.0",
		"4294967295":          "255.255.255.255",
		"１２７.0.0.1":           "127.0.0.1",
		"127。0。0。1":           "127.0.0.1",
		"::1":                 "::1",
		"fe80::1%eth0":        "fe80::1%eth0",
		"::ffff:10.0.0.1":     "::ffff:10.0.0.1",
		"1.2.3.4.5":           "1.2.3.4.5", // a name, as inet_aton has it
		"256.0.0.1":           "256.0.0.1",
		"4294967296":          "4294967296",
		"08.0.0.1":            "08.0.0.1",
		"1_0.0.0.1":           "1_0.0.0.1",
		"0o17.0.0.1":          "0o17.0.0.1",
		"kubernetes.default":  "kubernetes.default",
		"-leading.dash.test":  "-leading.dash.test",
		"a.b-c.d--e.test":     "a.b-c.d--e.test",
		"xn--bcher-kva.test.": "xn--bcher-kva.test",
	} {
		h, err := parseHost(text)
		if err != nil || h.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, h, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "a..b", "a b", "a\x00b", "a/b", "::g", "1::2::3", "+1.0.0.1", "a\u202eb.test",
		string(make([]byte, 300)), "exa\nmple.com", "a%b", "ü\u202e.test",
	} {
		if h, err := parseHost(text); err == nil {
			t.Errorf("%q was taken for %s", text, h)
		}
	}
}

// FuzzParseHost: what is taken for an address is one, and what is taken for a
// name cannot be read as an address by whoever looks it up.
func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{"127.1", "0x7f.0.0.1", "example.com", "fe80::1%eth0", "１.２.３.４", "bücher.test"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHost(text)
		if err != nil {
			return
		}
		if h.addr.IsValid() {
			return
		}
		if _, err := netip.ParseAddr(h.name); err == nil {
			t.Errorf("%q became the name %q", text, h.name)
		}
		if err := checkName(h.name); err != nil {
			t.Errorf("%q became the name %q: %v", text, h.name, err)
		}
		again, err := parseHost(h.name)
		if err != nil || again != h {
			t.Errorf("%q became %q and then %q, %v", text, h, again, err)
		}
	})
}
