package diagnose

import (
	"slices"
	"testing"

	"nsenter-mcp/tools/fact"
)

func codes(findings []fact.Finding) []string {
	list := []string{}
	for _, f := range findings {
		list = append(list, string(f.Code))
	}
	return list
}

func TestOnHost(t *testing.T) {
	t.Parallel()
	got := OnHost([]fact.Finding{{Code: "fw.pod_drop"}, {Code: "fw.pod_reject"}, {Code: "tcp.refused"}})
	if want := []string{"fw.host_drop", "fw.host_reject", "tcp.refused"}; !slices.Equal(codes(got), want) {
		t.Errorf("%v, want %v", codes(got), want)
	}
}

func TestPlainHTTPToATLSPort(t *testing.T) {
	t.Parallel()
	const nginx = "<center>The plain HTTP request was sent to HTTPS port</center>"
	for _, c := range []struct {
		url, body string
		status    int
		want      string
	}{
		{"http://a:443/", nginx, 400, "http.tls_expected"},
		{"http://a:443/", "Client sent an HTTP request to an HTTPS server.", 400, "http.tls_expected"},
		{"http://a/", "missing parameter", 400, "http.client_error"},
		{"https://a/", nginx, 400, "http.client_error"}, // it does speak TLS
		{"http://a/", nginx, 404, "http.client_error"},
	} {
		f := &fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageDone, URL: c.url, Status: &c.status, Untrusted: &fact.HTTPText{Body: c.body}}
		if got := codes(fetchFindings(f)); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s %d %q: %v, want %s", c.url, c.status, c.body, got, c.want)
		}
	}
}

func TestAttemptCodes(t *testing.T) {
	t.Parallel()
	gateway := &fact.AttemptRoute{Type: "unicast", Gateway: "10.0.0.1", Dev: "eth0"}
	for _, c := range []struct {
		name string
		a    fact.Attempt
		want string
	}{
		{"ok", fact.Attempt{Outcome: fact.OutcomeOK}, ""},
		{"abandoned", fact.Attempt{Outcome: fact.OutcomeAbandoned}, ""},
		{"denied", fact.Attempt{Outcome: fact.OutcomeDenied}, ""},
		{"no route", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseNoRoute}, "route.no_default"},
		{"blackhole", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseBlackhole}, "route.blackhole"},
		{"unreachable", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseUnreachableRoute}, "route.unreachable"},
		{"prohibit", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseProhibited}, "route.prohibit"},
		{"no IPv6", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseNoAddress}, "addr.no_source"},
		{"gateway", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseGatewaySilent}, "neigh.gateway_failed"},
		{"neighbour", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseNeighbourSilent}, "neigh.failed"},
		{"carrier", fact.Attempt{Cause: fact.CauseLinkDown, Route: gateway}, "link.no_carrier"},
		{"loopback", fact.Attempt{Cause: fact.CauseLinkDown, Route: &fact.AttemptRoute{Type: "local", Dev: "lo"}}, "link.lo_down"},
		{"pod drops", fact.Attempt{Outcome: fact.OutcomeBlockedLocally, Cause: fact.CausePodDropOut}, "fw.pod_drop"},
		{"pod drops answers", fact.Attempt{Outcome: fact.OutcomeBlockedLocally, Cause: fact.CausePodDropIn}, "fw.pod_drop"},
		{"pod rejects", fact.Attempt{Outcome: fact.OutcomeBlockedLocally, Cause: fact.CausePodReject}, "fw.pod_reject"},
		{"mesh", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseRedirected}, "fw.pod_redirect"},
		{"BPF", fact.Attempt{Outcome: fact.OutcomeBlockedLocally, Cause: fact.CauseNotPermitted}, "fw.connect_denied"},
		{"rp_filter", fact.Attempt{Outcome: fact.OutcomeBlockedLocally, Cause: fact.CauseReversePath}, "sysctl.rp_filter"},
		{"checksum", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseChecksum}, "tcp.bad_checksum"},
		{"ports", fact.Attempt{Outcome: fact.OutcomeNoPort, Cause: fact.CausePortsExhausted}, "tcp.port_exhaustion"},
		{"nobody listens", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseNoListener}, "tcp.no_listener"},
		{"loopback only", fact.Attempt{Address: "10.0.0.9:80", Cause: fact.CauseListenElsewhere, Listeners: []string{"127.0.0.1:80", "[::1]:80", "0.0.0.0:22"}}, "tcp.listener_loopback"},
		{"another address", fact.Attempt{Address: "10.0.0.8:80", Cause: fact.CauseListenElsewhere, Listeners: []string{"127.0.0.1:80", "10.0.0.9:80"}}, "tcp.no_listener"},
		{"accept queue", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseAcceptQueue}, "tcp.accept_queue_full"},
		{"answered by another address", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseOtherSource}, "nat.not_reversed"},
		{"answered past the node's NAT", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseOtherSource,
			Node: &fact.AttemptNode{Bridge: "cni0", BridgeNF: new(false)}}, "net.bridge_nf_off"},
		{"answered past a bridge that is filtered", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseOtherSource,
			Node: &fact.AttemptNode{Bridge: "cni0", BridgeNF: new(true)}}, "nat.not_reversed"},
		{"answered to another MAC address", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseOtherMAC}, "neigh.wrong_mac"},
		{"sent to another MAC address", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseWrongMAC}, "neigh.wrong_mac"},
		{"the kernel itself says no", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseLocalError}, "tcp.local_error"},
		{"unreachable, not known why", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseUnknown}, "tcp.unreachable"},
		{"came back", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseReturned}, "svc.hairpin"},
		{"from loopback out of the node", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseLocalnet}, "sysctl.route_localnet"},
		{"not sent, not known why", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseNotSent}, "tcp.timeout"},
		{"answer not taken, not known why", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseNotTaken}, "tcp.timeout"},
		{"RST", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseResetAnswer}, "tcp.refused"},
		{"lost", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseLost}, "tcp.timeout"},
		{"nothing known", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseUnknown}, "tcp.timeout"},
		{"too short to tell", fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseTooShort}, ""},
		{"reset", fact.Attempt{Outcome: fact.OutcomeReset, Cause: fact.CauseUnknown}, "tcp.reset"},
		{"slow", fact.Attempt{Outcome: fact.OutcomeOK, Cause: fact.CauseSlow}, "tcp.syn_retransmitted"},

		{"port unreachable", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseICMP, Route: gateway,
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "port unreachable"}}, "tcp.refused"},
		{"prohibited by the node", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseICMP, Route: gateway, Address: "192.0.2.1:80",
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "administratively prohibited"}, Node: &fact.AttemptNode{IsAnswerer: true}}, "fw.host_reject"},
		{"rejected by the node", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseICMP, Route: gateway, Address: "192.0.2.1:80",
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "port unreachable"}, Node: &fact.AttemptNode{IsAnswerer: true}}, "fw.host_reject"},
		{"rejected behind a port of the node", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseICMP, Route: gateway, Address: "10.0.0.1:30080",
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "port unreachable"}, Node: &fact.AttemptNode{IsAnswerer: true}}, "tcp.refused"},
		{"prohibited by a gateway that is not known to be the node", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseICMP, Route: gateway, Address: "192.0.2.1:80",
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "administratively prohibited"}}, "tcp.refused"},
		{"prohibited in the destination's name", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseICMP, Route: gateway, Address: "192.0.2.1:80",
			Answer: &fact.Answer{From: "192.0.2.1", ICMP: "host administratively prohibited"}}, "tcp.refused"},
		{"prohibited by a router", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseICMP, Route: gateway, Address: "192.0.2.1:80",
			Answer: &fact.Answer{From: "198.51.100.1", ICMP: "administratively prohibited"}}, "tcp.refused"},
		{"no route at a router", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseICMP,
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "net unreachable"}}, "route.unreachable"},
		{"loop", fact.Attempt{Outcome: fact.OutcomeUnreachable, Cause: fact.CauseICMP,
			Answer: &fact.Answer{From: "10.0.0.1", ICMP: "time exceeded"}}, "route.loop"},
		{"ICMP by the counter", fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseICMP}, "tcp.refused"},
	} {
		want := []string{}
		if c.want != "" {
			want = append(want, c.want)
		}
		if got := codes(Attempt(&c.a)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

func TestFetchCodes(t *testing.T) {
	t.Parallel()
	status := func(n int) *int { return &n }
	ms := func(v float64) *float64 { return &v }
	refused := fact.Attempt{Outcome: fact.OutcomeRefused, Cause: fact.CauseResetAnswer, Why: "r"}
	lost := fact.Attempt{Outcome: fact.OutcomeTimeout, Cause: fact.CauseLost, Why: "l"}
	fine := fact.Attempt{Outcome: fact.OutcomeOK}
	for _, c := range []struct {
		name string
		f    fact.Fetch
		want []string
	}{
		{"healthy", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(200), Attempts: []fact.Attempt{fine}}, []string{}},
		{"healthy, another address failed at once", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(200),
			Attempts: []fact.Attempt{refused, fine}}, []string{}},
		{"healthy after an address that stayed silent", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(200),
			Attempts: []fact.Attempt{lost, fine}}, []string{"tcp.timeout"}},
		{"not modified", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(304)}, []string{}},
		{"stream", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageBody, Status: status(200), ReasonCode: fact.ReasonBodyStillComing}, []string{}},
		{"name", fact.Fetch{Outcome: fact.OutcomeDNSFailed, Stage: fact.StageDNS}, []string{}}, // netns_dns_lookup's to say
		{"the telling attempt alone", fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Reason: "r", Attempts: []fact.Attempt{lost, refused}}, []string{"tcp.refused"}},
		{"server error", fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageDone, Status: status(503)}, []string{"http.server_error"}},
		{"client error", fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageDone, Status: status(403)}, []string{"http.client_error"}},
		{"slow", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(200), Timings: fact.Timings{FirstByteMS: ms(2500)}}, []string{"http.slow_first_byte"}},
		{"not slow", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(200), Timings: fact.Timings{FirstByteMS: ms(1500)}}, []string{}},
		{"loop", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(302), Redirects: []fact.Redirect{{Followed: true}, {Why: fact.RedirectLoop}}}, []string{"http.redirect_loop"}},
		{"expired and more", fact.Fetch{Outcome: fact.OutcomeTLSFailed, Stage: fact.StageTLS,
			TLS: &fact.TLS{Error: &fact.TLSError{Code: fact.TLSExpired, Also: []string{fact.TLSNameMismatch}}}}, []string{"tls.expired", "tls.name_mismatch"}},
		{"insecure", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: status(200),
			TLS: &fact.TLS{Insecure: true, Error: &fact.TLSError{Code: fact.TLSUnknownCA}}}, []string{}},
		{"alert", fact.Fetch{Outcome: fact.OutcomeTLSFailed, Stage: fact.StageTLS, TLS: &fact.TLS{Error: &fact.TLSError{Code: fact.TLSAlert}}}, []string{"tls.handshake_failed"}},
		{"silence in the handshake", fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageTLS, TLS: &fact.TLS{}}, []string{"tls.handshake_failed"}},
		{"reset in the handshake", fact.Fetch{Outcome: fact.OutcomeReset, Stage: fact.StageTLS, TLS: &fact.TLS{}}, []string{"tcp.reset"}},
		{"silence", fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageResponse, Conn: &fact.ConnState{}}, []string{"http.no_response"}},
		{"lost on the established connection", fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageResponse, Conn: &fact.ConnState{Unacked: 1, Retransmits: 4}}, []string{"tcp.timeout"}},
		{"closed, perhaps no HTTP server", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonClosed}, []string{}},
		{"closed, another protocol over TLS", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonClosed, TLS: &fact.TLS{}}, []string{}},
		{"closed, though it agreed to speak HTTP", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonClosed,
			TLS: &fact.TLS{ALPN: "h2"}}, []string{"http.no_response"}},
		{"cut within the header", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonCut}, []string{"http.no_response"}},
		{"GOAWAY", fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageResponse, ReasonCode: fact.ReasonHTTP2Error}, []string{"http.no_response"}},
		{"GOAWAY in an orderly way", fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageResponse, ReasonCode: fact.ReasonRetry}, []string{}},
		{"HTTP/1.1 required", fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageResponse, ReasonCode: fact.ReasonHTTP11Required}, []string{}},
		{"TLS port", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonTLSPort}, []string{"http.tls_expected"}},
		{"other protocol", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonNotHTTP}, []string{}},
		{"other protocol, though it agreed to speak HTTP", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonNotHTTP,
			TLS: &fact.TLS{ALPN: "http/1.1"}}, []string{"http.not_http"}},
		{"broken header", fact.Fetch{Outcome: fact.OutcomeNotHTTP, Stage: fact.StageResponse, ReasonCode: fact.ReasonMalformed}, []string{"http.not_http"}},
		{"broken body", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageBody, Status: status(200), ReasonCode: fact.ReasonBodyMalformed}, []string{"http.not_http"}},
		{"certificate with a rule broken", fact.Fetch{Outcome: fact.OutcomeTLSFailed, Stage: fact.StageTLS,
			TLS: &fact.TLS{Error: &fact.TLSError{Code: fact.TLSBadCertificate}}}, []string{"tls.bad_certificate"}},
		{"body stalls", fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageBody, Status: status(200)}, []string{"http.body_stalled"}},
		{"body breaks off", fact.Fetch{Outcome: fact.OutcomeOK, Stage: fact.StageBody, Status: status(200), ReasonCode: fact.ReasonBodyBrokeOff}, []string{"http.body_cut"}},
		{"proxy refused", fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Reason: "r", Proxy: &fact.Proxy{Used: true},
			Attempts: []fact.Attempt{refused}}, []string{"http.proxy_env", "tcp.refused"}},
		{"proxy that is not used", fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Reason: "r", Proxy: &fact.Proxy{Applies: true},
			Attempts: []fact.Attempt{refused}}, []string{"tcp.refused"}},
		{"ECN alone is refused", fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Reason: "r", Attempts: []fact.Attempt{refused},
			ECN: &fact.ECN{Sent: 3, Answered: 3, ResetECN: 3}}, []string{"tcp.ecn_blocked"}},
		{"one SYN with ECN was answered", fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Reason: "r", Attempts: []fact.Attempt{refused},
			ECN: &fact.ECN{Sent: 3, Answered: 3, AnsweredECN: 1}}, []string{"tcp.refused"}},
		{"SYNs without ECN are refused too", fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Reason: "r", Attempts: []fact.Attempt{refused},
			ECN: &fact.ECN{Sent: 3, ResetECN: 3}}, []string{"tcp.refused"}},
		{"proxy works, server fails", fact.Fetch{Outcome: fact.OutcomeHTTPError, Stage: fact.StageDone, Status: status(502), Proxy: &fact.Proxy{Used: true}}, []string{"http.server_error"}},
	} {
		if got := codes(fetchFindings(&c.f)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
