package tools

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// answerInTurn serves DNS in a pod: a name's lookups have the answers in turn, each
// of addresses with a comma between, and then the last one for ever.
func answerInTurn(t *testing.T, p *lab.Pod, table map[string][]string) {
	t.Helper()
	conn, err := p.ListenPacket("udp", p.IP.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		name, kind := q.Question[0].Name, q.Question[0].Qtype
		mu.Lock()
		turns, known := table[name]
		if known && kind == dns.TypeA && len(turns) > 1 {
			table[name] = turns[1:]
		}
		mu.Unlock()
		if !known {
			answer.Rcode = dns.RcodeNameError
			_ = w.WriteMsg(answer) // the client may be gone
			return
		}
		for text := range strings.SplitSeq(turns[0], ",") {
			ip := netip.MustParseAddr(text)
			if ip.Is4() != (kind == dns.TypeA) || kind != dns.TypeA && kind != dns.TypeAAAA {
				continue
			}
			record, err := dns.NewRR(fmt.Sprintf("%s 0 IN %s %s", name, dns.TypeToString[kind], text))
			if err != nil {
				t.Error(err)
				continue
			}
			answer.Answer = append(answer.Answer, record)
		}
		_ = w.WriteMsg(answer) // likewise
	})}
	go func() { _ = server.ActivateAndServe() }() // ends with the socket
	t.Cleanup(func() { _ = server.Shutdown() })
}

// segments is how many TCP segments a network has received, by its kernel's count.
func segments(t *testing.T, p *lab.Pod) int {
	t.Helper()
	text, err := p.Output("cat", "/proc/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	var names, values []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Tcp:" {
			names, values = values, fields
		}
	}
	for i, name := range names {
		if name == "InSegs" {
			count, err := strconv.Atoi(values[i])
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatalf("no InSegs in %s", text)
	return 0
}

// However an address that is refused is written, looked up, redirected or proxied
// to: nothing is sent to it. It is there and would answer.
func TestCurlBypassesNoPolicy(t *testing.T) {
	t.Parallel()
	const web, secret = "10.244.1.201", "10.244.1.202" // the operator denies the second
	b := newTestbench(t, func(c *dispatch.Config) {
		c.Policy.Destinations.Deny = []netip.Prefix{netip.MustParsePrefix(secret + "/32")}
	})
	through := func(name, variable, proxy string) lab.ContainerSpec {
		return lab.ContainerSpec{Name: name, Env: []string{variable + "=" + proxy}}
	}
	pods := b.lab.Pods(t,
		lab.PodSpec{
			Name: "client", Namespace: "shop", IPv6: true, Files: lab.FileSpec{ResolvConf: "nameserver " + web + "\n"},
			Containers: []lab.ContainerSpec{
				{Name: "app"},
				through("to-metadata", "http_proxy", "http://169.254.169.254:80"),
				through("to-metadata-in-hex", "http_proxy", "http://0xa9fea9fe:80"),
				through("to-metadata-mapped", "all_proxy", "socks5://[::ffff:169.254.169.254]:80"),
				through("to-denied", "https_proxy", "http://"+secret+":80"),
				through("to-name", "http_proxy", "http://metadata.test:80"),
				through("http", "http_proxy", "http://"+web+":80"),
				through("connect", "https_proxy", "http://"+web+":80"),
				through("socks", "all_proxy", "socks5h://"+web+":80"),
			},
		},
		lab.PodSpec{Name: "web", Namespace: "shop", IP: netip.MustParseAddr(web)},
		lab.PodSpec{Name: "metadata", Namespace: "cloud", IP: netip.MustParseAddr(secret), IPv6: true},
	)
	client, metadata := pods[0], pods[2]

	// The addresses are on the client's own link, and somebody listens there.
	hidden := []string{
		"169.254.169.254/32", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32",
		"64:ff9b::a9fe:a9fe/128", "64:ff9b:1::a9fe:a9fe/128", "2002:a9fe:a9fe::1/128", "::169.254.169.254/128", "fd00:ec2::254/128", "fe80::a9fe:a9fe/64",
	}
	var give, lead strings.Builder
	for _, prefix := range hidden {
		p := netip.MustParsePrefix(prefix)
		nodad := ""
		if p.Addr().Is6() {
			nodad = " nodad"
		}
		fmt.Fprintf(&give, "addr add %s dev eth0%s\n", prefix, nodad)
		if !p.Addr().Is6() || !p.Addr().IsLinkLocalUnicast() {
			fmt.Fprintf(&lead, "route add %s dev eth0\n", prefix)
		}
	}
	ip(t, metadata.Netns, give.String())
	ip(t, client.Netns, lead.String())
	if _, err := metadata.Serve("[::]:80", http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range append(hidden, secret+"/32") {
		address := netip.AddrPortFrom(netip.MustParsePrefix(prefix).Addr(), 80).String()
		if strings.HasPrefix(address, "[fe80:") {
			address = strings.Replace(address, "]", "%eth0]", 1)
		}
		before := segments(t, metadata)
		conn, err := client.Handle.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatalf("%s does not answer, so nothing would be seen: %v", address, err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset is the last segment
		_ = conn.Close()
		const synAckReset = 3 // none of them may come later
		for start := time.Now(); segments(t, metadata) < before+synAckReset; {
			if time.Since(start) > time.Minute {
				t.Fatalf("%s was connected to, and not counted", address)
			}
		}
	}

	_, err := pods[1].Serve(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "web")
	}))
	if err != nil {
		t.Fatal(err)
	}
	const bad = "169.254.169.254"
	answerInTurn(t, pods[1], map[string][]string{
		"web.test.":           {web},
		"metadata.test.":      {bad},
		"secret.test.":        {secret},
		"mapped.test.":        {"::ffff:" + bad},
		"nat64.test.":         {"64:ff9b::a9fe:a9fe"},
		"both.test.":          {web + "," + bad},
		"later.test.":         {web, bad},
		"turns.test.":         {web, bad},
		"behind-proxy.test.":  {bad},
		"behind-proxy2.test.": {secret},
	})

	const denied, invalid = dispatch.CodeDestinationDenied, dispatch.CodeInvalidArguments
	type args = map[string]any
	onto := func(location string) args {
		return args{"url": "http://" + web + "/?to=" + location, "follow_redirects": 5}
	}
	by := func(container, url string) args { return args{"container": container, "url": url, "use_proxy": true} }
	for _, c := range []struct {
		name string
		args args
		code string // of the error; "" for an answer
		// Of an answer.
		outcome  fact.Outcome
		redirect bool // that is not followed, as the policy refuses it
	}{
		{"metadata", args{"url": "http://169.254.169.254/latest/meta-data/"}, denied, "", false},
		{"denied by the operator", args{"url": "http://" + secret + "/"}, denied, "", false},
		{"Alibaba's", args{"url": "http://100.100.100.200/"}, denied, "", false},
		{"Oracle's", args{"url": "http://192.0.0.192/"}, denied, "", false},
		{"Azure's", args{"url": "http://168.63.129.16/"}, denied, "", false},
		{"over TLS", args{"url": "https://169.254.169.254:80/"}, denied, "", false},
		{"AWS over IPv6", args{"url": "http://[fd00:ec2::254]/"}, denied, "", false},

		{"decimal", args{"url": "http://2852039166/"}, denied, "", false},
		{"hexadecimal", args{"url": "http://0xa9fea9fe/"}, denied, "", false},
		{"hexadecimal bytes", args{"url": "http://0xA9.0xFE.0xa9.0xfe/"}, denied, "", false},
		{"octal", args{"url": "http://0251.0376.0251.0376/"}, denied, "", false},
		{"octal in one", args{"url": "http://025177524776/"}, denied, "", false},
		{"mixed", args{"url": "http://169.0376.0xa9fe/"}, denied, "", false},
		{"three parts", args{"url": "http://169.254.43518/"}, denied, "", false},
		{"two parts", args{"url": "http://169.16689662/"}, denied, "", false},
		{"a dot at the end", args{"url": "http://169.254.169.254./"}, denied, "", false},
		{"decimal of the operator's", args{"url": "http://183763402/"}, denied, "", false},
		{"full width", args{"url": "http://１６９．２５４．１６９．２５４/"}, denied, "", false},
		{"ideographic full stops", args{"url": "http://169。254。169。254/"}, denied, "", false},
		{"without a scheme", args{"url": "169.254.169.254/latest"}, denied, "", false},
		{"percent", args{"url": "http://%31%36%39.254.169.254/"}, invalid, "", false},
		{"more than 32 bits is a name", args{"url": "http://7147006462/"}, "", fact.OutcomeDNSFailed, false},

		{"v4-mapped", args{"url": "http://[::ffff:169.254.169.254]/"}, denied, "", false},
		{"v4-mapped in hexadecimal", args{"url": "http://[::ffff:a9fe:a9fe]/"}, denied, "", false},
		{"v4-mapped of the operator's", args{"url": "http://[::ffff:" + secret + "]/"}, denied, "", false},
		{"v4-mapped with a zone", args{"url": "http://[::ffff:169.254.169.254%25eth0]/"}, denied, "", false},
		{"v4-compatible", args{"url": "http://[::169.254.169.254]/"}, denied, "", false},
		{"NAT64", args{"url": "http://[64:ff9b::a9fe:a9fe]/"}, denied, "", false},
		{"NAT64, dotted", args{"url": "http://[64:ff9b::169.254.169.254]/"}, denied, "", false},
		{"NAT64, local prefix", args{"url": "http://[64:ff9b:1::a9fe:a9fe]/"}, denied, "", false},
		{"6to4", args{"url": "http://[2002:a9fe:a9fe::1]/"}, denied, "", false},
		{"zone", args{"url": "http://[fe80::a9fe:a9fe%25eth0]/"}, denied, "", false},
		{"zone by its number", args{"url": "http://[fe80::a9fe:a9fe%252]/"}, denied, "", false},
		{"zone on another address", args{"url": "http://[fd00:ec2::254%25eth0]/"}, denied, "", false},

		{"user", args{"url": "http://ok@169.254.169.254/"}, denied, "", false},
		{"user that looks like a host", args{"url": "http://" + web + "@169.254.169.254/"}, denied, "", false},
		{"user and password that look like a host and a port", args{"url": "http://" + web + ":80@169.254.169.254/"}, denied, "", false},
		{"two ats", args{"url": "http://a@" + web + "@169.254.169.254/"}, denied, "", false},
		{"a backslash", args{"url": "http://" + web + "\\@169.254.169.254/"}, invalid, "", false},
		{"the address is the user", args{"url": "http://169.254.169.254@" + web + "/"}, "", fact.OutcomeOK, false},
		{"the address is in the fragment", args{"url": "http://" + web + "#@169.254.169.254/"}, "", fact.OutcomeOK, false},
		{"the address is in the query", args{"url": "http://" + web + "?@169.254.169.254/"}, "", fact.OutcomeOK, false},

		{"name", args{"url": "http://metadata.test/"}, denied, "", false},
		{"name of the operator's", args{"url": "http://secret.test/"}, denied, "", false},
		{"name with a v4-mapped address", args{"url": "http://mapped.test/"}, denied, "", false},
		{"name with a NAT64 address", args{"url": "http://nat64.test/"}, denied, "", false},
		{"one of a name's addresses", args{"url": "http://both.test/"}, "", fact.OutcomeOK, false},
		{"one of a name's addresses, the others closed", args{"url": "http://both.test:81/"}, "", fact.OutcomeRefused, false},
		{"a name that changes, asked once", args{"url": "http://later.test/"}, "", fact.OutcomeOK, false},
		{"and then", args{"url": "http://later.test/"}, denied, "", false},
		{"a name that changes between two requests", args{"url": "http://turns.test/?to=/next", "follow_redirects": 5}, "", fact.OutcomeOK, true},

		{"resolve", args{"url": "http://web.test/", "resolve": []string{"web.test:80:169.254.169.254"}}, denied, "", false},
		{"resolve in decimal", args{"url": "http://web.test/", "resolve": []string{"web.test:80:2852039166"}}, denied, "", false},
		{"resolve for all", args{"url": "http://web.test/", "resolve": []string{"*:80:" + secret}}, denied, "", false},
		{"resolve of an address", args{"url": "http://" + web + "/", "resolve": []string{web + ":80:169.254.169.254"}}, denied, "", false},
		{"resolve to NAT64", args{"url": "http://web.test/", "resolve": []string{"web.test:80:[64:ff9b::a9fe:a9fe]"}}, denied, "", false},
		{"resolve to several", args{"url": "http://web.test:81/", "resolve": []string{"web.test:81:" + web + "," + bad}}, "", fact.OutcomeRefused, false},
		{"connect_to", args{"url": "http://web.test/", "connect_to": []string{"web.test:80:169.254.169.254:80"}}, denied, "", false},
		{"connect_to for all", args{"url": "http://" + web + "/", "connect_to": []string{"::[::ffff:169.254.169.254]:80"}}, denied, "", false},
		{"connect_to in octal", args{"url": "http://" + web + "/", "connect_to": []string{"::0251.0376.0251.0376:"}}, denied, "", false},
		{"connect_to a name", args{"url": "http://" + web + "/", "connect_to": []string{"::metadata.test:"}}, denied, "", false},
		{"connect_to a name of resolve", args{
			"url": "http://" + web + "/", "connect_to": []string{"::x.test:"}, "resolve": []string{"x.test:80:" + secret},
		}, denied, "", false},

		{"redirect to metadata", onto("http://169.254.169.254/latest/"), "", fact.OutcomeOK, true},
		{"redirect to metadata without a scheme", onto("//169.254.169.254/"), "", fact.OutcomeOK, true},
		{"redirect to metadata in decimal", onto("http://2852039166/"), "", fact.OutcomeOK, true},
		{"redirect to metadata, v4-mapped", onto("http://[::ffff:169.254.169.254]/"), "", fact.OutcomeOK, true},
		{"redirect to metadata behind a user", onto("http://" + web + "@169.254.169.254/"), "", fact.OutcomeOK, true},
		{"redirect to a name of metadata", onto("http://metadata.test/"), "", fact.OutcomeOK, true},
		{"redirect to what the operator denies", onto("http://" + secret + "/"), "", fact.OutcomeOK, true},
		{"redirect to a redirect to metadata", onto("/%3Fto=http://169.254.169.254/"), "", fact.OutcomeOK, true},
		{"redirect where connect_to leads to metadata", args{
			"url": "http://" + web + "/?to=http://other.test:80/", "follow_redirects": 5, "connect_to": []string{"other.test:80:169.254.169.254:80"},
		}, "", fact.OutcomeOK, true},

		{"proxy at metadata", by("to-metadata", "http://"+web+"/"), denied, "", false},
		{"proxy at metadata in hexadecimal", by("to-metadata-in-hex", "http://"+web+"/"), denied, "", false},
		{"SOCKS proxy at metadata, v4-mapped", by("to-metadata-mapped", "http://"+web+"/"), denied, "", false},
		{"proxy that the operator denies", by("to-denied", "https://"+web+"/"), denied, "", false},
		{"proxy whose name leads to metadata", by("to-name", "http://"+web+"/"), denied, "", false},
		{"metadata behind a proxy", by("http", "http://169.254.169.254/"), denied, "", false},
		{"metadata in octal behind a proxy", by("http", "http://0251.0376.0251.0376/"), denied, "", false},
		{"metadata behind CONNECT", by("connect", "https://169.254.169.254/"), denied, "", false},
		{"metadata behind SOCKS", by("socks", "http://[::ffff:169.254.169.254]/"), denied, "", false},
		{"name of metadata behind a proxy", by("http", "http://behind-proxy.test/"), denied, "", false},
		{"name of the operator's behind CONNECT", by("connect", "https://behind-proxy2.test/"), denied, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			call := args{"pod": "shop/client", "container": "app", "timeout_ms": int(10 * time.Second / time.Millisecond)}
			for name, value := range c.args {
				call[name] = value
			}
			before, served := segments(t, metadata), 0
			if c.code != "" {
				served = segments(t, pods[1])
				fail(t, b, c.code, "netns_curl", call)
				// Nor is a proxy asked.
				if now := segments(t, pods[1]); now != served {
					t.Errorf("%d segments came to the web server, %d before", now, served)
				}
			} else {
				answer, data := succeed[fact.Fetch](t, b, "netns_curl", call)
				last := len(data.Redirects) - 1
				refused := last >= 0 && data.Redirects[last].Why == fact.RedirectDenied && !data.Redirects[last].Followed
				noted := len(answer.Notes) > 0 && answer.Notes[0].Code == denied
				if data.Outcome != c.outcome || refused != c.redirect || noted != c.redirect {
					t.Errorf("%s, redirects %+v, notes %+v", data.Outcome, data.Redirects, answer.Notes)
				}
				for _, a := range data.Attempts {
					if !strings.HasPrefix(a.Address, web+":") && a.Outcome != fact.OutcomeDenied && a.Outcome != fact.OutcomeAbandoned {
						t.Errorf("%s was tried: %s", a.Address, a.Outcome)
					}
				}
			}
			if now := segments(t, metadata); now != before {
				t.Errorf("%d segments came to where nothing may go, %d before", now, before)
			}
		})
	}
}
