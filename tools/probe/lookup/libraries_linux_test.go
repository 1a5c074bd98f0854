package lookup

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
)

// The name servers of the scenarios: addresses of the looking pod's own loopback
// interface, as that of Docker's embedded server is.
const (
	server1 = "127.0.1.1"
	server2 = "127.0.1.2"
	server3 = "127.0.1.3"
)

// scenario is a pod's files, what its servers do, and a name.
type scenario struct {
	title   string
	name    string
	files   map[string]string
	servers map[string]*fakeServer
	// skip leaves libraries out, with the reason.
	skip map[Flavour]string
}

func conf(lines ...string) map[string]string {
	return map[string]string{resolvConfPath: strings.Join(lines, "\n") + "\n"}
}

// Ways to answer.

func silent(dns.ResponseWriter, *dns.Msg) bool { return true }

func rcode(code int) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, q *dns.Msg) bool {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, code))
		return true
	}
}

func silentFor(qtype uint16) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(_ dns.ResponseWriter, q *dns.Msg) bool { return q.Question[0].Qtype == qtype }
}

func rcodeFor(qtype uint16, code int) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, q *dns.Msg) bool {
		return q.Question[0].Qtype == qtype && rcode(code)(w, q)
	}
}

// rcodeForName and silentForName act on names that end in a suffix.
func forName(suffix string, handle func(dns.ResponseWriter, *dns.Msg) bool) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, q *dns.Msg) bool {
		return strings.HasSuffix(q.Question[0].Name, suffix) && handle(w, q)
	}
}

// truncated cuts every answer over UDP.
func truncated(w dns.ResponseWriter, q *dns.Msg) bool {
	if w.RemoteAddr().Network() != "udp" {
		return false
	}
	r := new(dns.Msg).SetReply(q)
	r.RecursionAvailable, r.Truncated = true, true
	_ = w.WriteMsg(r)
	return true
}

// slow answers from the zone after a time.
func slow(f *fakeServer, wait time.Duration) *fakeServer {
	f.handle = func(w dns.ResponseWriter, q *dns.Msg) bool {
		time.AfterFunc(wait, func() { _ = w.WriteMsg(f.answer(q)) })
		return true
	}
	return f
}

// loses drops the first query for each name and type.
func loses(f *fakeServer) *fakeServer {
	var mu sync.Mutex
	var seen map[dns.Question]bool
	f.reset = func() {
		mu.Lock()
		defer mu.Unlock()
		seen = make(map[dns.Question]bool)
	}
	f.handle = func(_ dns.ResponseWriter, q *dns.Msg) bool {
		mu.Lock()
		defer mu.Unlock()
		first := !seen[q.Question[0]]
		seen[q.Question[0]] = true
		return first
	}
	return f
}

// failsOnce gives an error to the first query for each name and type.
func failsOnce(f *fakeServer) *fakeServer {
	f = loses(f)
	first := f.handle
	f.handle = func(w dns.ResponseWriter, q *dns.Msg) bool {
		return first(w, q) && rcode(dns.RcodeServerFailure)(w, q)
	}
	return f
}

// oneOverTCP truncates over UDP, and over TCP ends each connection after an answer.
func oneOverTCP() func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, q *dns.Msg) bool {
		if truncated(w, q) {
			return true
		}
		_ = w.WriteMsg(zone(cluster()).answer(q))
		_ = w.Close()
		return true
	}
}

// broken sends a good header and question with a loop of compression pointers
// behind them.
func broken(w dns.ResponseWriter, q *dns.Msg) bool {
	r := new(dns.Msg).SetReply(q)
	r.RecursionAvailable = true
	packet, _ := r.Pack()
	packet[7] = 1 // one answer
	at := len(packet)
	packet = append(packet, 0xc0|byte(at>>8), byte(at), 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0, 0, 1)
	_, _ = w.Write(packet)
	return true
}

// bare answers with a header alone.
func bare(code int) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, q *dns.Msg) bool {
		r := new(dns.Msg).SetRcode(q, code)
		r.Question = nil
		_ = w.WriteMsg(r)
		return true
	}
}

// lame says that there is nothing, with neither authority nor recursion.
func lame(w dns.ResponseWriter, q *dns.Msg) bool {
	_ = w.WriteMsg(new(dns.Msg).SetReply(q))
	return true
}

// otherOwner answers with an address of another name.
func otherOwner(w dns.ResponseWriter, q *dns.Msg) bool {
	r := new(dns.Msg).SetReply(q)
	r.RecursionAvailable = true
	if q.Question[0].Qtype == dns.TypeA {
		rr, _ := dns.NewRR("other.example. 30 IN A 192.0.2.9")
		r.Answer = []dns.RR{rr}
	}
	_ = w.WriteMsg(r)
	return true
}

// short answers over UDP with less than a header.
func short(w dns.ResponseWriter, _ *dns.Msg) bool {
	_, _ = w.Write([]byte{1, 2, 3})
	return true
}

// hangUp ends TCP connections without an answer.
func hangUp(w dns.ResponseWriter, q *dns.Msg) bool {
	if truncated(w, q) {
		return true
	}
	_ = w.Close()
	return true
}

func zone(records map[string][]string) *fakeServer { return &fakeServer{zone: records} }

func with(handle func(dns.ResponseWriter, *dns.Msg) bool, records map[string][]string) *fakeServer {
	return &fakeServer{zone: records, handle: handle}
}

// cluster is a zone as Kubernetes has it.
func cluster() map[string][]string {
	return map[string][]string{
		"web.shop.svc.cluster.local.":  {"A 10.96.1.2"},
		"dual.shop.svc.cluster.local.": {"A 10.96.1.3", "AAAA fd00:10:96::3"},
		"six.shop.svc.cluster.local.":  {"AAAA fd00:10:96::6"},
		"empty.svc.cluster.local.":     {"TXT x"},
		"www.example.com.":             {"A 192.0.2.80", "AAAA 2001:db8::80"},
		"chain.example.com.":           {"CNAME two.example.com."},
		"two.example.com.":             {"CNAME www.example.com."},
		"dangling.example.com.":        {"CNAME nowhere.example.com."},
		"loop.example.com.":            {"CNAME pool.example.com."},
		"pool.example.com.":            {"CNAME loop.example.com."},
		"many.example.com.":            {"A 192.0.2.1", "A 192.0.2.2", "A 192.0.2.3", "A 192.0.2.4", "A 192.0.2.5"},
		"f.six.example.":               {"A 192.0.2.6"},
		"web.seven.example.":           {"A 192.0.2.7"},
		"single.":                      {"A 192.0.2.11"},
	}
}

// firstWins: which of two answers comes first is chance.
const firstWins = "takes whichever answer comes first"

const (
	clusterSearch = "search shop.svc.cluster.local svc.cluster.local cluster.local"
	quick         = "options timeout:1 attempts:2"
)

// scenarios are run by every library that is installed, with a file or a server
// that is out of order in most of them.
func scenarios() []scenario {
	one := func(f *fakeServer) map[string]*fakeServer { return map[string]*fakeServer{server1: f} }
	plain := func() map[string]*fakeServer { return one(zone(cluster())) }
	ns1, ns2, ns3 := "nameserver "+server1, "nameserver "+server2, "nameserver "+server3
	k8s := conf(clusterSearch, ns1, "options ndots:5")
	quickK8s := conf(clusterSearch, ns1, "options ndots:5 timeout:1 attempts:1")
	return []scenario{
		{title: "found by the first search domain", name: "web", files: k8s, servers: plain()},
		{title: "both families", name: "dual", files: k8s, servers: plain()},
		{title: "IPv6 only", name: "six", files: k8s, servers: plain()},
		{title: "ndots 5 asks the search list first", name: "www.example.com", files: k8s, servers: plain()},
		{title: "ndots 1 asks as it is first", name: "www.example.com", files: conf(clusterSearch, ns1), servers: plain()},
		{title: "ndots 1 and enough dots, found by search", name: "web.shop", files: conf("search svc.cluster.local", ns1), servers: plain()},
		{title: "ndots 0 asks as it is first", name: "single", files: conf("search shop.svc.cluster.local", ns1, "options ndots:0"), servers: plain()},
		{title: "ndots 0 and found by search", name: "web", files: conf("search shop.svc.cluster.local", ns1, "options ndots:0"), servers: plain()},
		{title: "final dot", name: "web.", files: k8s, servers: plain()},
		{title: "final dot, found", name: "www.example.com.", files: k8s, servers: plain()},
		{title: "no such name", name: "nosuch", files: k8s, servers: plain()},
		{title: "six domains, the last has it", name: "f", files: conf("search a.example b.example c.example d.example e.example six.example", ns1, "options ndots:2"), servers: plain()},
		{title: "seven domains, the last has it", name: "web", files: conf("search a.example b.example c.example d.example e.example f.example seven.example", ns1), servers: plain()},
		{title: "no data at the second domain", name: "empty", files: k8s, servers: plain()},
		{title: "no data as it is", name: "empty.svc.cluster.local", files: conf(ns1), servers: plain()},
		{title: "CNAME chain", name: "chain.example.com", files: conf(ns1), servers: plain()},
		{title: "CNAME to nowhere ends the search", name: "dangling.example.com", files: conf("search example.com", ns1), servers: plain()},
		{title: "CNAME loop", name: "loop.example.com", files: conf(ns1), servers: plain()},
		{title: "many addresses", name: "many.example.com", files: conf(ns1), servers: plain()},
		{title: "search list with the root", name: "single", files: conf("search . svc.cluster.local", ns1, quick), servers: plain()},
		{title: "search list that ends with the root", name: "www.example.com", files: conf(clusterSearch+" .", ns1, "options ndots:5 timeout:1"), servers: plain()},
		{title: "search domain with a leading dot", name: "web", files: conf("search .shop.svc.cluster.local", ns1), servers: plain(),
			skip: map[Flavour]string{Musl: "asks for a name with an empty label, which our check of names refuses", Go: "as musl"}},
		{title: "domain after search", name: "web", files: conf("search other.example", "domain shop.svc.cluster.local", ns1), servers: plain()},
		{title: "search after domain", name: "web", files: conf("domain other.example", "search shop.svc.cluster.local", ns1), servers: plain()},
		{title: "not a host name", name: "a*b.example.com", files: k8s, servers: plain()},
		{title: "underscore", name: "_web._tcp.example.com", files: k8s, servers: plain()},
		{title: "leading dash", name: "-web.example.com", files: k8s, servers: plain()},
		{title: "upper case", name: "WEB", files: k8s, servers: plain()},

		{title: "server closed", name: "www.example.com", files: conf(clusterSearch, ns1, quick), servers: nil},
		{title: "server closed, ndots 5", name: "web", files: quickK8s, servers: nil},
		{title: "server silent", name: "www.example.com", files: conf("search a.example b.example", ns1, quick), servers: one(with(silent, nil))},
		{title: "server silent, ndots 5", name: "www", files: conf("search a.example b.example", ns1, "options ndots:5 timeout:1 attempts:1"), servers: one(with(silent, nil))},
		{title: "first server silent", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5 timeout:1"),
			servers: map[string]*fakeServer{server1: with(silent, nil), server2: zone(cluster())}},
		{title: "first server silent, third domain", name: "www.example.com", files: conf(clusterSearch, ns1, ns2, "options ndots:5 timeout:1"),
			servers: map[string]*fakeServer{server1: with(silent, nil), server2: zone(cluster())}},
		{title: "first server closed", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5"), servers: map[string]*fakeServer{server2: zone(cluster())}},
		{title: "two of three silent", name: "www.example.com", files: conf(ns1, ns2, ns3, "options timeout:2 attempts:1"),
			servers: map[string]*fakeServer{server1: with(silent, nil), server2: with(silent, nil), server3: zone(cluster())}},
		{title: "all three silent", name: "www.example.com", files: conf(ns1, ns2, ns3, "options timeout:1 attempts:2"),
			servers: map[string]*fakeServer{server1: with(silent, nil), server2: with(silent, nil), server3: with(silent, nil)}},
		{title: "one closed, one silent", name: "www.example.com", files: conf("search a.example", ns1, ns2, quick), servers: map[string]*fakeServer{server2: with(silent, nil)}},
		{title: "fourth nameserver is not asked", name: "www.example.com", files: conf(ns1, ns2, ns3, "nameserver 127.0.1.4", quick), servers: map[string]*fakeServer{"127.0.1.4": zone(cluster())}},

		{title: "SERVFAIL", name: "www.example.com", files: quickK8s, servers: one(with(rcode(dns.RcodeServerFailure), nil))},
		{title: "SERVFAIL for one domain goes on", name: "www.example.com", files: quickK8s,
			servers: one(with(forName(".shop.svc.cluster.local.", rcode(dns.RcodeServerFailure)), cluster()))},
		{title: "SERVFAIL for the deciding name", name: "nosuch", files: quickK8s, servers: one(with(forName(".shop.svc.cluster.local.", rcode(dns.RcodeServerFailure)), cluster()))},
		{title: "SERVFAIL at the first server", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5"),
			servers: map[string]*fakeServer{server1: with(rcode(dns.RcodeServerFailure), nil), server2: zone(cluster())}},
		{title: "SERVFAIL, then silence", name: "www.example.com", files: conf("search a.example b.example", ns1, ns2, "options ndots:5 timeout:1 attempts:1"),
			servers: map[string]*fakeServer{server1: with(rcode(dns.RcodeServerFailure), nil), server2: with(silent, nil)}},
		{title: "SERVFAIL for AAAA", name: "web", files: quickK8s, servers: one(with(rcodeFor(dns.TypeAAAA, dns.RcodeServerFailure), cluster()))},
		{title: "SERVFAIL for A", name: "dual", files: quickK8s, servers: one(with(rcodeFor(dns.TypeA, dns.RcodeServerFailure), cluster()))},
		{title: "SERVFAIL for AAAA with strict-error", name: "web", files: conf(clusterSearch, ns1, "options ndots:5 timeout:1 attempts:1 strict-error"),
			servers: one(with(rcodeFor(dns.TypeAAAA, dns.RcodeServerFailure), cluster())), skip: map[Flavour]string{Glibc: "needs glibc 2.41"}},
		{title: "NXDOMAIN for AAAA", name: "web", files: k8s, servers: one(with(rcodeFor(dns.TypeAAAA, dns.RcodeNameError), cluster()))},
		{title: "NXDOMAIN for A", name: "dual", files: k8s, servers: one(with(rcodeFor(dns.TypeA, dns.RcodeNameError), cluster()))},
		{title: "NOTIMP for AAAA", name: "web", files: quickK8s, servers: one(with(rcodeFor(dns.TypeAAAA, dns.RcodeNotImplemented), cluster()))},
		{title: "FORMERR", name: "www.example.com", files: quickK8s, servers: one(with(rcode(dns.RcodeFormatError), nil))},
		{title: "FORMERR for one domain", name: "www.example.com", files: quickK8s, servers: one(with(forName(".shop.svc.cluster.local.", rcode(dns.RcodeFormatError)), cluster()))},
		{title: "REFUSED", name: "www.example.com", files: quickK8s, servers: one(with(rcode(dns.RcodeRefused), nil))},
		{title: "REFUSED for one domain", name: "www.example.com", files: quickK8s, servers: one(with(forName(".shop.svc.cluster.local.", rcode(dns.RcodeRefused)), cluster()))},
		{title: "REFUSED at the first server", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5"),
			servers: map[string]*fakeServer{server1: with(rcode(dns.RcodeRefused), nil), server2: zone(cluster())}},
		{title: "SERVFAIL and REFUSED", name: "www.example.com", files: conf("search a.example b.example", ns1, ns2, "options ndots:5 timeout:1 attempts:1"),
			servers: map[string]*fakeServer{server1: with(rcode(dns.RcodeServerFailure), nil), server2: with(rcode(dns.RcodeRefused), nil)}},
		{title: "REFUSED as a bare header", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5 timeout:1 attempts:1"),
			servers: map[string]*fakeServer{server1: with(bare(dns.RcodeRefused), nil), server2: zone(cluster())}},
		{title: "FORMERR as a bare header", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5 timeout:1 attempts:1"),
			servers: map[string]*fakeServer{server1: with(bare(dns.RcodeFormatError), nil), server2: zone(cluster())}},
		{title: "lame", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5"), servers: map[string]*fakeServer{server1: with(lame, nil), server2: zone(cluster())},
			skip: map[Flavour]string{Musl: firstWins}},
		{title: "silence for one domain ends the search", name: "www.example.com", files: quickK8s, servers: one(with(forName(".shop.svc.cluster.local.", silent), cluster()))},
		{title: "silence as it is goes on", name: "www.example.com", files: conf("search svc.cluster.local", ns1, "options timeout:1 attempts:1"), servers: one(with(silent, nil))},
		{title: "servers contradict", name: "www.example.com", files: conf(ns1, ns2), servers: map[string]*fakeServer{server1: zone(nil), server2: zone(cluster())},
			skip: map[Flavour]string{Musl: firstWins}},

		{title: "AAAA never answered", name: "web", files: quickK8s, servers: one(with(silentFor(dns.TypeAAAA), cluster()))},
		{title: "AAAA never answered, third domain", name: "www.example.com", files: quickK8s, servers: one(with(silentFor(dns.TypeAAAA), cluster()))},
		{title: "AAAA never answered, single-request", name: "www.example.com", files: conf("search a.example", ns1, "options ndots:5 timeout:1 attempts:1 single-request"),
			servers: one(with(silentFor(dns.TypeAAAA), cluster()))},
		{title: "AAAA never answered, no-aaaa", name: "www.example.com", files: conf("search a.example", ns1, "options ndots:5 no-aaaa"), servers: one(with(silentFor(dns.TypeAAAA), cluster())),
			skip: map[Flavour]string{Musl: "does not know no-aaaa and asks for AAAA, which is not measured", Go: "as musl"}},
		{title: "A never answered", name: "dual", files: quickK8s, servers: one(with(silentFor(dns.TypeA), cluster()))},
		{title: "single-request", name: "dual", files: conf(clusterSearch, ns1, "options ndots:5 single-request"), servers: plain()},
		{title: "single-request-reopen", name: "dual", files: conf(clusterSearch, ns1, "options ndots:5 single-request-reopen"), servers: plain()},
		{title: "SERVFAIL for A, single-request", name: "dual", files: conf(clusterSearch, ns1, "options ndots:5 timeout:1 attempts:1 single-request"),
			servers: one(with(rcodeFor(dns.TypeA, dns.RcodeServerFailure), cluster()))},
		{title: "first query lost", name: "www.example.com", files: conf(ns1, "options timeout:2"), servers: one(loses(zone(cluster())))},
		{title: "slow", name: "www.example.com", files: conf(ns1), servers: one(slow(zone(cluster()), 700*time.Millisecond))},
		{title: "slower than the timeout", name: "www.example.com", files: conf(ns1, "options timeout:1"), servers: one(slow(zone(cluster()), 1500*time.Millisecond)),
			skip: map[Flavour]string{Musl: "repeats within the second and may take either answer", Go: "asks from another port and never hears the late answer"}},

		{title: "truncated", name: "many.example.com", files: conf(ns1), servers: one(with(truncated, cluster()))},
		{title: "truncated, found by search", name: "dual", files: k8s, servers: one(with(truncated, cluster()))},
		{title: "truncated without TCP, two servers", name: "www.example.com", files: conf("search a.example", ns1, ns2, "options timeout:1 attempts:1"),
			servers: map[string]*fakeServer{server1: udpOnly(with(truncated, cluster())), server2: zone(cluster())}, skip: map[Flavour]string{Musl: firstWins}},
		{title: "truncated without TCP", name: "www.example.com", files: conf("search a.example", ns1, "options timeout:1 attempts:1"), servers: one(udpOnly(with(truncated, cluster())))},
		{title: "truncated and TCP hangs up", name: "www.example.com", files: conf("search a.example", ns1, "options timeout:1 attempts:1"), servers: one(with(hangUp, cluster()))},
		{title: "use-vc", name: "dual", files: conf(clusterSearch, ns1, "options ndots:5 use-vc"), servers: plain(),
			skip: map[Flavour]string{Musl: "does not know use-vc and asks over UDP, which is not measured"}},

		{title: "truncated, one answer a connection", name: "dual", files: quickK8s, servers: one(with(oneOverTCP(), cluster()))},
		{title: "SERVFAIL once", name: "dual", files: conf(ns1, clusterSearch, "options ndots:5"), servers: one(failsOnce(zone(cluster())))},
		{title: "unspecified address as server", name: "web", files: conf(clusterSearch, "nameserver 0.0.0.0", "options ndots:5 timeout:1"), servers: map[string]*fakeServer{"127.0.0.1": zone(cluster())}},
		{title: "blank after ndots", name: "web.shop", files: conf("search svc.cluster.local", ns1, "options ndots: 5 timeout:\t1 attempts:1"), servers: plain()},

		{title: "compression loop", name: "www.example.com", files: quickK8s, servers: one(with(broken, nil)), skip: map[Flavour]string{Musl: "skips names without following them and finds the address"}},
		{title: "shorter than a header", name: "web", files: conf(clusterSearch, ns1, ns2, "options ndots:5 timeout:1 attempts:1"),
			servers: map[string]*fakeServer{server1: with(short, nil), server2: zone(cluster())}, skip: map[Flavour]string{Musl: "does not notice, and the other answers"}},
		{title: "address of another owner", name: "www.example.com", files: conf(ns1), servers: one(with(otherOwner, nil))},

		{title: "hosts", name: "pinned", files: files(k8s, hostsPath, "192.0.2.200 pinned alias\n"), servers: plain()},
		{title: "hosts, alias and case", name: "ALIAS", files: files(k8s, hostsPath, "192.0.2.200 pinned alias\n"), servers: plain()},
		{title: "hosts, several lines", name: "pinned", files: files(k8s, hostsPath, "192.0.2.200 pinned\n2001:db8::200 pinned\n192.0.2.201 other pinned # pinned\n"), servers: plain()},
		{title: "hosts, several lines, no multi", name: "pinned", files: files(files(k8s, hostsPath, "192.0.2.200 pinned\n192.0.2.201 pinned\n"), hostConfPath, ""), servers: plain()},
		{title: "hosts, comment", name: "web", files: files(k8s, hostsPath, "# 192.0.2.200 web\n192.0.2.201 x # web\n"), servers: plain()},
		{title: "hosts over DNS", name: "www.example.com", files: files(k8s, hostsPath, "192.0.2.200 www.example.com\n"), servers: plain()},
		{title: "hosts with a final dot asked", name: "pinned.", files: files(k8s, hostsPath, "192.0.2.200 pinned\n"), servers: plain()},
		{title: "hosts, bad address", name: "web", files: files(k8s, hostsPath, "192.0.2.300 web\n010.0.0.1 web\n"), servers: plain(), skip: map[Flavour]string{Musl: "reads octal numbers"}},
		{title: "hosts, no line end", name: "pinned", files: files(k8s, hostsPath, "192.0.2.200\tpinned"), servers: plain()},
		{title: "hosts, leading blank", name: "web", files: files(k8s, hostsPath, " 192.0.2.200 web\n"), servers: plain()},
		{title: "service after dns that is not there", name: "nosuch", files: files(k8s, nsswitchPath, "hosts: files dns nosuchservice\n"), servers: plain()},
		{title: "service after dns that is not needed", name: "web", files: files(k8s, nsswitchPath, "hosts: files dns nosuchservice\n"), servers: plain()},
		{title: "DNS before hosts", name: "www.example.com", files: files(files(k8s, hostsPath, "192.0.2.200 www.example.com\n"), nsswitchPath, "hosts: dns files\n"), servers: plain()},
		{title: "DNS before hosts, only in hosts", name: "pinned", files: files(files(k8s, hostsPath, "192.0.2.200 pinned\n"), nsswitchPath, "hosts: dns files\n"), servers: plain()},
		{title: "DNS must be there", name: "pinned", files: files(files(k8s, hostsPath, "192.0.2.200 pinned\n"), nsswitchPath, "hosts: dns [!UNAVAIL=return] files\n"), servers: plain(),
			skip: map[Flavour]string{Go: "leaves such a line to libc, where there is one"}},
		{title: "files alone", name: "www.example.com", files: files(k8s, nsswitchPath, "hosts: files\n"), servers: plain()},
		{title: "files must have it", name: "www.example.com", files: files(k8s, nsswitchPath, "hosts: files [NOTFOUND=return] dns\n"), servers: plain(),
			skip: map[Flavour]string{Go: "leaves such a line to libc, where there is one"}},
		{title: "two hosts lines", name: "www.example.com", files: files(k8s, nsswitchPath, "hosts: files\n# x\n hosts : files dns\n"), servers: plain()},
		{title: "empty nsswitch.conf", name: "www.example.com", files: files(k8s, nsswitchPath, ""), servers: plain()},
		{title: "broken nsswitch.conf", name: "www.example.com", files: files(k8s, nsswitchPath, "hosts: files [NOSUCH=return] dns\n"), servers: plain(),
			skip: map[Flavour]string{Go: "takes the line as it is"}},

		{title: "no nameserver", name: "web", files: conf("search shop.svc.cluster.local"), servers: map[string]*fakeServer{"127.0.0.1": zone(cluster())},
			skip: map[Flavour]string{}},
		{title: "address in odd forms", name: "web", files: conf("search shop.svc.cluster.local", "nameserver 0x7f.0.0x101"), servers: plain()},
		{title: "DOS line ends", name: "web", files: conf("search shop.svc.cluster.local\r", ns1+"\r"), servers: map[string]*fakeServer{server1: zone(cluster())}},
		{title: "leading blank", name: "web", files: conf(" search shop.svc.cluster.local", " "+ns1, quick), servers: map[string]*fakeServer{server1: zone(cluster())}},
		{title: "comments and odd options", name: "web", files: conf("; x", "# search no.example", clusterSearch+" \t", ns1+" # trailing", "options  ndots:99\ttimeout:99 rotate-not attempts:x"), servers: plain()},
		{title: "negative ndots", name: "web.shop", files: conf("search svc.cluster.local", ns1, "options ndots:-1"), servers: plain(), skip: map[Flavour]string{}},
		{title: "attempts 0", name: "www.example.com", files: conf(ns1, "options attempts:0"), servers: plain(), skip: map[Flavour]string{Musl: "divides by zero"}},
		{title: "too long with the search domain", name: strings.Repeat("a.", 100) + "b", files: conf("search "+strings.Repeat("c.", 40)+"d shop.svc.cluster.local", ns1, "options ndots:15"), servers: plain()},
	}
}

func udpOnly(f *fakeServer) *fakeServer {
	f.noTCP = true
	return f
}

// files adds a file to those of a scenario.
func files(base map[string]string, path, text string) map[string]string {
	all := map[string]string{path: text}
	for p, text := range base {
		if p != path {
			all[p] = text
		}
	}
	return all
}

// originals are the programs that ask with the libraries themselves.
type originals struct {
	programs map[Flavour]string
	flavours []Flavour
}

// muslBefore124 asks the installed musl for its version.
func muslBefore124(t *testing.T) bool {
	t.Helper()
	// Without a program it prints its version and fails.
	out, _ := exec.CommandContext(t.Context(), architectures[runtime.GOARCH].muslLoader).CombinedOutput()
	var patch int
	_, rest, _ := strings.Cut(string(out), "Version 1.2.")
	_, err := fmt.Sscanf(rest, "%d", &patch)
	return err == nil && patch < 4
}

// original is what a library itself said.
type original struct {
	result    string
	took      time.Duration
	addresses []string // sorted
	ordered   []string // as they came
}

// findOriginals compiles the programs; without a compiler the test is skipped, or
// fails in CI.
func findOriginals(t *testing.T) *originals {
	t.Helper()
	musl := Musl
	if muslBefore124(t) {
		musl = OldMusl
	}
	return &originals{
		programs: map[Flavour]string{Glibc: compile(t, "gcc"), musl: compile(t, "musl-gcc"), Go: "go"},
		flavours: []Flavour{Glibc, musl, Go},
	}
}

// TestAgainstTheLibraries holds every prediction against the library itself:
// what it returns, how long it takes, and which names it asks for.
func TestAgainstTheLibraries(t *testing.T) {
	runScenarios(t, "", func(*scenario) bool { return true })
}

// TestOneFamilyAgainstTheLibraries is the same for programs that ask for one IP
// version. Waiting is the same there and left out.
func TestOneFamilyAgainstTheLibraries(t *testing.T) {
	waits := regexp.MustCompile("silen|never answered|slow|lost|closed")
	for _, family := range []string{"4", "6"} {
		runScenarios(t, family, func(s *scenario) bool { return !waits.MatchString(s.title) })
	}
}

func runScenarios(t *testing.T, family string, wanted func(*scenario) bool) {
	o := findOriginals(t)
	l := lab.Start(t)
	// Almost all of the time is waiting, so they are not subject to the limit of
	// parallel tests, which goes by the number of CPUs.
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for _, s := range scenarios() {
		if !wanted(&s) {
			continue
		}
		slots <- struct{}{}
		pod := l.Pod(t, lab.PodSpec{Style: lab.Plain})
		wg.Go(func() {
			defer func() { <-slots }()
			t.Run(strings.TrimSpace(s.title+" "+family), func(t *testing.T) { s.run(t, pod, o, family) })
		})
	}
	wg.Wait()
}

func (s *scenario) run(t *testing.T, pod *lab.Pod, o *originals, family string) {
	for ip, server := range s.servers {
		server.serve(t, pod, ip)
	}
	for _, flavour := range o.flavours {
		if s.skip[flavour] != "" || flavour.isMusl() && s.skip[Musl] != "" {
			continue
		}
		t.Run(string(flavour), func(t *testing.T) {
			// Two measurements of one thing: on a busy machine they may differ once,
			// for a wrong rule they always do.
			var differences []string
			for range 8 {
				if differences = s.compare(t, pod, o, flavour, family); len(differences) == 0 {
					return
				}
			}
			t.Error(strings.Join(differences, "\n"))
		})
	}
}

// compare asks the library and then measures and predicts, and returns what is
// not the same.
func (s *scenario) compare(t *testing.T, pod *lab.Pod, o *originals, flavour Flavour, family string) []string {
	args, types := []string{s.name}, []uint16(nil)
	switch family {
	case "4":
		args, types = append(args, family), []uint16{typeA}
	case "6":
		args, types = append(args, family), []uint16{typeAAAA}
	}
	s.forget()
	theirs := askOriginal(t, pod, s.files, o.programs[flavour], args...)
	names := s.asked()
	s.forget()
	ours := predict(t, pod, s.files, s.name, flavour, types...)
	result := cmp.Or(ours.Error, "OK")
	switch result { // what Go's test program cannot tell from its errors
	case "no such host":
		result = eaiNoName
	case "no suitable address found":
		result = eaiNoData
	case "i/o timeout", "connection refused", "server misbehaving":
		result = eaiAgain
	}
	var differences []string
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	unsaid := ours.Error == "" && ours.Outcome != OutcomeAnswered // (*glibcWalk).eai
	if theirs.result != result && !unsaid {
		differ("it says %s, we say %s (%s)", theirs.result, result, ours.Outcome)
	}
	if a := sortedTexts(ours.Addresses); !slices.Equal(a, theirs.addresses) {
		differ("its addresses are %v, ours %v", theirs.addresses, a)
	}
	if d := theirs.took - ours.Wait; d.Abs() > 300*time.Millisecond {
		differ("it took %v, we say %v", theirs.took, ours.Wait)
	}
	if expected := s.expected(ours.Exchanges); !slices.Equal(names, expected) {
		differ("it asked for %v, we expected %v", names, expected)
	}
	return differences
}

// forget makes the servers fresh.
func (s *scenario) forget() {
	for _, server := range s.servers {
		server.asked()
		if server.reset != nil {
			server.reset()
		}
	}
}

// asked returns the names that the servers were asked for, each once: in order
// where there is one server, sorted where there are more.
func (s *scenario) asked() []string {
	var names []string
	for _, server := range s.servers {
		for _, ask := range server.asked() {
			name, _, _ := strings.Cut(ask, " ")
			names = append(names, name)
		}
	}
	return s.each(names)
}

// expected is what asked should return.
func (s *scenario) expected(exchanges []*Exchange) []string {
	var names []string
	for _, x := range exchanges {
		if s.servers[x.Server.Addr().String()] != nil || x.Server.Addr().IsUnspecified() {
			names = append(names, x.Name)
		}
	}
	return s.each(names)
}

func (s *scenario) each(names []string) []string {
	if len(s.servers) > 1 {
		slices.Sort(names)
	}
	var once []string
	for _, n := range names {
		if !slices.Contains(once, n) {
			once = append(once, n)
		}
	}
	return once
}

// predict plays a library over a measurement of our own.
func predict(t *testing.T, pod *lab.Pod, files map[string]string, name string, flavour Flavour, types ...uint16) play {
	t.Helper()
	files = withDefaults(files)
	if len(types) == 0 {
		types = []uint16{typeA, typeAAAA}
	}
	l := &run{
		Target:  Target{Network: Network{Handle: pod.Handle}, Files: mapFiles(files), WholeRoot: true},
		Request: Request{Name: name, Types: types, Window: 2500 * time.Millisecond},
		flavour: flavour,
	}
	var err error
	if l.files, err = readSources(t.Context(), l.Files, true); err != nil {
		t.Fatal(err)
	}
	l.files.Missing = []string{"nosuchservice"}
	for _, lib := range libraries(flavour) {
		l.readers = append(l.readers, newReader(lib, &l.files.Sources, &l.Request))
	}
	l.questions = l.Request.questions(l.readers[0].conf.Flags[noAAAA])
	if err := l.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l.plays(l.readers[0], l.seen)[0]
}

func sortedTexts(addresses []netip.Addr) []string {
	var texts []string
	for _, ip := range addresses {
		texts = append(texts, ip.String())
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// askOriginal runs a program inside the pod's network that sees these files.
func askOriginal(t *testing.T, pod *lab.Pod, files map[string]string, program string, args ...string) original {
	t.Helper()
	dir := writeFiles(t, files)
	out, err := output(t, pod, dir, append([]string{program}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(out, "\n")
	result, ms, _ := strings.Cut(head, " ")
	n, err := strconv.Atoi(ms)
	if err != nil {
		t.Fatalf("%s printed %q", program, out)
	}
	ordered := strings.Fields(rest)
	addresses := slices.Clone(ordered)
	slices.Sort(addresses)
	return original{
		result: result, took: time.Duration(n) * time.Millisecond, addresses: slices.Compact(addresses), ordered: ordered,
	}
}

// withDefaults adds the files that the children want to be there.
func withDefaults(files map[string]string) map[string]string {
	all := map[string]string{nsswitchPath: "hosts: files dns\n", hostsPath: "", hostConfPath: "multi on\n", resolvConfPath: ""}
	maps.Copy(all, files)
	return all
}

// writeFiles writes files to a directory, with those that every child wants.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range withDefaults(files) {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// output runs a program in the pod's network with the files of dir over those
// in /etc.
func output(t testing.TB, pod *lab.Pod, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), filesVar+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := pod.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("%v: %w: %s", args, err, &stderr)
	}
	return stdout.String(), nil
}

// compile builds testdata/getaddrinfo.c and returns the program.
func compile(t *testing.T, compiler string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), compiler)
	cmd := exec.CommandContext(t.Context(), lab.Program(t, compiler), "-o", program, "testdata/getaddrinfo.c")
	if compiler == "musl-gcc" {
		cmd.Args = append(cmd.Args, "-static")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	return program
}
