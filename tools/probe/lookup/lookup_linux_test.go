package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// newPod makes a pod with nothing but a loopback interface.
func newPod(t testing.TB) *lab.Pod {
	t.Helper()
	return lab.Start(t).Pod(t, lab.PodSpec{Style: lab.Plain})
}

func targetIn(pod *lab.Pod, files map[string]string) Target {
	return Target{Network: Network{Handle: pod.Handle}, WholeRoot: true, From: "the test", Files: mapFiles(files)}
}

func lookUp(t testing.TB, target Target, r Request) *fact.DNSLookup {
	t.Helper()
	out, err := Run(t.Context(), target, r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func show(t testing.TB, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func hasNote(out *fact.DNSLookup, code string) bool {
	return slices.ContainsFunc(out.Notes, func(n fact.DNSNote) bool { return n.Code == code })
}

func TestTypes(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	zone(map[string][]string{
		"_sip._tcp.example.com.":  {"SRV 0 5 5060 sip.example.com."},
		"example.com.":            {"MX 10 mail.example.com.", "NS ns.example.com.", "SOA ns.example.com. admin.example.com. 1 2 3 4 5", `TXT "v=spf1 -all"`, `CAA 0 issue "ca.example"`},
		"www.example.com.":        {"CNAME web.example.com."},
		"web.example.com.":        {"A 192.0.2.1", `HTTPS 1 . alpn="h2"`},
		"3.2.1.10.in-addr.arpa.":  {"PTR host.example.com."},
		"svc.shop.cluster.local.": {"SRV 0 5 80 a.example.com."},
	}).serve(t, pod, server1)
	target := targetIn(pod, conf("search shop.cluster.local", "nameserver "+server1))
	for _, c := range []struct {
		name, outcome, decided string
		types                  []uint16
		data                   []string
	}{
		{"_sip._tcp.example.com", "answered", "_sip._tcp.example.com.", []uint16{dns.TypeSRV}, []string{"0 5 5060 sip.example.com."}},
		{"example.com", "answered", "example.com.", []uint16{dns.TypeMX}, []string{"10 mail.example.com."}},
		{"example.com", "answered", "example.com.", []uint16{dns.TypeNS, dns.TypeSOA}, []string{"ns.example.com.", "ns.example.com. admin.example.com. 1 2 3 4 5"}},
		{"example.com", "answered", "example.com.", []uint16{dns.TypeTXT}, []string{`!"v=spf1 -all"`}},
		{"example.com", "answered", "example.com.", []uint16{dns.TypeCAA}, []string{`!0 issue "ca.example"`}},
		{"www.example.com", "answered", "www.example.com.", []uint16{dns.TypeCNAME}, []string{"web.example.com."}},
		{"www.example.com", "answered", "www.example.com.", []uint16{dns.TypeHTTPS}, []string{`!1 . alpn="h2"`}},
		{"10.1.2.3", "answered", "3.2.1.10.in-addr.arpa.", []uint16{dns.TypePTR}, []string{"host.example.com."}},
		{"10.1.2.4", "nxdomain", "4.2.1.10.in-addr.arpa.", []uint16{dns.TypePTR}, nil},
		{"svc", "answered", "svc.shop.cluster.local.", []uint16{dns.TypeSRV}, []string{"0 5 80 a.example.com."}},
		{"web.example.com", "nodata", "web.example.com.", []uint16{dns.TypeMX}, nil},
		{"web.example.com", "answered", "web.example.com.", []uint16{dns.TypeMX, dns.TypeHTTPS}, []string{`!1 . alpn="h2"`}},
		{"nosuch.example.com", "nxdomain", "nosuch.example.com.", []uint16{65280}, nil},
	} {
		out := lookUp(t, target, Request{Name: c.name, Types: c.types})
		var data []string
		for _, r := range out.Records {
			if r.Untrusted.Data != "" {
				r.Data = "!" + r.Untrusted.Data
			}
			data = append(data, r.Data)
		}
		if out.Outcome != c.outcome || out.Name != c.decided || !slices.Equal(data, c.data) {
			t.Errorf("%s %v: %s %s %q, want %s %s %q", c.name, c.types, out.Outcome, out.Name, data, c.outcome, c.decided, c.data)
		}
	}
}

func TestOneFamily(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	target := targetIn(pod, conf("nameserver "+server1))
	for qtype, want := range map[uint16]string{typeA: "192.0.2.80", typeAAAA: "2001:db8::80"} {
		out := lookUp(t, target, Request{Name: "www.example.com", Types: []uint16{qtype}})
		if !slices.Equal(out.Addresses, []string{want}) || len(f.asked()) != 1 {
			t.Errorf("%d: %v", qtype, out.Addresses)
		}
	}
}

func TestLiteralsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	target := targetIn(pod, conf("nameserver "+server1))
	for name, want := range map[string]string{"10.0.0.1": "10.0.0.1", "127.1": "127.0.0.1", "fd00::1": "fd00::1", "fe80::1%eth0": "fe80::1%eth0"} {
		out := lookUp(t, target, Request{Name: name})
		if out.Outcome != "answered" || out.Source != "literal" || !slices.Equal(out.Addresses, []string{want}) {
			t.Errorf("%s: %+v", name, out)
		}
	}
	if asked := f.asked(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestUnknownFiles(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	f.serve(t, pod, "127.0.0.1")

	none := Target{Network: Network{Handle: pod.Handle}}
	overlay := Target{Network: Network{Handle: pod.Handle}, Files: mapFiles{hostsPath: "192.0.2.1 x\n"}}
	for title, target := range map[string]Target{"no files": none, "files without resolv.conf that are not the whole root": overlay} {
		out := lookUp(t, target, Request{Name: "www.example.com"})
		if out.Outcome != "no_nameserver" || !hasNote(out, "no_files") || out.Complete || len(out.Tried) > 0 {
			t.Errorf("%s: %+v", title, out)
		}
		out = lookUp(t, target, Request{Name: "www.example.com", Server: netip.MustParseAddrPort(server1 + ":53")})
		if out.Outcome != "answered" || !hasNote(out, "no_files") {
			t.Errorf("%s with a server: %+v", title, out)
		}
	}
	f.asked()

	// That the file does not exist is known, so the library's default is asked.
	out := lookUp(t, targetIn(pod, nil), Request{Name: "www.example.com"})
	if out.Outcome != "answered" || !hasNote(out, "no_resolv_conf") || !out.Resolver.Defaulted || out.Server != "127.0.0.1" {
		t.Errorf("no resolv.conf: %+v", out)
	}
}

// failingFiles cannot be read.
type failingFiles struct{ err error }

func (f failingFiles) ReadFile(context.Context, string, int64) (nsexec.File, error) {
	return nsexec.File{}, f.err
}

func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	target := targetIn(pod, nil)
	target.Files = failingFiles{nsexec.ErrNotRegular}
	out := lookUp(t, target, Request{Name: "www.example.com"})
	if out.Outcome != "no_nameserver" || !hasNote(out, "file_unread") || out.Complete {
		t.Errorf("%+v", out)
	}
	target.Files = failingFiles{&nsexec.PermissionError{Op: "open /etc/resolv.conf", Err: os.ErrPermission}}
	if _, err := Run(t.Context(), target, Request{Name: "x"}); !errors.As(err, new(*nsexec.PermissionError)) {
		t.Errorf("%v", err)
	}
}

func TestServerOfOnesOwn(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	zone(nil).serve(t, pod, server1)
	zone(cluster()).serve(t, pod, server2)
	target := targetIn(pod, conf("search svc.cluster.local", "nameserver "+server1))
	server := netip.MustParseAddrPort(server2 + ":53")
	out := lookUp(t, target, Request{Name: "web.shop", Server: server})
	if out.Outcome != "answered" || out.Server != server2 || out.SearchDomain != "svc.cluster.local" {
		t.Errorf("%+v", out)
	}
	if out = lookUp(t, target, Request{Name: "web.shop", Server: server, NoSearch: true}); out.Outcome != "nxdomain" || len(out.Tried) != 1 {
		t.Errorf("without search: %+v", out)
	}
	if out = lookUp(t, target, Request{Name: "web.shop", Server: netip.AddrPortFrom(server.Addr(), 5353)}); out.Outcome != "unreachable" || out.Server != server2+":5353" {
		t.Errorf("other port: %+v", out)
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	f.serve(t, pod, server2)
	refused := errors.New("refused by policy")
	var mu sync.Mutex
	var checked []string
	target := targetIn(pod, conf("nameserver "+server1))
	target.Allow = func(a netip.AddrPort, own bool) error {
		if own {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		checked = append(checked, a.String())
		return refused
	}
	if out := lookUp(t, target, Request{Name: "www.example.com"}); out.Outcome != "answered" || len(checked) > 0 {
		t.Errorf("own nameserver: %s, checked %v", out.Outcome, checked)
	}
	own := netip.MustParseAddrPort(server1 + ":53")
	if out := lookUp(t, target, Request{Name: "www.example.com", Server: own}); out.Outcome != "answered" {
		t.Errorf("own nameserver, named: %s", out.Outcome)
	}
	f.asked()
	for _, server := range []string{server2 + ":53", server1 + ":5353", "[::ffff:" + server2 + "]:53", "[::ffff:" + server1 + "]:53"} {
		if _, err := Run(t.Context(), target, Request{Name: "www.example.com", Server: netip.MustParseAddrPort(server)}); !errors.Is(err, refused) {
			t.Errorf("%s: %v", server, err)
		}
	}
	if asked := f.asked(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	if want := server2 + ":53"; !slices.Contains(checked, want) {
		t.Errorf("checked %v, not the plain form %s", checked, want)
	}
	// The hook that opens the connection asks, too, not only the check before.
	d, err := newDialer(target.Network, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		if _, err := d.dial(t.Context(), network, netip.MustParseAddrPort(server2+":53")); !errors.Is(err, refused) {
			t.Errorf("dial %s: %v", network, err)
		}
	}
}

func TestLinkLocalServer(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{IPv6: true}, lab.PodSpec{IPv6: true})
	client, server := pods[0], pods[1]
	out, err := server.Output("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	address, _, _ := strings.Cut(fields[slices.Index(fields, "inet6")+1], "/")
	index := strings.TrimSuffix(fields[0], ":") // package net would look a name up at home
	f := zone(cluster())
	f.serve(t, server, address+"%"+index)
	found := lookUp(t, targetIn(client, conf("nameserver "+address+"%eth0")), Request{Name: "www.example.com"})
	if found.Outcome != "answered" || found.Server != address+"%eth0" {
		t.Errorf("%+v", found)
	}
	if found := lookUp(t, targetIn(client, conf("nameserver "+address+"%nosuch", "options timeout:1 attempts:1")), Request{Name: "www.example.com"}); found.Outcome != "unreachable" {
		t.Errorf("zone of no interface: %s", found.Outcome)
	}
}

// TestOwnErrors: what the own host says when it cannot send.
func TestOwnErrors(t *testing.T) {
	t.Parallel()
	for fault, reason := range map[string]string{
		"no default route": "ENETUNREACH", "default route is a blackhole": "EINVAL", "eth0 gone": "ENETUNREACH",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			pod := lab.Start(t).Pod(t, lab.PodSpec{})
			if err := pod.Break(fault); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			out := lookUp(t, targetIn(pod, conf("nameserver 10.96.0.10")), Request{Name: "www.example.com"})
			if out.Outcome != "unreachable" || len(out.Tried) == 0 || out.Tried[0].Reason != reason {
				t.Errorf("%+v", out)
			}
			if d := time.Since(start); d > soon {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestNoNeighbour: the next hop does not answer ARP. The kernel says so after
// its three requests, one a second.
func TestNoNeighbour(t *testing.T) {
	t.Parallel()
	pod := lab.Start(t).Pod(t, lab.PodSpec{})
	free := pod.IP.Next().Next().Next()
	out := lookUp(t, targetIn(pod, conf("nameserver "+free.String())), Request{Name: "www.example.com"})
	if out.Outcome != "unreachable" || out.Tried[0].Reason != "EHOSTUNREACH" || out.AppWaitMS < 2000 {
		t.Errorf("%+v", out)
	}
}

// TestRightNamespace: the same addresses at home and on the node hear nothing.
func TestRightNamespace(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{})
	right, decoy := with(truncated, cluster()), zone(nil)
	right.serve(t, pod, "127.0.53.53")
	for _, h := range []*nsexec.Handle{l.Home.Self(), l.Node.Handle} {
		packets, err := h.ListenConfig().ListenPacket(t.Context(), "udp", "127.0.53.53:53")
		if err != nil {
			t.Fatal(err)
		}
		decoy.start(t, &dns.Server{PacketConn: packets, Handler: decoy})
		listener, err := h.ListenConfig().Listen(t.Context(), "tcp", "127.0.53.53:53")
		if err != nil {
			t.Fatal(err)
		}
		decoy.start(t, &dns.Server{Listener: listener, Handler: decoy})
	}
	out := lookUp(t, targetIn(pod, conf("nameserver 127.0.53.53")), Request{Name: "www.example.com"})
	if out.Outcome != "answered" || len(decoy.asked()) > 0 || len(right.asked()) != 4 {
		t.Errorf("%+v", out)
	}
}

func TestEDNSOnlyWhereAskedFor(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	var withOPT, withAD atomic.Int32
	f := zone(cluster())
	f.handle = func(_ dns.ResponseWriter, q *dns.Msg) bool {
		if q.IsEdns0() != nil {
			withOPT.Add(1)
		}
		if q.AuthenticatedData {
			withAD.Add(1)
		}
		return false
	}
	f.serve(t, pod, server1)
	for _, c := range []struct {
		options string
		edns    bool
		opt, ad int32
	}{{"", false, 0, 0}, {"", true, 2, 0}, {"options edns0", false, 2, 0}, {"options trust-ad", false, 0, 2}} {
		withOPT.Store(0)
		withAD.Store(0)
		lookUp(t, targetIn(pod, conf("nameserver "+server1, c.options)), Request{Name: "www.example.com", EDNS: c.edns})
		if withOPT.Load() != c.opt || withAD.Load() != c.ad {
			t.Errorf("%q %v: %d queries with OPT, %d with AD", c.options, c.edns, withOPT.Load(), withAD.Load())
		}
	}
}

func TestUseVC(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	out := lookUp(t, targetIn(pod, conf("nameserver "+server1, "options use-vc")), Request{Name: "www.example.com"})
	if out.Outcome != "answered" || out.Tried[0].TCP != "ok" || len(out.Addresses) != 2 {
		t.Errorf("%+v", out)
	}
	for _, ask := range f.asked() {
		if !strings.HasSuffix(ask, " tcp") {
			t.Errorf("asked %s", ask)
		}
	}
}

// TestOneByOne: with single-request there are never two queries under way on one
// socket.
func TestOneByOne(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	var mu sync.Mutex
	open := make(map[string]int)
	most := 0
	f := zone(cluster())
	f.handle = func(w dns.ResponseWriter, q *dns.Msg) bool {
		from := w.RemoteAddr().String()
		mu.Lock()
		open[from]++
		most = max(most, open[from])
		mu.Unlock()
		time.AfterFunc(20*time.Millisecond, func() {
			mu.Lock()
			open[from]--
			mu.Unlock()
			_ = w.WriteMsg(f.answer(q))
		})
		return true
	}
	f.serve(t, pod, server1)
	for options, want := range map[string]int{"single-request": 1, "single-request-reopen": 1, "rotate": 2} {
		lookUp(t, targetIn(pod, conf("nameserver "+server1, "options "+options)), Request{Name: "www.example.com"})
		mu.Lock()
		if most != want {
			t.Errorf("%s: %d at a time, want %d", options, most, want)
		}
		most = 0
		mu.Unlock()
	}
}

// TestSettling: what does not decide is not waited for long.
func TestSettling(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	zone(cluster()).serve(t, pod, server1)
	with(silent, nil).serve(t, pod, server2)
	target := targetIn(pod, conf("nameserver "+server1, "nameserver "+server2))
	for _, c := range []struct {
		hurry       bool
		least, most time.Duration
	}{{false, settle, settle + soon}, {true, 0, soon}} {
		start := time.Now()
		out := lookUp(t, target, Request{Name: "www.example.com", Hurry: c.hurry})
		if d := time.Since(start); out.Outcome != "answered" || d < c.least || d > c.most {
			t.Errorf("hurry %v: %s in %v", c.hurry, out.Outcome, d)
		}
		if out.AppWaitMS > 100 || out.AppWaitMS != math.Trunc(out.AppWaitMS) || !out.Complete {
			t.Errorf("%+v", out)
		}
	}
}

// TestHostsDoNotWait: with an answer from the hosts file a silent server is not
// waited for, and in a hurry not even asked.
func TestHostsDoNotWait(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := with(silent, nil)
	f.serve(t, pod, server1)
	target := targetIn(pod, files(conf("nameserver "+server1), hostsPath, "192.0.2.200 pinned\n"))
	for _, hurry := range []bool{true, false} {
		start := time.Now()
		out := lookUp(t, target, Request{Name: "pinned", Hurry: hurry})
		if d := time.Since(start); out.Source != "hosts" || d > soon {
			t.Errorf("hurry %v: %s after %v", hurry, out.Outcome, d)
		}
		if asked := f.asked(); hurry && len(asked) > 0 {
			t.Errorf("asked %v", asked)
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	with(silent, nil).serve(t, pod, server1)
	start := time.Now()
	out := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com", Window: 300 * time.Millisecond})
	if d := time.Since(start); d < 300*time.Millisecond || d > soon {
		t.Errorf("it took %v", d)
	}
	if out.Outcome != "timeout" || out.Complete || out.AppWaitMS != 10_000 {
		t.Errorf("%+v", out)
	}
	// A deadline of the caller is a window, too.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	out, err := Run(ctx, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com"})
	if err != nil || out.Outcome != "timeout" || out.Complete {
		t.Errorf("%v, %+v", err, out)
	}
}

func TestCancelEndsAtOnce(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	asked := make(chan struct{}, 16)
	with(func(w dns.ResponseWriter, q *dns.Msg) bool {
		asked <- struct{}{}
		return silent(w, q)
	}, nil).serve(t, pod, server1)
	for _, options := range []string{"", "use-vc", "single-request"} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		start := time.Now()
		_, err := Run(ctx, targetIn(pod, conf("nameserver "+server1, "options "+options)), Request{Name: "www.example.com"})
		if d := time.Since(start); !errors.Is(err, context.Canceled) || d > soon {
			t.Errorf("%q: %v after %v", options, err, d)
		}
		cancel()
		for len(asked) > 0 {
			<-asked
		}
	}
}

func TestRotateSaysTheWorst(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	zone(cluster()).serve(t, pod, server1)
	zone(nil).serve(t, pod, server2)
	with(silent, nil).serve(t, pod, server3)
	out := lookUp(t, targetIn(pod, conf("nameserver "+server1, "nameserver "+server2, "nameserver "+server3, "options rotate")), Request{Name: "www.example.com"})
	if !hasNote(out, "rotate") || out.AppWaitMS < 6000 || out.AppWaitMS > 7000 { // 20 s shared by three, rounded down
		t.Errorf("%v ms, notes %v", out.AppWaitMS, out.Notes)
	}
}

func TestHostsBeside(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	zone(cluster()).serve(t, pod, server1)
	out := lookUp(t, targetIn(pod, files(conf("nameserver "+server1), hostsPath, "192.0.2.200 www.example.com\n")), Request{Name: "www.example.com"})
	if out.Source != "hosts" || !slices.Equal(out.Addresses, []string{"192.0.2.200"}) || out.Hosts == nil || !out.Hosts.Used || out.Hosts.Line != 1 {
		t.Errorf("%+v", out)
	}
	if !slices.Equal(out.DNSAddresses, []string{"192.0.2.80", "2001:db8::80"}) && !slices.Equal(out.DNSAddresses, []string{"2001:db8::80", "192.0.2.80"}) {
		t.Errorf("DNS says %v", out.DNSAddresses)
	}
	if out.AppWaitMS != 0 || slices.ContainsFunc(out.Tried, func(t fact.DNSTry) bool { return !t.Beside }) {
		t.Errorf("the application waits %v ms for %+v", out.AppWaitMS, out.Tried)
	}
}

func TestMuslIsDetected(t *testing.T) {
	t.Parallel()
	loader := architectures[runtime.GOARCH].muslLoader
	if loader == "" {
		t.Skip("no loader is known for this architecture")
	}
	pod := newPod(t)
	zone(cluster()).serve(t, pod, server1)
	base := conf("search svc.cluster.local", "nameserver "+server1)
	out := lookUp(t, targetIn(pod, base), Request{Name: "web.shop"})
	if out.Outcome != "answered" || out.Resolver.Library != "glibc" || out.Resolver.Detected || len(out.Others) != 1 || out.Others[0].Library != "musl" || out.Others[0].Outcome != "nxdomain" || out.Others[0].Why == "" {
		t.Errorf("%+v", out)
	}
	out = lookUp(t, targetIn(pod, files(base, loader, "x")), Request{Name: "web.shop"})
	if out.Outcome != "nxdomain" || out.Resolver.Library != "musl" || !out.Resolver.Detected || out.AppError != "EAI_NONAME: Name does not resolve" {
		t.Errorf("%+v", out)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	target := targetIn(pod, conf("search no.example", "nameserver "+server1))
	target.LocalDomain, target.ResOptions = text("svc.cluster.local"), text("ndots:3")
	out := lookUp(t, target, Request{Name: "web.shop"})
	if out.Outcome != "answered" || !hasNote(out, "environment") || !slices.Equal(out.Resolver.Options, []string{"ndots:3"}) {
		t.Errorf("%+v", out)
	}
}

// TestManyDomains: a long search list is asked up to a bound, which is said.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	f := zone(nil)
	f.serve(t, pod, server1)
	var domains []string
	for i := range 100 {
		domains = append(domains, fmt.Sprintf("d%d.example", i))
	}
	out := lookUp(t, targetIn(pod, conf("search "+strings.Join(domains, " "), "nameserver "+server1, "options ndots:5")), Request{Name: "web"})
	if out.Outcome != "nxdomain" || out.Complete || !hasNote(out, "search_cut") || out.Resolver.SearchTotal != 100 || len(out.Tried) != MaxNames {
		t.Errorf("%s, %d tried, notes %v", out.Outcome, len(out.Tried), out.Notes)
	}
}

func TestLongResolvConf(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	zone(cluster()).serve(t, pod, server1)
	var b strings.Builder
	for i := range 9_998 {
		fmt.Fprintf(&b, "# line %d\n", i)
	}
	b.WriteString("search svc.cluster.local\nnameserver " + server1 + "\n")
	start := time.Now()
	out := lookUp(t, targetIn(pod, map[string]string{resolvConfPath: b.String()}), Request{Name: "web.shop"})
	if d := time.Since(start); out.Outcome != "answered" || d > soon {
		t.Errorf("%s in %v", out.Outcome, d)
	}
	// Beyond the bound the file is cut, and that is said.
	b.WriteString(strings.Repeat("#", maxResolvConf))
	if out = lookUp(t, targetIn(pod, map[string]string{resolvConfPath: b.String()}), Request{Name: "web.shop"}); out.Outcome != "answered" || !hasNote(out, "file_unread") {
		t.Errorf("cut: %+v", out)
	}
}
