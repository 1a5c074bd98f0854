package destination

import (
	"errors"
	"net/netip"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	exempt := Target{
		Nameservers: addrs("169.254.20.10", "169.254.169.254", "fe80::53%eth0"),
		Gateways:    addrs("169.254.1.1", "fe80::1%eth0", "100.100.100.200"),
	}
	for _, c := range []struct {
		address string
		allowed bool
	}{
		{"10.0.0.1:80", true},
		{"127.0.0.1:80", true},
		{"[::1]:80", true},
		{"[::]:80", true},
		{"0.0.0.0:80", true},
		{"[2001:db8::1]:443", true},
		{"[64:ff9b::a00:1]:80", true}, // NAT64 of 10.0.0.1
		{"[::ffff:10.0.0.1]:80", true},
		{"[2002:a00:1::1]:80", true},
		{"169.254.169.252:80", false},
		{"169.254.42.42:80", false},
		{"169.254.0.23:80", false},
		{"[fd00:ec2::1234]:80", false},
		{"[fd00:c1::a9fe:a9fe]:80", false},
		{"[fd00:a9fe:a9fe::1]:80", false},
		{"[fd00:100::100:200]:80", false},
		{"100.96.0.96:80", false},
		{"100.80.80.80:80", false},
		{"[64:ff9b::100.96.0.96]:80", false},
		{"224.0.0.251:53", false},
		{"[ff02::fb]:53", false},
		{"255.255.255.255:53", false},
		{"[::ffff:255.255.255.255]:53", false},
		{"192.0.0.191:80", true},

		{"169.254.169.254:80", false},
		{"169.254.170.2:80", false},
		{"100.100.100.200:80", false}, // even as a gateway
		{"192.0.0.192:80", false},
		{"168.63.129.16:80", false},
		{"168.63.129.16:32526", false},
		{"[fd00:ec2::254]:80", false},
		{"[fd00:ec2::23]:80", false},
		{"[fd20:ce::254]:80", false},
		{"169.254.0.1:80", false},
		{"[fe80::2%eth0]:80", false},
		{"[fe80::2]:80", false},
		{"[::ffff:169.254.169.254]:80", false},
		{"[::169.254.169.254]:80", false},
		{"[::ffff:0:169.254.169.254]:80", false},
		{"[64:ff9b::169.254.169.254]:80", false},
		{"[64:ff9b::a9fe:a9fe]:80", false},
		{"[64:ff9b:1::169.254.169.254]:80", false},
		{"[64:ff9b:1:a9fe:a9:fe00::]:80", false},   // prefix of 48 bits
		{"[64:ff9b:1:00a9:00fe:a9fe::]:80", false}, // 56 bits
		{"[64:ff9b:1:0:a9:fea9:fe00:0]:80", false}, // 64 bits
		{"[2002:a9fe:a9fe::1]:80", false},
		{"[2001:0:a9fe:a9fe::]:80", false},             // Teredo server
		{"[2001:0:102:304:0:0:5601:5601]:80", false},   // Teredo client
		{"[2001:db8::5efe:169.254.169.254]:80", false}, // ISATAP
		{"[2001:db8::200:5efe:169.254.169.254]:80", false},

		{"169.254.20.10:53", true}, // the target's nameservers
		{"169.254.169.254:53", true},
		{"169.254.20.10:80", false},
		{"[fe80::53]:53", true},
		{"169.254.1.1:80", true}, // the target's gateways
		{"[fe80::1%eth1]:443", true},
		{"[::ffff:169.254.1.1]:80", true},
	} {
		err := Policy{}.Check(netip.MustParseAddrPort(c.address), exempt)
		if allowed := err == nil; allowed != c.allowed {
			t.Errorf("%s: allowed = %v, want %v (%v)", c.address, allowed, c.allowed, err)
		}
		var denied *DeniedError
		if err != nil && !errors.As(err, &denied) {
			t.Errorf("%s: %T is no DeniedError", c.address, err)
		}
	}
}

func TestCheckHonoursWhatTheOperatorAllows(t *testing.T) {
	t.Parallel()
	policy := Policy{Except: []netip.Prefix{
		netip.MustParsePrefix("169.254.169.254/32"),
		netip.MustParsePrefix("64:ff9b::/96"),
	}}
	for address, allowed := range map[string]bool{
		"169.254.169.254:80":            true,
		"[::ffff:169.254.169.254]:80":   true,
		"[2002:a9fe:a9fe::1]:80":        true, // stands for an address that is allowed
		"[64:ff9b::100.100.100.200]:80": true, // allowed in this form
		"100.100.100.200:80":            false,
		"169.254.169.253:80":            false,
	} {
		if err := policy.Check(netip.MustParseAddrPort(address), Target{}); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed = %v", address, err, allowed)
		}
	}
}

func TestLoopbackOfTheNode(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"127.0.0.1:80", "127.8.9.10:80", "0.0.0.0:80", "[::]:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[::ffff:0.0.0.0]:80",
		"[::127.0.0.1]:80", "[::ffff:0:127.0.0.1]:80", "[64:ff9b::127.0.0.1]:80", "[64:ff9b::]:80", "[2002:7f00:1::]:80",
	} {
		to := netip.MustParseAddrPort(address)
		var denied *DeniedError
		if err := (Policy{}).Check(to, Target{Host: true}); !errors.As(err, &denied) || denied.Reason != "loopback of the node" {
			t.Errorf("%s from the node's network: %v, want a refusal for being loopback", address, err)
		}
		if err := (Policy{HostLoopback: true}).Check(to, Target{Host: true}); err != nil {
			t.Errorf("%s where the operator allows it: %v", address, err)
		}
		if err := (Policy{}).Check(to, Target{}); err != nil {
			t.Errorf("%s in a network of its own: %v", address, err)
		}
		deny := Policy{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
		if err := deny.Check(to, Target{}); err == nil {
			t.Errorf("%s where the operator denies loopback is allowed", address)
		}
	}
	// A translator's own prefix, where most places of an address hold none.
	for address, allowed := range map[string]bool{"[64:ff9b:1::10.0.0.1]:80": true, "[64:ff9b:1::127.0.0.1]:80": false} {
		if err := (Policy{}).Check(netip.MustParseAddrPort(address), Target{Host: true}); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
	resolver := Target{Host: true, Nameservers: addrs("127.0.0.53")}
	if err := (Policy{}).Check(netip.MustParseAddrPort("127.0.0.53:53"), resolver); err != nil {
		t.Errorf("the node's own nameserver: %v", err)
	}
	if err := (Policy{}).Check(netip.MustParseAddrPort("127.0.0.53:80"), resolver); err == nil {
		t.Error("another port of the node's own nameserver is allowed")
	}
}

func TestAListOfDestinationsKnowsNoGateways(t *testing.T) {
	t.Parallel()
	target := Target{Gateways: addrs("10.0.0.1", "169.254.1.1")}
	policy := Policy{Only: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("169.254.1.1/32")}}
	for _, address := range []string{"10.0.0.1:80", "169.254.1.1:80"} {
		if err := policy.Check(netip.MustParseAddrPort(address), target); err == nil {
			t.Errorf("%s is allowed for being a gateway", address)
		}
	}
}

func TestDeniedErrorNamesBothAddresses(t *testing.T) {
	t.Parallel()
	err := Policy{}.Check(netip.MustParseAddrPort("[64:ff9b::a9fe:a9fe]:80"), Target{})
	const want = "64:ff9b::a9fe:a9fe stands for 169.254.169.254, which is a cloud's metadata service"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// FuzzCheck: however an IPv4 address is wrapped, the wrapped form is refused
// where the bare one is.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{169, 254, 169, 254}, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{10, 0, 0, 1}, make([]byte, 12))
	f.Fuzz(func(t *testing.T, inner, rest []byte) {
		if len(inner) != 4 || len(rest) != 12 {
			return
		}
		ip4 := netip.AddrFrom4([4]byte(inner))
		if (Policy{}).Check(netip.AddrPortFrom(ip4, 80), Target{}) == nil {
			return
		}
		for _, prefix := range []string{"::ffff:0.0.0.0", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0"} {
			b := netip.MustParseAddr(prefix).As16()
			copy(b[12:], inner)
			if err := (Policy{}).Check(netip.AddrPortFrom(netip.AddrFrom16(b), 80), Target{}); err == nil {
				t.Errorf("%s is allowed", netip.AddrFrom16(b))
			}
		}
		b := [16]byte{0x20, 0x02}
		copy(b[2:], inner)
		copy(b[6:], rest[:10])
		if err := (Policy{}).Check(netip.AddrPortFrom(netip.AddrFrom16(b), 80), Target{}); err == nil {
			t.Errorf("%s is allowed", netip.AddrFrom16(b))
		}
	})
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}
