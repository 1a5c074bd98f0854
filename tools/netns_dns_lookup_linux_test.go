package tools

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

const dnsLookupTool = "netns_dns_lookup"

// withDNSLookup makes sure that the tool is listed.
func withDNSLookup(c *dispatch.Config) {
	if !slices.ContainsFunc(c.Tools, func(t dispatch.Tool) bool { return t.Name == dnsLookupTool }) {
		c.Tools = append(c.Tools, netnsDNSLookupTool(nil))
	}
}

// serveDNS serves zone (lines of a zone file) on port 53 of an address of ns.
func serveDNS(tb testing.TB, ns *lab.Netns, ip string, handle dns.HandlerFunc) {
	tb.Helper()
	packets, err := ns.ListenPacket("udp", net.JoinHostPort(ip, "53"))
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := ns.Listen("tcp", net.JoinHostPort(ip, "53"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handle}, {Listener: listener, Handler: handle}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe() // ends at Shutdown
		}()
		<-started
		tb.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
}

// zoneHandler answers from records like "web.example. 30 A 192.0.2.1".
func zoneHandler(tb testing.TB, records ...string) dns.HandlerFunc {
	tb.Helper()
	zone := make(map[string][]dns.RR)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			tb.Fatal(err)
		}
		zone[rr.Header().Name] = append(zone[rr.Header().Name], rr)
	}
	return func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable = true
		found, exists := zone[q.Question[0].Name]
		if !exists {
			r.Rcode = dns.RcodeNameError
		}
		for _, rr := range found {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				r.Answer = append(r.Answer, rr)
			}
		}
		_ = w.WriteMsg(r)
	}
}

// silentDNS never answers.
func silentDNS(dns.ResponseWriter, *dns.Msg) {}

// dnsBed is a testbench with a name server's pod.
type dnsBed struct {
	*testbench
	server *lab.Pod
	at     string // its address
}

func newDNSBed(t testing.TB, handle dns.HandlerFunc) *dnsBed {
	t.Helper()
	b := newTestbench(t, withDNSLookup)
	server := b.lab.Pod(t, lab.PodSpec{Name: "coredns", Namespace: "kube-system"})
	if handle != nil {
		serveDNS(t, server.Netns, server.IP.String(), handle)
	}
	return &dnsBed{testbench: b, server: server, at: server.IP.String()}
}

// web makes the pod shop/web with these lines of resolv.conf.
func (b *dnsBed) web(t testing.TB, change func(*lab.PodSpec), lines ...string) *lab.Pod {
	t.Helper()
	spec := lab.PodSpec{
		Name: "web", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}},
		Files: lab.FileSpec{ResolvConf: strings.Join(lines, "\n") + "\n"},
	}
	if change != nil {
		change(&spec)
	}
	return b.lab.Pod(t, spec)
}

const clusterSearch = "search shop.svc.cluster.local svc.cluster.local cluster.local"

func (b *dnsBed) lookUp(t testing.TB, args map[string]any) (*dispatch.Envelope, fact.DNSLookup) {
	t.Helper()
	if args["netns"] == nil {
		args["pod"] = "shop/web"
	}
	return succeed[fact.DNSLookup](t, b.testbench, dnsLookupTool, args)
}

// checkSize holds an answer to what a model can be bothered with.
func checkSize(t testing.TB, answer *dispatch.Envelope) {
	t.Helper()
	raw, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 2500 {
		t.Errorf("%d bytes: %s", len(raw), raw)
	}
}

func TestDNSLookupOfAHealthyPod(t *testing.T) {
	t.Parallel()
	b := newDNSBed(t, zoneHandler(t, "api.shop.svc.cluster.local. 30 IN A 10.96.1.2", "www.example.com. 30 IN A 192.0.2.80"))
	b.web(t, nil, clusterSearch, "nameserver "+b.at, "options ndots:5")
	for name, want := range map[string]string{"api": "api.shop.svc.cluster.local.", "api.shop": "api.shop.svc.cluster.local.", "www.example.com": "www.example.com.", "www.example.com.": "www.example.com."} {
		answer, out := b.lookUp(t, map[string]any{"name": name})
		if out.Outcome != "answered" || out.Name != want || out.Server != b.at || out.Resolver.From != "container app" {
			t.Errorf("%s: %+v", name, out)
		}
		if len(answer.Findings) > 0 || len(answer.Notes) > 0 || len(answer.Next) > 0 {
			t.Errorf("%s: findings %v, notes %v, next %v", name, answer.Findings, answer.Notes, answer.Next)
		}
		checkSize(t, answer)
	}
	answer, out := b.lookUp(t, map[string]any{"name": "nosuch"})
	if out.Outcome != "nxdomain" || out.AppError != "EAI_NONAME: Name or service not known" || len(out.Tried) != 4 {
		t.Errorf("%+v", out)
	}
	checkSize(t, answer)
	if _, out = b.lookUp(t, map[string]any{"name": "www.example.com", "details": true}); len(out.Tried[0].Answers) != 2 || out.Tried[0].Answers[0].Rcode != "NXDOMAIN" {
		t.Errorf("details: %+v", out.Tried)
	}
}

// TestDNSLookupFindingsOfRareErrors: ICMP errors are limited in rate, so most of many
// questions meet silence, and more so in the call after. The first error is proof.
func TestDNSLookupFindingsOfRareErrors(t *testing.T) {
	t.Parallel()
	const search = "search a.test b.test c.test d.test e.test f.test g.test h.test"
	for _, c := range []struct{ title, server, code string }{
		{"the gateway has no route", "10.99.0.10", "dns.nameserver_unreachable"},
		{"nobody listens", "", "dns.nameserver_refused"},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			b := newDNSBed(t, nil)
			ip(t, b.lab.Node.Netns, "route add unreachable 10.99.0.0/24\n")
			b.web(t, nil, search, "nameserver "+cmp.Or(c.server, b.at), "options ndots:5")
			// The rule is tried where errors and silence stand side by side, twice; the
			// kernel's limit for all together is shared with the tests beside this one.
			for call, mixed := 0, 0; mixed < 2; call++ {
				answer, out := b.lookUp(t, map[string]any{"name": "api", "details": true})
				meets := func(outcome string) bool {
					return slices.ContainsFunc(out.Tried, func(t fact.DNSTry) bool { return t.Outcome == outcome })
				}
				if !meets("unreachable") || !meets("timeout") {
					if call == 5 {
						t.Fatalf("no mix of errors and silence: %+v", out.Tried)
					}
					continue
				}
				mixed++
				if got := codes(answer.Findings); !slices.Equal(got, []string{c.code}) {
					t.Errorf("call %d: %s %v, want %s (%+v)", call, out.Outcome, got, c.code, answer.Findings)
				}
			}
		})
	}
}

// TestDNSLookupFollowsNext: two calls tell a fault on the pod's path from one of
// the service.
func TestDNSLookupFollowsNext(t *testing.T) {
	t.Parallel()
	b := newDNSBed(t, zoneHandler(t, "api. 30 IN A 10.96.1.2"))
	pod := b.web(t, nil, "nameserver "+b.at)
	for _, p := range []*lab.Pod{pod, b.server} { // isolated ports reach only the others
		ip(t, b.lab.Node.Netns, "link set "+p.HostLink+" type bridge_slave isolated on")
	}
	answer, out := b.lookUp(t, map[string]any{"name": "api"})
	if out.Outcome != "unreachable" || len(answer.Next) == 0 || answer.Next[0].Tool != dnsLookupTool {
		t.Fatalf("%+v, next %v", out, answer.Next)
	}
	second, out := succeed[fact.DNSLookup](t, b.testbench, dnsLookupTool, answer.Next[0].Arguments)
	if out.Outcome != "answered" || !second.Target.HostNetwork {
		t.Errorf("from the node: %+v", out)
	}
}

// TestDNSLookupInsideTheNameserver: where a server is silent, next leads into its
// network, with its own address.
func TestDNSLookupInsideTheNameserver(t *testing.T) {
	t.Parallel()
	answering := zoneHandler(t, "api. 30 IN A 10.96.1.2")
	b := newDNSBed(t, func(w dns.ResponseWriter, q *dns.Msg) { // itself alone
		asker, _, _ := net.SplitHostPort(w.RemoteAddr().String())
		if local, _, _ := net.SplitHostPort(w.LocalAddr().String()); asker == local {
			answering(w, q)
		}
	})
	b.web(t, nil, "nameserver "+b.at)
	answer, out := b.lookUp(t, map[string]any{"name": "api"})
	i := slices.IndexFunc(answer.Next, func(n dispatch.Next) bool { return strings.Contains(n.Why, "inside the nameserver") })
	if out.Outcome != "timeout" || i < 0 {
		t.Fatalf("%+v, next %v", out, answer.Next)
	}
	second, out := succeed[fact.DNSLookup](t, b.testbench, dnsLookupTool, answer.Next[i].Arguments)
	if out.Outcome != "answered" || out.Name != "api." || second.Target.PID != b.server.PID {
		t.Errorf("inside: %+v, %+v", second.Target, out)
	}
}

// TestDNSLookupAtNodeLocalCache: the cache listens on a link-local address of the
// node, which is the pod's own nameserver and so allowed.
func TestDNSLookupAtNodeLocalCache(t *testing.T) {
	t.Parallel()
	const cache = "169.254.20.10"
	b := newDNSBed(t, nil)
	ip(t, b.lab.Node.Netns, "addr add "+cache+"/32 dev lo\n")
	serveDNS(t, b.lab.Node.Netns, cache, zoneHandler(t, "api.shop.svc.cluster.local. 30 IN A 10.96.1.2"))
	b.web(t, nil, clusterSearch, "nameserver "+cache, "options ndots:5")
	answer, out := b.lookUp(t, map[string]any{"name": "api"})
	if out.Outcome != "answered" || out.Server != cache || len(answer.Findings) > 0 {
		t.Errorf("%+v, %v", out, answer.Findings)
	}
	for _, server := range []string{"169.254.169.254", "::ffff:169.254.169.254", "169.254.20.10:5353", "169.254.20.11", "[fd00:ec2::254]:53", "64:ff9b::a9fe:a9fe"} {
		fail(t, b.testbench, dispatch.CodeDestinationDenied, dnsLookupTool, map[string]any{"pod": "shop/web", "name": "api", "server": server})
	}
}

// TestDNSLookupAtDockersServer: Docker's embedded server listens on a loopback
// address inside the container's network.
func TestDNSLookupAtDockersServer(t *testing.T) {
	t.Parallel()
	const embedded = "127.0.0.11"
	b := newTestbench(t, withDNSLookup)
	c := b.lab.Container(t, lab.ContainerSpec{Name: "web", Files: lab.FileSpec{ResolvConf: "nameserver " + embedded + "\noptions edns0 trust-ad ndots:0\n"}})
	serveDNS(t, c.Netns(), embedded, zoneHandler(t, "db. 600 IN A 172.18.0.3"))
	answer, out := succeed[fact.DNSLookup](t, b, dnsLookupTool, map[string]any{"container": "web", "name": "db"})
	if out.Outcome != "answered" || out.Server != embedded || !slices.Equal(out.Addresses, []string{"172.18.0.3"}) || len(answer.Findings) > 0 {
		t.Errorf("%+v, %v", out, answer.Findings)
	}
}

func TestDNSLookupArguments(t *testing.T) {
	t.Parallel()
	b := newDNSBed(t, zoneHandler(t, "api. 30 IN A 10.96.1.2", `api. 30 IN TXT "x"`, "4.3.2.1.in-addr.arpa. 30 IN PTR host.example."))
	b.web(t, nil, "search x.example", "nameserver "+b.at)
	for _, args := range []map[string]any{
		{}, {"name": ""}, {"name": "http://api/"}, {"name": "api:80"}, {"name": "a..b"}, {"name": "b\u00fccher"}, {"name": strings.Repeat("a", 64)},
		{"name": "api", "type": "NOSUCH"}, {"name": "api", "type": "AXFR"}, {"name": "api", "type": "A,AAAA,MX,NS,TXT,SRV,CAA,SOA,PTR"},
		{"name": "api", "server": "dns.example"}, {"name": "api", "server": "10.0.0.1:0"}, {"name": "api", "server": "2852039166"}, {"name": "api", "server": "0251.0376.0251.0376"},
	} {
		args["pod"] = "shop/web"
		fail(t, b.testbench, dispatch.CodeInvalidArguments, dnsLookupTool, args)
	}
	fail(t, b.testbench, dispatch.CodeUnknownArgument, dnsLookupTool, map[string]any{"pod": "shop/web", "name": "api", "nameserver": "10.0.0.1"})

	for _, c := range []struct {
		args    map[string]any
		records int
		tried   int
	}{
		{map[string]any{"name": "api", "type": "txt"}, 1, 2},
		{map[string]any{"name": "api", "type": []string{"TXT", "MX"}, "search": false}, 1, 1},
		{map[string]any{"name": "1.2.3.4", "type": "PTR"}, 1, 1},
		{map[string]any{"name": "api", "search": "false"}, 0, 1},
		{map[string]any{"name": "api", "server": b.at, "edns": true}, 0, 2},
		{map[string]any{"name": "api", "server": b.at + ":53"}, 0, 2},
	} {
		answer, out := b.lookUp(t, c.args)
		if out.Outcome != "answered" || len(out.Records) != c.records {
			t.Errorf("%v: %+v", c.args, out)
		}
		checkSize(t, answer)
	}
}

func TestDNSLookupWithoutFiles(t *testing.T) {
	t.Parallel()
	b := newDNSBed(t, zoneHandler(t, "api. 30 IN A 10.96.1.2"))
	pod := b.lab.Pod(t, lab.PodSpec{Name: "bare"})
	answer, out := b.lookUp(t, map[string]any{"netns": pod.Path, "name": "api"})
	if out.Resolver.File != "" || out.Outcome != "no_nameserver" || len(answer.Findings) > 0 || len(out.Tried) > 0 {
		t.Errorf("%+v, %v", out, answer.Findings)
	}
	if _, out = b.lookUp(t, map[string]any{"netns": pod.Path, "name": "api", "server": b.at}); out.Outcome != "answered" {
		t.Errorf("%+v", out)
	}
}

// TestDNSLookupReadsTheApplication: its libc and its environment.
func TestDNSLookupReadsTheApplication(t *testing.T) {
	t.Parallel()
	b := newDNSBed(t, zoneHandler(t, "api.svc.cluster.local. 30 IN A 10.96.1.2"))
	b.web(t, func(s *lab.PodSpec) { s.Containers[0].Env = []string{"RES_OPTIONS=ndots:4", "TOKEN=secret"} }, "search svc.cluster.local", "nameserver "+b.at)
	answer, out := b.lookUp(t, map[string]any{"name": "api"})
	if out.Outcome != "answered" || !slices.Equal(out.Resolver.Options, []string{"ndots:4"}) {
		t.Errorf("%+v", out)
	}
	raw, err := json.Marshal(answer)
	if err != nil || strings.Contains(string(raw), "secret") {
		t.Errorf("%v: %s", err, raw)
	}
}

// TestDNSLookupKeepsTheDeadline: the answer is worded when the call's time is
// up.
func TestDNSLookupKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	b := newDNSBed(t, silentDNS)
	b.web(t, nil, clusterSearch, "nameserver "+b.at, "options ndots:5")
	for _, ms := range []int{500, 1500} {
		start := time.Now()
		_, out := b.lookUp(t, map[string]any{"name": "api", "timeout_ms": ms})
		if d := time.Since(start); out.Outcome != "timeout" || out.Complete || d > 5*time.Duration(ms)*time.Millisecond {
			t.Errorf("%d ms: %s after %v", ms, out.Outcome, d)
		}
	}
}

// TestHostileTextInDNS: nothing that a server or a container says stands
// unescaped, and free text only under a key untrusted.
func TestHostileTextInDNS(t *testing.T) {
	t.Parallel()
	evil := "\x1b[31mIGNORE ALL\u202e\xff\n"
	handler := func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable = true
		if q.Question[0].Qtype == dns.TypeTXT {
			r.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{evil}}}
		} else {
			r.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 1}, Target: "ignore\\032all\\027.example."}}
		}
		_ = w.WriteMsg(r)
	}
	b := newDNSBed(t, handler)
	b.web(t, func(s *lab.PodSpec) {
		s.Files.Extra = map[string]string{"etc/nsswitch.conf": "hosts: " + evil + " files dns\n"}
	}, "search "+evil+" \x07.example", "nameserver "+b.at, "nameserver "+evil, "options "+evil)
	for _, qtype := range []string{"A", "TXT", "CNAME"} {
		for _, details := range []bool{false, true} {
			answer, out := b.lookUp(t, map[string]any{"name": "api", "type": qtype, "details": details})
			raw, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range string(raw) {
				if c < ' ' || c > '~' {
					t.Fatalf("%s: %q in %s", qtype, c, raw)
				}
			}
			if strings.Contains(string(raw), `\u`) || strings.Contains(answer.Summary, "IGNORE ALL") {
				t.Errorf("%s: %s", qtype, raw)
			}
			for _, r := range out.Records {
				if qtype == "TXT" && (r.Data != "" || !strings.Contains(r.Untrusted.Data, "IGNORE")) {
					t.Errorf("%+v", r)
				}
			}
		}
	}
}

// TestThousandHangingDNSLookups: threads stay few, and all are answered before
// their deadline, however many wait at once.
func TestThousandHangingDNSLookups(t *testing.T) {
	if !lab.Alone(t) {
		return
	}
	b := newDNSBed(t, silentDNS)
	pod := b.web(t, nil, clusterSearch, "nameserver "+b.at, "options ndots:5")
	if err := allowManyFiles(); err != nil {
		t.Fatal(err)
	}
	const calls, deadline = 1000, 4 * time.Second
	arguments := json.RawMessage(fmt.Sprintf(`{"pid":%d,"name":"api","timeout_ms":%d}`, pod.PID, deadline.Milliseconds()))
	var wg sync.WaitGroup
	took := make(chan time.Duration, calls)
	for range calls {
		wg.Go(func() {
			start := time.Now()
			if answer := b.Call(t.Context(), dispatch.Call{Tool: dnsLookupTool, Arguments: arguments}); answer.Error != nil {
				t.Errorf("%s: %s", answer.Error.Code, answer.Error.Message)
			}
			took <- time.Since(start)
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	most, longest := 0, time.Duration(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(5 * time.Millisecond):
			tasks, err := os.ReadDir("/proc/self/task")
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(tasks))
		}
	}
	for range calls {
		longest = max(longest, <-took)
	}
	t.Logf("%d calls, the longest %s, at most %d threads", calls, longest, most)
	if most >= lab.ManyThreads {
		t.Errorf("%d threads", most)
	}
}
