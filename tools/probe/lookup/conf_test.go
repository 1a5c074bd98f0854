package lookup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// soon is when what has to wait for nothing has ended on any machine, however busy.
const soon = 10 * time.Second

func servers(addresses ...string) []netip.AddrPort {
	var list []netip.AddrPort
	for _, a := range addresses {
		list = append(list, netip.AddrPortFrom(netip.MustParseAddr(a), dnsPort))
	}
	return list
}

func text(s string) *string { return &s }

func hostname(s string) func() string { return func() string { return s } }

func TestGlibcConf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		title   string
		file    string
		sources Sources
		servers []netip.AddrPort
		search  []string
		options string
		ignored int
	}{
		{title: "kubernetes", file: "search a.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
			servers: servers("10.96.0.10"), search: []string{"a.svc.cluster.local", "svc.cluster.local", "cluster.local"}, options: "ndots:5"},
		{title: "empty", servers: servers("127.0.0.1"), options: "ndots:1"},
		{title: "no line end", file: "nameserver 10.0.0.1", servers: servers("10.0.0.1"), options: "ndots:1"},
		{title: "four servers", file: "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
			servers: servers("10.0.0.1", "10.0.0.2", "10.0.0.3"), options: "ndots:1", ignored: 1},
		{title: "odd addresses", file: "nameserver 10.1\nnameserver 0x7f000001\nnameserver 010.0.0.1\n",
			servers: servers("10.0.0.1", "127.0.0.1", "8.0.0.1"), options: "ndots:1"},
		{title: "IPv6", file: "nameserver fd00::10\nnameserver fe80::1%eth0\nnameserver 2001:db8::1%eth0\n",
			servers: servers("fd00::10", "fe80::1%eth0", "2001:db8::1"), options: "ndots:1"},
		{title: "numeric zone", file: "nameserver 2001:db8::1%3\nnameserver fe80::1%7\n", servers: servers("2001:db8::1%3", "fe80::1%7"), options: "ndots:1"},
		{title: "names and rubbish", file: "nameserver dns.example\nnameserver\nnameserver \nnameserver 10.0.0.300\nnameserver 1.2.3.4.5\nnameserver 10.0.0.1 10.0.0.2\n",
			servers: servers("10.0.0.1"), options: "ndots:1", ignored: 4},
		{title: "DOS line ends", file: "nameserver 10.0.0.1\r\nsearch a\r\n", servers: servers("127.0.0.1"), search: []string{"a\r"}, options: "ndots:1", ignored: 1},
		{title: "leading blanks", file: " nameserver 10.0.0.1\n\tsearch a\n", servers: servers("127.0.0.1"), options: "ndots:1", ignored: 2},
		{title: "comments", file: "# nameserver 10.0.0.1\n;nameserver 10.0.0.2\nnameserver 10.0.0.3 # x\n", servers: servers("10.0.0.3"), options: "ndots:1"},
		{title: "keywords need a blank", file: "nameserver:10.0.0.1\nNAMESERVER 10.0.0.2\nnameserver\t10.0.0.3\n", servers: servers("10.0.0.3"), options: "ndots:1", ignored: 2},
		{title: "misspelt", file: "namserver 10.0.0.1\nserach a\n nameservers 10.0.0.2\noption ndots:5\n# namserver\n # namserver\nsortlist 10.0.0.0/8\nrubbish\n\n \n",
			servers: servers("127.0.0.1"), options: "ndots:1", ignored: 4},
		{title: "NUL ends a line", file: "nameserver 10.0.0.1\x00garbage\nsearch a\x00b\n", servers: servers("10.0.0.1"), search: []string{"a"}, options: "ndots:1"},
		{title: "last search wins", file: "search a b\ndomain c d\nsearch e \t f\t\n", servers: servers("127.0.0.1"), search: []string{"e", "f"}, options: "ndots:1"},
		{title: "domain takes one word", file: "search a b\ndomain c d\n", servers: servers("127.0.0.1"), search: []string{"c"}, options: "ndots:1"},
		{title: "empty search is none", file: "search a\nsearch \nsearch\ndomain \n", servers: servers("127.0.0.1"), search: []string{"a"}, options: "ndots:1"},
		{title: "limits", file: "options ndots:99 timeout:99 attempts:99\n", servers: servers("127.0.0.1"), options: "ndots:15 timeout:30 attempts:5"},
		{title: "odd numbers", file: "options ndots:x timeout:0 attempts:-3\n", servers: servers("127.0.0.1"), options: "ndots:0 timeout:1 attempts:0"},
		{title: "negative ndots", file: "options ndots:-1\n", servers: servers("127.0.0.1"), options: "ndots:15"},
		{title: "flags", file: "options rotate edns0 single-request use-vc\noptions no-aaaa trust-ad no-tld-query strict-error single-request-reopen\n",
			servers: servers("127.0.0.1"), options: "ndots:1 rotate single-request single-request-reopen edns0 use-vc no-aaaa no-tld-query trust-ad strict-error"},
		{title: "flags are prefixes, and can be taken back", file: "options rotate-please single-request-reopen-x no_tld_query edns0 -edns0 debug\n",
			servers: servers("127.0.0.1"), options: "ndots:1 rotate single-request-reopen no-tld-query"},
		{title: "domain of the host", sources: Sources{Hostname: hostname("web-0.shop.example")}, servers: servers("127.0.0.1"), search: []string{"shop.example"}, options: "ndots:1"},
		{title: "search beats the host's domain", file: "search a\n", sources: Sources{Hostname: hostname("web.example")}, servers: servers("127.0.0.1"), search: []string{"a"}, options: "ndots:1"},
		{title: "LOCALDOMAIN", file: "search a\noptions ndots:2\n", sources: Sources{LocalDomain: text("b c\nd"), ResOptions: text("ndots:7 rotate")},
			servers: servers("127.0.0.1"), search: []string{"b", "c"}, options: "ndots:7 rotate"},
		{title: "empty LOCALDOMAIN", file: "search a\n", sources: Sources{LocalDomain: text(""), Hostname: hostname("x.y")}, servers: servers("127.0.0.1"), options: "ndots:1"},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			c.sources.ResolvConf = []byte(c.file)
			got := glibcConf(&c.sources)
			if !slices.Equal(got.Servers, c.servers) {
				t.Errorf("servers %v, want %v", got.Servers, c.servers)
			}
			if !slices.Equal(got.Search, c.search) {
				t.Errorf("search %q, want %q", got.Search, c.search)
			}
			if options := strings.Join(got.Options(), " "); options != c.options {
				t.Errorf("options %q, want %q", options, c.options)
			}
			if got.IgnoredTotal != c.ignored {
				t.Errorf("%d lines ignored, want %d: %v", got.IgnoredTotal, c.ignored, got.Ignored)
			}
		})
	}
}

func TestMuslConf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		title, file string
		servers     []netip.AddrPort
		search      []string
		options     string
		ignored     int
	}{
		{"kubernetes", "search a b\nnameserver 10.96.0.10\noptions ndots:5 timeout:2 attempts:4\n", servers("10.96.0.10"), []string{"a", "b"}, "ndots:5 timeout:2 attempts:4", 0},
		{"DOS line ends", "nameserver 10.0.0.1\r\nsearch a\r\n", servers("10.0.0.1"), []string{"a"}, "ndots:1", 0},
		{"limits", "options ndots:99 timeout:99 attempts:99\n", servers("127.0.0.1"), nil, "ndots:15 timeout:60 attempts:10", 0},
		{"words it does not know", "options rotate edns0 use-vc ndots:x\n", servers("127.0.0.1"), nil, "ndots:1", 0},
		{"domain takes the whole line", "domain a b\n", servers("127.0.0.1"), []string{"a", "b"}, "ndots:1", 0},
		{"empty search clears", "search a\nsearch\n", servers("127.0.0.1"), nil, "ndots:1", 0},
		{"long lines are skipped", "search " + strings.Repeat("a", 249) + "\nnameserver 10.0.0.1" + strings.Repeat(" ", 300) + "\n", servers("127.0.0.1"), nil, "ndots:1", 2},
		{"a long line that just fits", "search " + strings.Repeat("a", 247) + "\n", servers("127.0.0.1"), []string{strings.Repeat("a", 247)}, "ndots:1", 0},
		{"zone", "nameserver fe80::1%eth0\n", servers("fe80::1%eth0"), nil, "ndots:1", 0},
		{"misspelt", "namserver 10.0.0.1\nserach a\n nameserver 10.0.0.2\n# namserver\nsortlist 10.0.0.0/8\nrubbish\n\n \n", servers("127.0.0.1"), nil, "ndots:1", 3},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			got := muslConf(&Sources{ResolvConf: []byte(c.file), Hostname: hostname("host.example")})
			if !slices.Equal(got.Servers, c.servers) || !slices.Equal(got.Search, c.search) || strings.Join(got.Options(), " ") != c.options {
				t.Errorf("%v %q %q, want %v %q %q", got.Servers, got.Search, got.Options(), c.servers, c.search, c.options)
			}
			if got.IgnoredTotal != c.ignored {
				t.Errorf("%d lines ignored, want %d: %v", got.IgnoredTotal, c.ignored, got.Ignored)
			}
		})
	}
}

func TestGoConf(t *testing.T) {
	t.Parallel()
	loopback := servers("127.0.0.1", "::1")
	for _, c := range []struct {
		title, file string
		servers     []netip.AddrPort
		search      []string
		options     string
	}{
		{"kubernetes", "search a b\nnameserver 10.96.0.10\noptions ndots:5 timeout:2 attempts:4\n", servers("10.96.0.10"), []string{"a", "b"}, "ndots:5 timeout:2 attempts:4"},
		{"DOS line ends", "nameserver 10.0.0.1\r\nsearch a\r\n", servers("10.0.0.1"), []string{"a"}, "ndots:1"},
		{"leading blank", " nameserver 10.0.0.1\n", servers("10.0.0.1"), []string{"example"}, "ndots:1"},
		{"odd address", "nameserver 10.1\n", loopback, []string{"example"}, "ndots:1"},
		{"search without a domain", "search a\nsearch\n", loopback, []string{"example"}, "ndots:1"},
		{"no upper limits", "options ndots:99 timeout:99 attempts:99\n", loopback, []string{"example"}, "ndots:15 timeout:99 attempts:99"},
		{"lower limits", "options ndots:-1 timeout:0 attempts:x\n", loopback, []string{"example"}, "ndots:0 timeout:1 attempts:1"},
		{"flags", "options rotate single-request-reopen tcp trust-ad no-aaaa\n", loopback, []string{"example"}, "ndots:1 rotate single-request use-vc trust-ad"},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			got := goConf(&Sources{ResolvConf: []byte(c.file), Hostname: hostname("host.example")})
			if !slices.Equal(got.Servers, c.servers) || !slices.Equal(got.Search, c.search) || strings.Join(got.Options(), " ") != c.options {
				t.Errorf("%v %q %q, want %v %q %q", got.Servers, got.Search, got.Options(), c.servers, c.search, c.options)
			}
		})
	}
}

// TestLongConf: a file of 10,000 lines takes time in proportion to its length,
// and little.
func TestLongConf(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "nameserver 10.0.%d.%d\nsearch d%d.example\noptions ndots:%d\n garbage\n", i/256%256, i%256, i, i%16)
	}
	sources := Sources{ResolvConf: []byte(b.String())}
	start := time.Now()
	for _, lib := range libraries(Glibc) {
		c := lib.conf(&sources)
		if len(c.Servers) != maxServers || !slices.Equal(c.Search, []string{"d9999.example"}) || c.Ndots != 9999%16 {
			t.Errorf("%s: %v %v %d", lib.flavour, c.Servers, c.Search, c.Ndots)
		}
		if len(c.Ignored) > maxIgnored || c.IgnoredTotal < 9_997 {
			t.Errorf("%s: %d of %d ignored lines kept", lib.flavour, len(c.Ignored), c.IgnoredTotal)
		}
	}
	if d := time.Since(start); d > soon {
		t.Errorf("three times 40,000 lines took %v", d)
	}
}

func FuzzConf(f *testing.F) {
	f.Add("search a b\nnameserver 10.96.0.10\noptions ndots:5 timeout:3\n", "LOCAL", "rotate")
	f.Add("nameserver fe80::1%eth0\r\nnameserver 0x7f.1\ndomain .\n", "", "ndots:-1")
	f.Add("0", ". ", "0")
	f.Add("options "+strings.Repeat("ndots:99999999999999999999 ", 10), "\n", "attempts:")
	f.Fuzz(func(t *testing.T, file, local, options string) {
		s := Sources{ResolvConf: []byte(file), LocalDomain: &local, ResOptions: &options, Hostname: hostname(local)}
		for _, lib := range libraries(Glibc) {
			c := lib.conf(&s)
			if len(c.Servers) == 0 || len(c.Servers) > maxServers {
				t.Fatalf("%s: %d servers", lib.flavour, len(c.Servers))
			}
			for _, server := range c.Servers {
				if !server.IsValid() || server.Port() != dnsPort {
					t.Fatalf("%s: server %v", lib.flavour, server)
				}
			}
			if c.Ndots < 0 || c.Ndots > maxNdots || c.Timeout < 0 || c.Attempts < 0 {
				t.Fatalf("%s: ndots %d, timeout %v, attempts %d", lib.flavour, c.Ndots, c.Timeout, c.Attempts)
			}
			for _, domain := range c.Search {
				if domain == "" || strings.ContainsAny(domain, " \t\n") {
					t.Fatalf("%s: domain %q", lib.flavour, domain)
				}
			}
			for _, search := range []bool{true, false} {
				p := lib.plan(&c, "www.example", search)
				if n := len(p.candidates()); n > MaxNames+1 || n == 0 && len(p.search) == 0 {
					t.Fatalf("%s: %d names", lib.flavour, n)
				}
			}
		}
	})
}

// What a misspelt keyword was meant to be is said, whatever the library.
func TestMisspeltKeyword(t *testing.T) {
	t.Parallel()
	file := []byte("nameservre 10.0.0.1\n" + strings.Repeat("# x\n\n", maxCompared) + " nameservre\t10.0.0.1\n sortlist a\nsortlst a\n lookup file\n" +
		strings.Repeat("x\n", maxCompared) + "nameservre 10.0.0.1\n")
	for name, read := range map[string]func(*Sources) Conf{"glibc": glibcConf, "musl": muslConf, "Go": goConf} {
		got := read(&Sources{ResolvConf: file})
		if len(got.Ignored) != 2 || got.Ignored[0].Line != 1 || got.Ignored[1].Line != 2+2*maxCompared || !strings.Contains(got.Ignored[0].Why, "nameserver ") || !got.Defaulted {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
