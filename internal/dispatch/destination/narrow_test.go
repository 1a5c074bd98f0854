package destination

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestCheckHonoursDenyAndOnly(t *testing.T) {
	t.Parallel()
	exempt := Target{Nameservers: addrs("10.96.0.10", "169.254.20.10"), Gateways: addrs("10.9.0.1", "169.254.1.1", "192.0.2.1")}
	policy := Policy{
		Deny:   prefixes(t, "10.1.0.0/16", "192.0.2.0/24", "203.0.113.7"),
		Only:   prefixes(t, "10.0.0.0/12", "169.254.0.0/16", "64:ff9b::/96", "203.0.113.0/24"),
		Except: prefixes(t, "169.254.169.254", "203.0.113.7", "64:ff9b::/96"),
	}
	for _, c := range []struct{ address, reason string }{
		{"10.0.0.1:80", ""},
		{"10.1.2.3:80", "in 10.1.0.0/16, which the operator denies"},
		{"[::ffff:10.1.2.3]:80", "in 10.1.0.0/16, which the operator denies"},
		{"10.96.0.10:80", "outside of what the operator allows"},
		{"10.96.0.10:53", ""}, // the target's own name server
		{"10.9.0.1:80", ""},   // listed, not for being a gateway
		{"192.0.2.1:80", "in 192.0.2.0/24, which the operator denies"}, // even as its gateway
		{"203.0.113.7:80", "in 203.0.113.7/32, which the operator denies"},
		{"203.0.113.8:80", ""},
		{"8.8.8.8:53", "outside of what the operator allows"},
		{"[2001:db8::1]:80", "outside of what the operator allows"},
		{"169.254.169.254:80", ""},
		{"169.254.7.7:80", "link-local"}, // Only makes no exception
		{"169.254.1.1:80", "link-local"}, // no gateway counts under a list
		{"[64:ff9b::a00:1]:80", ""},
		{"[64:ff9b::169.254.7.7]:80", ""}, // excepted in this form
		{"[64:ff9b::10.1.2.3]:80", "in 10.1.0.0/16, which the operator denies"},
	} {
		got := ""
		if err := policy.Check(netip.MustParseAddrPort(c.address), exempt); err != nil {
			got = err.Error()
		}
		if (got == "") != (c.reason == "") || !strings.HasSuffix(got, c.reason) {
			t.Errorf("%s: %q, want %q", c.address, got, c.reason)
		}
	}
	if (Policy{Only: []netip.Prefix{}}).Check(netip.MustParseAddrPort("10.0.0.1:80"), Target{}) == nil {
		t.Error("a list without members allows something")
	}
}

// Whatever two policies say, their common part allows an address only if both
// do.
func TestNarrowOnlyNarrows(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	pool := prefixes(t, "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1", "169.254.0.0/16", "169.254.169.254", "::/0", "2001:db8::/32", "fe80::/10", "fd00:ec2::254")
	some := func() []netip.Prefix {
		if r.IntN(3) == 0 {
			return nil
		}
		list := []netip.Prefix{}
		for _, p := range pool {
			if r.IntN(4) == 0 {
				list = append(list, p)
			}
		}
		return list
	}
	addresses := addrs("10.1.1.1", "10.1.1.2", "10.1.2.1", "10.2.0.0", "11.0.0.0", "169.254.169.254", "169.254.1.1", "2001:db8::1", "2001:db9::1", "fe80::1", "fd00:ec2::254", "fd00::1")
	allowed := 0
	for range 5000 {
		p := Policy{Deny: some(), Only: some(), Except: some()}
		q := Policy{Deny: some(), Only: some(), Except: some()}
		both := p.Narrow(q)
		if q.Except == nil {
			q.Except = p.Except
		}
		for _, a := range addresses {
			to := netip.AddrPortFrom(a, 80)
			inP, inQ, inBoth := p.Check(to, Target{}) == nil, q.Check(to, Target{}) == nil, both.Check(to, Target{}) == nil
			if inBoth != (inP && inQ) {
				t.Fatalf("%s: %v by %+v, %v by %+v, but %v by %+v", a, inP, p, inQ, q, inBoth, both)
			}
			if inBoth {
				allowed++
			}
			if why := p.Refuses(netip.PrefixFrom(a, a.BitLen())); (why == "") != inP {
				t.Fatalf("%s: refused because %q, allowed %v by %+v", a, why, inP, p)
			}
		}
	}
	if allowed == 0 {
		t.Error("nothing was ever allowed")
	}
}

func TestParsePrefix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.0.0.1": "10.0.0.1/32", "::1": "::1/128", "::ffff:10.0.0.1": "10.0.0.1/32", "2001:db8::/32": "2001:db8::/32",
	} {
		if got, err := ParsePrefix(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10.0.0.1/8", "10.0.0.0/33", "example.com", "fe80::1%eth0", "::ffff:10.0.0.0/104", "010.0.0.1"} {
		if got, err := ParsePrefix(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if got := List(prefixes(t, "10.0.0.0/8", "::1")); got != "10.0.0.0/8, ::1" {
		t.Error(got)
	}
}

func prefixes(t *testing.T, texts ...string) []netip.Prefix {
	t.Helper()
	var list []netip.Prefix
	for _, text := range texts {
		p, err := ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return slices.Clip(list)
}
