package lookup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const hostsFile = `# 192.0.2.1 commented
127.0.0.1	localhost
::1	localhost ip6-localhost
192.0.2.10  web web.example Alias # trailing
2001:db8::10 web
192.0.2.11 web

::ffff:192.0.2.12 mapped
010.0.0.1 octal
fe80::1%eth0 zoned
192.0.2.13
 192.0.2.14 indented
`

func TestHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flavour Flavour
		name    string
		want    family
		multi   string
		found   []string
	}{
		{Glibc, "web", anyFamily, "multi on", []string{"192.0.2.10", "2001:db8::10", "192.0.2.11"}},
		{Glibc, "web", anyFamily, "", []string{"192.0.2.10"}},
		{Glibc, "web", anyFamily, "multi off\n", []string{"192.0.2.10"}},
		{Glibc, "WEB.example", anyFamily, "", []string{"192.0.2.10"}},
		{Glibc, "alias", onlyIPv4, "multi on", []string{"192.0.2.10"}},
		{Glibc, "web", onlyIPv6, "", []string{"2001:db8::10"}},
		{Glibc, "localhost", onlyIPv4, "multi on", []string{"127.0.0.1", "127.0.0.1"}},
		{Glibc, "ip6-localhost", onlyIPv4, "", []string{"127.0.0.1"}},
		{Glibc, "mapped", onlyIPv4, "", []string{"192.0.2.12"}},
		{Glibc, "web.", anyFamily, "", nil},
		{Glibc, "commented", anyFamily, "", nil},
		{Glibc, "trailing", anyFamily, "", nil},
		{Glibc, "octal", anyFamily, "", nil},
		{Glibc, "zoned", anyFamily, "", nil},
		{Glibc, "indented", anyFamily, "", []string{"192.0.2.14"}},
		{Glibc, "eb", anyFamily, "", nil},
		{Musl, "web", anyFamily, "", []string{"192.0.2.10", "2001:db8::10", "192.0.2.11"}},
		{Musl, "WEB", anyFamily, "", nil},
		{Musl, "Alias", anyFamily, "", []string{"192.0.2.10"}},
		{Musl, "octal", anyFamily, "", []string{"8.0.0.1"}},
		{Musl, "zoned", onlyIPv6, "", []string{"fe80::1%eth0"}},
		{Go, "Web.Example.", anyFamily, "", []string{"192.0.2.10"}},
		{Go, "web.", anyFamily, "", nil},
		{Go, "web", onlyIPv6, "", []string{"2001:db8::10"}},
		{Go, "octal", anyFamily, "", nil},
		{Go, "zoned", anyFamily, "", []string{"fe80::1%eth0"}},
	} {
		t.Run(fmt.Sprintf("%s %s %d", c.flavour, c.name, c.want), func(t *testing.T) {
			t.Parallel()
			sources := Sources{Hosts: []byte(hostsFile), HostConf: []byte(c.multi)}
			var want, got []netip.Addr
			for _, a := range c.found {
				want = append(want, netip.MustParseAddr(a))
			}
			if entry := libraries(c.flavour)[0].hosts(&sources, c.name, c.want); entry != nil {
				got = entry.addresses
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestMuslMissesTheLastWord(t *testing.T) {
	t.Parallel()
	for file, found := range map[string]bool{
		"192.0.2.1 web":                         false,
		"192.0.2.1 web\n":                       true,
		"192.0.2.1 web other":                   true,
		"192.0.2.1 web#":                        true,
		strings.Repeat("x", 600) + " web\n":     false,
		"192.0.2.1 " + strings.Repeat("y", 600): false,
	} {
		if got := muslHosts(&Sources{Hosts: []byte(file)}, "web", anyFamily) != nil; got != found {
			t.Errorf("%.40q: found = %v", file, got)
		}
	}
}

// TestLongHosts: lists that block a million names are in use.
func TestLongHosts(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&b, "0.0.0.0 ads%d.example\n", i)
	}
	b.WriteString("192.0.2.1 wanted.example\n")
	sources := Sources{Hosts: []byte(b.String()), HostConf: []byte("multi on")}
	start := time.Now()
	for _, lib := range libraries(Glibc) {
		entry := lib.hosts(&sources, "wanted.example", anyFamily)
		if entry == nil || entry.line != 200_001 {
			t.Errorf("%s: %+v", lib.flavour, entry)
		}
	}
	if d := time.Since(start); d > soon {
		t.Errorf("three times 200,001 lines took %v", d)
	}
}

func FuzzHosts(f *testing.F) {
	f.Add(hostsFile, "web", "multi on")
	f.Add("192.0.2.1 a\x00b", "a", "")
	f.Fuzz(func(t *testing.T, file, name, hostConf string) {
		if CheckName(name) != nil {
			return
		}
		for _, lib := range libraries(Glibc) {
			for _, want := range []family{anyFamily, onlyIPv4, onlyIPv6} {
				entry := lib.hosts(&Sources{Hosts: []byte(file), HostConf: []byte(hostConf)}, name, want)
				if entry == nil {
					continue
				}
				for _, ip := range entry.addresses {
					if !ip.IsValid() || want == onlyIPv6 && ip.Unmap().Is4() && lib.flavour == Go {
						t.Fatalf("%s: address %v", lib.flavour, ip)
					}
				}
			}
		}
	})
}
