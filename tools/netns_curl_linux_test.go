package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// newCurlbench is a testbench with two pods, "web" of which serves HTTP.
func newCurlbench(tb testing.TB, specs ...lab.PodSpec) (b *testbench, pods []*lab.Pod) {
	tb.Helper()
	b = newTestbench(tb, nil)
	if specs == nil {
		specs = []lab.PodSpec{
			{Name: "client", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app", Env: []string{"no_proxy=.svc"}}}},
			{Name: "web", Namespace: "shop"},
		}
	}
	return b, b.lab.Pods(tb, specs...)
}

func curlArgs(url string, more ...any) map[string]any {
	args := map[string]any{"pod": "shop/client", "url": url}
	for i := 0; i < len(more); i += 2 {
		args[more[i].(string)] = more[i+1]
	}
	return args
}

func TestCurl(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t)
	at, err := pods[1].Serve(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "hello %s %s", r.Host, r.Header.Get("Authorization"))
	}))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + at.String() + "/"

	answer, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs(url))
	if data.Outcome != fact.OutcomeOK || *data.Status != 200 || len(answer.Findings) != 0 || len(answer.Next) != 0 {
		t.Errorf("%+v", answer)
	}
	if !strings.HasPrefix(answer.Summary, "200 OK from "+at.String()+" over HTTP/1.1 in ") {
		t.Errorf("summary %q", answer.Summary)
	}
	if text, _ := json.Marshal(answer); len(text) > 2048 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	// A secret stands neither in the answer nor in the audit.
	answer, _ = succeed[fact.Fetch](t, b, "netns_curl", curlArgs(url, "headers", map[string]any{"Authorization": "Bearer swordfish"}))
	text, _ := json.Marshal(answer)
	if strings.Contains(string(text)+fmt.Sprint(b.audited()), "swordfish") {
		t.Errorf("%s\n%v", text, b.audited())
	}

	fail(t, b, dispatch.CodeInvalidArguments, "netns_curl", curlArgs("gopher://10.0.0.1"))
	fail(t, b, dispatch.CodeInvalidArguments, "netns_curl", curlArgs(url, "method", "DELETE"))
	fail(t, b, dispatch.CodeInvalidArguments, "netns_curl", curlArgs(url, "http_version", "3"))
	fail(t, b, dispatch.CodeUnknownArgument, "netns_curl", curlArgs(url, "follow", 3))
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", curlArgs("http://169.254.169.254/latest/meta-data"))
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", curlArgs("http://[64:ff9b::a9fe:a9fe]/"))
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", curlArgs("http://metadata.test/", "resolve", "metadata.test:80:100.100.100.200"))
}

func TestCurlByName(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t,
		lab.PodSpec{Name: "client", Namespace: "shop", Files: lab.FileSpec{
			Hosts: "127.0.0.1 localhost\n10.244.1.250 web.test\n", ResolvConf: "nameserver 127.0.0.1\n",
		}},
		lab.PodSpec{Name: "web", Namespace: "shop", IP: netip.MustParseAddr("10.244.1.250")},
	)
	if _, err := pods[1].Serve(":80", http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://web.test/x"))
	if data.Outcome != fact.OutcomeHTTPError || *data.Status != 404 || data.DNS.Source != "hosts" || data.Remote != "10.244.1.250:80" {
		t.Errorf("%+v", data)
	}
	if len(answer.Findings) != 1 || answer.Findings[0].Code != "http.client_error" ||
		len(answer.Next) != 1 || answer.Next[0].Tool != "netns_dns_lookup" || !strings.Contains(answer.Summary, "the address is from the hosts file") {
		t.Errorf("%+v %+v", answer.Findings, answer.Next)
	}
	// Nobody listens at the nameserver: that says nothing of the name.
	answer, data = succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://other.test/"))
	if answer.Summary != "The request was not sent: the name could not be looked up: no nameserver can be reached (127.0.0.1)." || data.DNS.Outcome != "unreachable" {
		t.Errorf("summary %q, %+v", answer.Summary, data.DNS)
	}
	if got := codes(answer.Findings); !slices.Equal(got, []string{"dns.nameserver_refused"}) {
		t.Errorf("%+v", answer.Findings)
	}
	answer, data = succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://web.test:81/"))
	if data.Outcome != fact.OutcomeRefused || len(answer.Findings) != 1 || answer.Findings[0].Code != "tcp.refused" {
		t.Errorf("%+v %+v", data, answer.Findings)
	}
	// The address may be an old one.
	if len(answer.Next) != 3 || answer.Next[0].Tool != dnsLookupTool {
		t.Fatalf("%+v", answer.Next)
	}
	// Inside the destination it is plain that nobody listens.
	inside, _ := succeed[fact.Fetch](t, b, answer.Next[1].Tool, answer.Next[1].Arguments)
	if inside.Target.NetnsCookie != pods[1].Handle.Identity().Cookie || len(inside.Findings) != 1 || inside.Findings[0].Code != "tcp.no_listener" {
		t.Errorf("%+v %+v %+v", inside.Target, inside.Findings, inside.Next)
	}
	// The comparison goes to the address that the pod found.
	next := answer.Next[2]
	if next.Arguments["netns"] != "host" || fmt.Sprint(next.Arguments["resolve"]) != "[web.test:81:10.244.1.250]" {
		t.Errorf("%+v", next)
	}
	again, data := succeed[fact.Fetch](t, b, next.Tool, next.Arguments)
	if data.Outcome != fact.OutcomeRefused || !again.Target.HostNetwork {
		t.Errorf("%+v", again)
	}
}

// The destination is looked into where it is attached to this node, whoever else
// has its address.
func TestCurlFromInsideTheDestination(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t)
	twin := b.lab.Pod(t, lab.PodSpec{Name: "twin"})
	ip(t, twin.Netns, "addr add "+pods[1].IP.String()+"/32 dev lo\n")
	node, err := b.lab.AddNode()
	if err != nil {
		t.Fatal(err)
	}
	far := b.lab.Pod(t, lab.PodSpec{Name: "far", Node: node})
	cookie := func(p *lab.Pod) string { return fmt.Sprint(p.Handle.Identity().Cookie) }
	for _, c := range []struct {
		title, from, to string
		inside          string // the cookie of the network that is proposed, "" for none
	}{
		{"another pod of the node", "shop/client", pods[1].IP.String(), cookie(pods[1])},
		{"the same from the node", "", pods[1].IP.String(), cookie(pods[1])},
		{"a pod of another node", "shop/client", far.IP.String(), ""},
		{"the pod itself", "shop/client", pods[0].IP.String(), ""},
		{"the node itself", "shop/client", b.lab.Node.IP.String(), ""},
	} {
		args := map[string]any{"url": "http://" + c.to + ":81/", "pod": c.from}
		if c.from == "" {
			args["netns"] = "host"
			delete(args, "pod")
		}
		answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
		if data.Outcome != fact.OutcomeRefused {
			t.Errorf("%s: %s", c.title, answer.Summary)
		}
		got := ""
		for _, n := range answer.Next {
			if strings.Contains(n.Why, "inside the destination") {
				got = fmt.Sprint(n.Arguments["expect"])
			}
		}
		if got != c.inside {
			t.Errorf("%s: inside %q, want %q in %+v", c.title, got, c.inside, answer.Next)
		}
	}
}

// clusterWithService is a cluster that knows one service and nothing else.
type clusterWithService struct {
	resolve.ClusterSource
	ip      netip.Addr
	service resolve.Service
	asked   atomic.Int64 // for services
}

func (*clusterWithService) Name() string                             { return "kubernetes" }
func (*clusterWithService) ThisNode(context.Context) (string, error) { return "", nil }
func (*clusterWithService) Exact(context.Context, resolve.Query) ([]resolve.Workload, error) {
	return nil, nil
}
func (*clusterWithService) List(context.Context) ([]resolve.Workload, error) { return nil, nil }

func (c *clusterWithService) Service(_ context.Context, q resolve.ServiceQuery) (*resolve.ServiceState, error) {
	c.asked.Add(1)
	if q.IP != c.ip {
		return nil, nil
	}
	return &resolve.ServiceState{Service: c.service, ClusterIP: c.ip.String()}, nil
}

func (c *clusterWithService) Address(_ context.Context, ip netip.Addr) (resolve.Address, error) {
	if ip != c.ip {
		return resolve.Address{}, nil
	}
	return resolve.Address{Service: &c.service}, nil
}

// TestCurlOfAService: behind the address of a service is a pod, which is named, and
// which the next step looks into at that pod's own address.
func TestCurlOfAService(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t)
	service, err := b.lab.AddService(lab.ServiceSpec{Name: "api", IP: netip.MustParseAddr("10.96.77.7"), Port: 80, TargetPort: 8080, Backends: []netip.Addr{pods[1].IP}})
	if err != nil {
		t.Fatal(err)
	}
	cluster := &clusterWithService{ip: service.IP, service: resolve.Service{
		Name: "api", Namespace: "shop", Ports: []resolve.ServicePort{{Port: 80, Protocol: "TCP", TargetPort: "8080", Ready: 1}},
		Endpoints: []resolve.Endpoint{{Address: pods[1].IP.String(), Ready: true, Ports: map[string]uint16{"": 8080}}}, Ready: 1, Total: 1,
	}}
	knowing := resolve.New(resolve.Config{Home: b.lab.Home, Host: b.lab.Node.Handle, AllowHostNetwork: true, Cluster: []resolve.Source{cluster}})
	t.Cleanup(knowing.Close)
	b.Env.Resolver = knowing
	pid := pods[0].PID
	ask := func(more ...any) (*dispatch.Envelope, fact.Fetch) {
		t.Helper()
		args := curlArgs("http://"+service.IP.String()+"/", more...)
		delete(args, "pod")
		if args["netns"] == nil {
			args["pid"] = pid
		}
		return succeed[fact.Fetch](t, b, "netns_curl", args)
	}
	inside := func(answer *dispatch.Envelope) map[string]any {
		t.Helper()
		for _, n := range answer.Next {
			if strings.Contains(n.Why, "inside the destination") {
				return n.Arguments
			}
		}
		t.Fatalf("%+v", answer)
		return nil
	}
	behind := netip.AddrPortFrom(pods[1].IP, 8080).String()

	// A RST leaves no trace in the conntrack table; the cluster knows the endpoints, and
	// each is tried by itself and looked into.
	answer, data := ask()
	if !slices.Equal(codes(answer.Findings), []string{"tcp.no_listener"}) || !strings.Contains(answer.Summary, "service shop/api leads to "+behind) {
		t.Errorf("%+v", answer)
	}
	if s := data.Service; s == nil || s.Ready != 1 || len(s.Backends) != 1 || s.Backends[0].Address != behind || s.Backends[0].Outcome != fact.OutcomeRefused {
		t.Errorf("%+v", s)
	}
	asked := cluster.asked.Load()
	if asked == 0 {
		t.Error("nobody was asked")
	}

	if _, err := pods[1].Serve(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })); err != nil {
		t.Fatal(err)
	}
	answer, data = ask()
	if a := data.Attempts[0]; *data.Status != 503 || a.Node == nil || a.Node.SentTo != behind || a.Route != nil || data.Conn == nil || data.Conn.BytesSent == 0 || data.Conn.MSS == 0 || data.Conn.RTTMS == 0 {
		t.Errorf("%+v", data)
	}
	if _, data := succeed[fact.Fetch](t, b, "netns_curl", inside(answer)); data.Attempts[0].Address != behind || *data.Status != 503 {
		t.Errorf("%+v", data)
	}
	_, data = ask("details", true)
	if a := data.Attempts[0]; a.Node == nil || a.Route == nil || a.Route.Dev != "eth0" || a.Neigh == nil || data.Conn == nil {
		t.Errorf("%+v", data)
	}
	if now := cluster.asked.Load(); now != asked {
		t.Errorf("the cluster was asked %d times although a server answered", now-asked)
	}
	// The node translates its own connections itself.
	_, data = ask("details", true, "netns", "host")
	if a := data.Attempts[0]; a.SentTo != behind || a.Neigh == nil || a.Neigh.Dst != pods[1].IP.String() {
		t.Errorf("%+v", data.Attempts)
	}
}

// TestCurlOfAServiceThatNATDoesNotKnow: what leaves the node for a service's own address
// is told from a lost packet, from a pod and from the node.
func TestCurlOfAServiceThatNATDoesNotKnow(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	b, pods := newCurlbench(t)
	cluster := &clusterWithService{ip: netip.MustParseAddr("10.96.77.8"), service: resolve.Service{
		Name: "api", Namespace: "shop", Ports: []resolve.ServicePort{{Port: 80, Protocol: "TCP", TargetPort: "8080", Ready: 1}},
		Endpoints: []resolve.Endpoint{{Address: pods[1].IP.String(), Ready: true, Ports: map[string]uint16{"": 8080}}}, Ready: 1, Total: 1,
	}}
	if _, err := pods[1].Serve(":8080", http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	// The wire answers for nobody: it is a switch without the address.
	b.Env.Resolver = resolve.New(resolve.Config{Home: b.lab.Home, Host: b.lab.Node.Handle, AllowHostNetwork: true, Cluster: []resolve.Source{cluster}})
	t.Cleanup(b.Env.Resolver.Close)
	for _, from := range []map[string]any{{"pid": pods[0].PID}, {"netns": "host"}} {
		args := curlArgs("http://"+cluster.ip.String()+"/", "timeout_ms", 8000)
		delete(args, "pod")
		maps.Copy(args, from)
		answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
		if got := codes(answer.Findings); !slices.Equal(got, []string{"svc.no_dnat"}) || !strings.Contains(answer.Summary, "service shop/api untranslated") {
			t.Errorf("%v: %s %s %+v\n%+v", from, data.Outcome, answer.Summary, answer.Findings, data.Journey)
		}
	}
}

// answerNames serves DNS in a pod: every name of the table has that address.
func answerNames(t *testing.T, p *lab.Pod, table map[string]string) {
	t.Helper()
	conn, err := p.ListenPacket("udp", p.IP.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		address, known := table[q.Question[0].Name]
		switch {
		case !known:
			answer.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			record, err := dns.NewRR(q.Question[0].Name + " 5 IN A " + address)
			if err != nil {
				return
			}
			answer.Answer = append(answer.Answer, record)
		}
		_ = w.WriteMsg(answer) // the client may be gone
	})}
	go func() { _ = server.ActivateAndServe() }() // ends with the socket
	t.Cleanup(func() { _ = server.Shutdown() })
}

func TestCurlByDNS(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t,
		lab.PodSpec{Name: "client", Namespace: "shop", Files: lab.FileSpec{
			ResolvConf: "nameserver 10.244.1.250\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:5\n",
		}},
		lab.PodSpec{Name: "web", Namespace: "shop", IP: netip.MustParseAddr("10.244.1.250")},
	)
	if _, err := pods[1].Serve(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })); err != nil {
		t.Fatal(err)
	}
	answerNames(t, pods[1], map[string]string{"web.shop.svc.cluster.local.": "10.244.1.250", "evil.test.": "169.254.169.254"})

	_, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://web/"))
	if data.Outcome != fact.OutcomeOK || data.Untrusted.Body != "web" || data.DNS.Outcome != "answered" || data.Timings.DNSMS == nil {
		t.Errorf("%+v %+v", data, data.DNS)
	}
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://wep/"))
	if data.Outcome != fact.OutcomeDNSFailed || data.Stage != fact.StageDNS || data.DNS.Outcome != "nxdomain" || len(data.Attempts) != 0 {
		t.Errorf("%+v %+v", data, data.DNS)
	}
	if answer.Summary != "The request was not sent: the name has no address: it does not exist." || data.DNS.Source != "10.244.1.250" {
		t.Errorf("summary %q, source %q", answer.Summary, data.DNS.Source)
	}
	if len(answer.Findings) != 1 || answer.Findings[0].Code != "dns.nxdomain" || !strings.HasPrefix(answer.Findings[0].Fact, "none of the 3 names") {
		t.Errorf("%+v", answer.Findings)
	}
	fail(t, b, dispatch.CodeDestinationDenied, "netns_curl", curlArgs("http://evil.test/"))
}

func TestCurlOfSilentServer(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t)
	listener, err := pods[1].Listen("tcp", ":80") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var answer *dispatch.Envelope
	var data fact.Fetch
	for range 10 { // on a busy machine the call has no time left to look for the owner of the address
		if answer, data = succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://"+pods[1].IP.String(), "timeout_ms", 2500,
			"headers", map[string]any{"X-A": "b", "Cookie": "swordfish"})); len(answer.Next) == 3 {
			break
		}
	}
	if data.Outcome != fact.OutcomeTimeout || data.Stage != fact.StageResponse || len(answer.Findings) != 1 || answer.Findings[0].Code != "http.no_response" {
		t.Errorf("%+v %+v", data, answer.Findings)
	}
	if len(answer.Next) != 3 || fmt.Sprint(answer.Next[0].Arguments["mss"]) != "536" || answer.Next[1].Arguments["netns"] != "host" ||
		!strings.Contains(answer.Next[2].Why, "inside the destination") {
		t.Fatalf("%+v", answer.Next)
	}
	for _, next := range answer.Next {
		if fmt.Sprint(next.Arguments["headers"]) != "map[X-A:b]" || !strings.Contains(next.Why, "credentials are left out") {
			t.Errorf("%+v", next)
		}
		if _, data := succeed[fact.Fetch](t, b, next.Tool, next.Arguments); data.Outcome != fact.OutcomeTimeout {
			t.Errorf("%+v", data)
		}
	}
}

func TestCurlSaysWhichProxyApplies(t *testing.T) {
	t.Parallel()
	b, _ := newCurlbench(t, lab.PodSpec{Name: "client", Namespace: "shop", Containers: []lab.ContainerSpec{
		{Name: "app", Env: []string{"HTTPS_PROXY=http://user:swordfish@10.244.1.99:3128"}},
	}})
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("https://10.244.1.1:9/", "timeout_ms", 500))
	if data.Proxy == nil || !data.Proxy.Applies || data.Proxy.Used || data.Proxy.Address != "http://10.244.1.99:3128" {
		t.Errorf("%+v", data.Proxy)
	}
	text, _ := json.Marshal(answer)
	if strings.Contains(string(text), "swordfish") {
		t.Errorf("%s", text)
	}
	if !slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool { return n.Code == "proxy_env" }) ||
		!slices.ContainsFunc(answer.Next, func(n dispatch.Next) bool { return n.Arguments["use_proxy"] == true }) {
		t.Errorf("%s", text)
	}
}

// The bound of threads is for a whole process, so this test is not parallel.
func TestCurlsThatHang(t *testing.T) {
	if !lab.Alone(t) {
		return
	}
	b, pods := newCurlbench(t)
	if err := allowManyFiles(); err != nil {
		t.Fatal(err)
	}
	listener, err := pods[1].Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
		}
	}()
	silent := "http://" + pods[1].IP.String() + "/"
	nobody := "http://10.244.1.251/"

	const calls, deadline = 1000, 4 * time.Second
	latest := make(chan time.Duration, calls)
	var wg sync.WaitGroup
	var failures atomic.Int64
	for i := range calls {
		url := silent
		if i%2 == 0 {
			url = nobody
		}
		wg.Go(func() {
			start := time.Now()
			answer := b.Call(t.Context(), dispatch.Call{Tool: "netns_curl", Arguments: json.RawMessage(
				fmt.Sprintf(`{"pid":%d,"url":%q,"timeout_ms":%d}`, pods[0].PID, url, deadline.Milliseconds()))})
			// On a busy machine a call may come too late even to word its answer.
			if answer.Error != nil && answer.Error.Code != dispatch.CodeTimeout {
				failures.Add(1)
				t.Logf("%s: %s", answer.Error.Code, answer.Error.Message)
			}
			latest <- time.Since(start)
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	most, last := 0, time.Duration(0)
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
		last = max(last, <-latest)
	}
	t.Logf("%d calls, the longest %s, at most %d threads, %d errors", calls, last, most, failures.Load())
	if failures.Load() > 0 {
		t.Errorf("%d calls failed instead of measuring", failures.Load())
	}
	if most >= lab.ManyThreads {
		t.Errorf("%d threads", most)
	}
	if last > 5*deadline { // the machine may be busy with other tests
		t.Errorf("the longest call took %s", last)
	}
}

func allowManyFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// A probe from a pod that is removed meanwhile says so, besides what it met.
func TestCurlFromAPodThatEnds(t *testing.T) {
	t.Parallel()
	b, pods := newCurlbench(t)
	pid := pods[0].PID
	at, err := pods[1].Serve(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if err := pods[0].Delete(); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://"+at.String()+"/", "timeout_ms", 1000))
	if last := answer.Notes[max(0, len(answer.Notes)-1):]; len(last) != 1 || last[0].Code != "target_ended" || !strings.Contains(last[0].Message, fmt.Sprint("process ", pid)) {
		t.Errorf("%s: %+v", answer.Summary, answer.Notes)
	}
}
