package lab

import (
	"net/http"

	"github.com/miekg/dns"
)

// nameFaults are those of names.
func nameFaults() []Fault {
	const search = "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
	return []Fault{
		{Name: "nameserver silent", Serve: asking(func(dns.ResponseWriter, *dns.Msg) {}), Code: "dns.nameserver_timeout",
			Says: []Answer{lookup("timeout", "dns.nameserver_timeout")}},
		{Name: "pod drops the answers of its nameserver", Serve: byService, Break: podRule(FirewallRule{Hook: Incoming, Protocol: "udp", Port: 53, Answers: true}),
			Code: "fw.pod_drop", Beside: []string{"dns.nameserver_timeout"}, Says: []Answer{lookup("timeout", "fw.pod_drop")}},
		{Name: "nobody listens at the nameserver", Pod: resolver("nameserver 10.244.1.1"), Serve: nameless, Code: "dns.nameserver_refused",
			Says: []Answer{lookup("unreachable", "dns.nameserver_refused")}},
		{Name: "nameserver is the node's stub resolver", Pod: resolver("nameserver 127.0.0.53"), Serve: nameless, Code: "dns.nameserver_refused",
			Says: []Answer{lookup("unreachable", "dns.nameserver_refused")}},
		{Name: "no nameserver", Pod: resolver(search), Serve: nameless, Code: "dns.no_nameserver",
			Says: []Answer{lookup("no_nameserver", "dns.no_nameserver")}},
		{Name: "resolv.conf with DOS line ends", Pod: resolver("nameserver " + clusterDNS + "\r"), Serve: byService, Code: "dns.no_nameserver",
			Says: []Answer{lookup("no_nameserver", "dns.no_nameserver")}},
		{Name: "first of two nameservers dead", Pod: resolver("search shop.svc.cluster.local\nnameserver 10.96.0.11\nnameserver " + clusterDNS),
			Serve: byService, Code: "dns.nameserver_timeout", Beside: []string{"dns.slow"}},
		{Name: "first of two nameservers refuses", Pod: resolver(search + "nameserver 10.244.1.1\nnameserver " + clusterDNS),
			Serve: byService, Ask: "netns_dns_lookup", Code: "dns.nameserver_refused", Says: []Answer{lookup("answered", "dns.nameserver_refused")}},
		{Name: "nameserver says SERVFAIL", Serve: asking(saying(dns.RcodeServerFailure)), Code: "dns.servfail",
			Says: []Answer{lookup("servfail", "dns.servfail")}},
		{Name: "nameserver says REFUSED", Serve: asking(saying(dns.RcodeRefused)), Code: "dns.refused",
			Says: []Answer{lookup("refused", "dns.refused")}},
		{Name: "no such name", Serve: func(s *Scene) string { byService(s); return "http://apy/" }, Code: "dns.nxdomain",
			Says: []Answer{lookup("nxdomain", "dns.nxdomain")}},
		{Name: "name without addresses", Serve: asking(saying(dns.RcodeSuccess)), Code: "dns.nodata",
			Says: []Answer{lookup("nodata", "dns.nodata")}},
		{Name: "search list lacks the domain", Pod: resolver("search cluster.local\nnameserver " + clusterDNS), Serve: byService,
			Code: "dns.search_missing", Beside: []string{"dns.nxdomain"}},
		{Name: "no search list", Pod: resolver("nameserver " + clusterDNS), Serve: byService, Code: "dns.search_missing", Beside: []string{"dns.nxdomain"},
			Says: []Answer{lookup("nxdomain", "dns.search_missing", "dns.nxdomain")}},
		{Name: "AAAA never answered", Serve: onlyA, Code: "dns.aaaa_timeout", Beside: []string{"dns.slow"},
			Says: []Answer{lookup("answered", "dns.aaaa_timeout", "dns.slow")}},
		{Name: "answer cut short, no TCP", Serve: cutShort, Code: "dns.tcp_unavailable"},
		{Name: "hosts file has an old address", Pod: hosts("10.244.1.252 api"), Serve: byService, Code: "dns.hosts_override",
			Beside: []string{"tcp.timeout", "neigh.failed"}, Says: []Answer{lookup("answered", "dns.hosts_override")}},
	}
}

func nameless(*Scene) string { return "http://api/" }

// byService serves behind a service with two backends, by the name "api".
func byService(s *Scene) string {
	second := s.Lab.Pod(s, PodSpec{Name: "api-1", Namespace: "shop"})
	_, err := second.Serve(":80", http.HandlerFunc(Hello))
	s.Must(err)
	s.Serve(Hello)
	s.DNS(true, Names(map[string]string{"api.shop.svc.cluster.local.": s.Service(s.Server.IP, second.IP)}))
	return "http://api/"
}

// asking serves names and nothing else.
func asking(handler dns.HandlerFunc) func(*Scene) string {
	return func(s *Scene) string {
		s.DNS(true, handler)
		return "http://api/"
	}
}

// saying answers every question with a code, and no record.
func saying(code int) dns.HandlerFunc {
	return func(out dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetRcode(q, code)
		r.RecursionAvailable = true
		_ = out.WriteMsg(r) // the client may be gone
	}
}

func onlyA(s *Scene) string {
	s.Serve(Hello)
	answer := Names(map[string]string{"api.shop.svc.cluster.local.": s.Server.IP.String()})
	s.DNS(true, func(out dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Qtype != dns.TypeAAAA {
			answer(out, q)
		}
	})
	return "http://api/"
}

// cutShort says over UDP that the answer does not fit, and does not answer over
// TCP.
func cutShort(s *Scene) string {
	s.DNS(false, func(out dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable, r.Truncated = true, true
		_ = out.WriteMsg(r)
	})
	return "http://api/"
}
