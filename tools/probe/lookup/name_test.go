package lookup

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"web": true, "web.": true, "_sip._tcp.example.com": true, ".": true, "a*b": true, "10.0.0.1": true, "fe80::1%eth0": true,
		"127.1": true, "10": true, `a\.b`: true, strings.Repeat("a", 63): true, strings.Repeat("a.", 126) + "a": true,
		"": false, "a..b": false, ".a": false, "http://a/": false, "a b": false, "a\nb": false, "bücher.example": false, "web:80": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 127) + "a": false, "a\x7fb": false, "..": false, "a/b": true,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAbsolute(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"web": "web.", "web.": "web.", ".": ".", "a\x07b": `a\007b.`, "a b": `a\032b.`, `a\\ b`: `a\\\032b.`, "ü": `\195\188.`, `a\046b`: `a\.b.`,
		"": "", "a..b": "", ".a": "", strings.Repeat("a", 64): "",
	} {
		if got, ok := absolute(name); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 120) + "b"
	for _, c := range []struct {
		title              string
		name               string
		search             string
		ndots              int
		noTLD, off         bool
		glibc, musl, golan string // names without the final dot
	}{
		{title: "below ndots", name: "web", search: "x y", ndots: 5, glibc: "web.x web.y web", musl: "web.x web.y web", golan: "web.x web.y web"},
		{title: "enough dots", name: "a.b", search: "x y", ndots: 1, glibc: "a.b a.b.x a.b.y", musl: "a.b", golan: "a.b a.b.x a.b.y"},
		{title: "final dot", name: "web.", search: "x y", ndots: 5, glibc: "web", musl: "web", golan: "web"},
		{title: "search off", name: "web", search: "x y", ndots: 5, off: true, glibc: "web", musl: "web", golan: "web"},
		{title: "no list", name: "web", ndots: 5, glibc: "web", musl: "web", golan: "web"},
		{title: "root in the list", name: "web", search: "x . y", ndots: 5, glibc: "web.x web web.y", musl: "web.x web.y web", golan: "web.x web.y web"},
		{title: "no top level", name: "web", search: "x", ndots: 5, noTLD: true, glibc: "web.x", musl: "web.x web", golan: "web.x web"},
		{title: "no top level, a dot", name: "a.b", search: "x", ndots: 5, noTLD: true, glibc: "a.b.x a.b", musl: "a.b.x a.b", golan: "a.b.x a.b"},
		{title: "domain that does not fit", name: long, search: "cccccccccccccccccc x", ndots: 200, glibc: " " + long + ".x " + long, musl: long + ".x " + long, golan: long + ".x " + long},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			conf := Conf{Search: strings.Fields(c.search), Ndots: c.ndots, Flags: map[string]bool{noTLDQuery: c.noTLD}}
			for flavour, want := range map[Flavour]string{Glibc: c.glibc, Musl: c.musl, Go: c.golan} {
				p := libraries(flavour)[0].plan(&conf, c.name, !c.off)
				var got []string
				for _, n := range p.candidates() {
					got = append(got, strings.TrimSuffix(n.name, "."))
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%s: %q, want %q", flavour, got, want)
				}
			}
		})
	}
}

func TestPlanIsBounded(t *testing.T) {
	t.Parallel()
	conf := Conf{Search: strings.Fields(strings.Repeat("x ", 1000)), Ndots: 5}
	for _, lib := range libraries(Glibc) {
		p := lib.plan(&conf, "web", true)
		if n := len(p.candidates()); n != MaxNames || p.skipped != 1000-(MaxNames-1) {
			t.Errorf("%s: %d names, %d skipped", lib.flavour, n, p.skipped)
		}
	}
}

func TestInetAton(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "10.1": "10.0.0.1", "10.1.2": "10.1.0.2", "1": "0.0.0.1", "0x7f.1": "127.0.0.1", "0X7F000001": "127.0.0.1",
		"017700000001": "127.0.0.1", "4294967295": "255.255.255.255", "0": "0.0.0.0", "1.2.3.0x4": "1.2.3.4",
		"": "", "a": "", "1.2.3.4.5": "", "256.1": "", "1.2.3.256": "", "1.2.65536": "", "4294967296": "", "1..2": "", "1.": "", "-1": "", "+1": "",
		"1.2.3.4 ": "", "0x": "", "08": "", "1_0": "", "1.2.3.4\r": "", "0x1_0": "",
	} {
		ip, ok := InetAton(in)
		if ok != (want != "") || ok && ip != netip.MustParseAddr(want) {
			t.Errorf("%q: %v, %v; want %q", in, ip, ok, want)
		}
	}
}

func TestReverseName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.1.2.3": "3.2.1.10.in-addr.arpa.", "::ffff:10.1.2.3": "3.2.1.10.in-addr.arpa.", "web": "",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", "fe80::1%eth0": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.",
	} {
		if got, ok := ReverseName(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

func TestParseType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint16{
		"A": 1, "aaaa": 28, " srv ": 33, "HTTPS": 65, "SVCB": 64, "CAA": 257, "TYPE65534": 65534, "type33": 33, "ANY": 255,
		"": 0, "AXFR": 0, "IXFR": 0, "OPT": 0, "TYPE41": 0, "TYPE0": 0, "TYPE65536": 0, "TYPE": 0, "NOSUCH": 0, "TSIG": 0,
	} {
		got, ok := ParseType(in)
		if ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
}

func TestParseEnvironment(t *testing.T) {
	t.Parallel()
	local, options := ParseEnvironment([]byte("PATH=/bin\x00RES_OPTIONS=ndots:2\x00XRES_OPTIONS=x\x00LOCALDOMAIN=\x00RES_OPTIONS=second\x00"))
	if local == nil || *local != "" || options == nil || *options != "ndots:2" {
		t.Errorf("%v %v", local, options)
	}
	if local, options = ParseEnvironment(nil); local != nil || options != nil {
		t.Errorf("%v %v", local, options)
	}
}

func FuzzName(f *testing.F) {
	f.Add("web.example", "svc.cluster.local")
	f.Add(`a\.b`, `\255`)
	f.Add("\x00", "..")
	f.Fuzz(func(t *testing.T, name, domain string) {
		err := CheckName(name)
		fqdn, ok := absolute(name)
		if ok && (!strings.HasSuffix(fqdn, ".") || strings.ContainsFunc(fqdn, func(c rune) bool { return c < ' ' || c > '~' })) {
			t.Fatalf("%q became %q", name, fqdn)
		}
		if again, same := absolute(fqdn); ok && (!same || again != fqdn) {
			t.Fatalf("%q is not stable: %q", fqdn, again)
		}
		if err != nil {
			return
		}
		for _, lib := range libraries(Glibc) {
			p := lib.plan(&Conf{Search: strings.Fields(domain), Ndots: 2}, name, true)
			if len(p.candidates()) == 0 {
				t.Fatalf("%s: no names for %q", lib.flavour, name)
			}
			lib.accepts(name)
		}
	})
}
