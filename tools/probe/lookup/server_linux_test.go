package lookup

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
)

// fakeServer is a name server in a pod: a zone, and what to do in its place.
type fakeServer struct {
	// zone maps "name. TYPE" to records, all in one text as in a zone file.
	zone map[string][]string
	// handle, where set, answers instead; false falls back on the zone.
	handle func(w dns.ResponseWriter, q *dns.Msg) bool
	noTCP  bool
	// reset, where set, forgets what handle remembers.
	reset func()

	mu   sync.Mutex
	asks []string // "name. TYPE network"
}

func (f *fakeServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	network := w.RemoteAddr().Network()
	f.mu.Lock()
	for _, question := range q.Question {
		f.asks = append(f.asks, question.Name+" "+dns.TypeToString[question.Qtype]+" "+network)
	}
	f.mu.Unlock()
	if f.handle != nil && f.handle(w, q) {
		return
	}
	_ = w.WriteMsg(f.answer(q))
}

// asked returns what was asked so far and forgets it.
func (f *fakeServer) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asks := f.asks
	f.asks = nil
	return asks
}

// answer is what a recursive server says that knows this zone alone.
func (f *fakeServer) answer(q *dns.Msg) *dns.Msg {
	r := new(dns.Msg)
	r.SetReply(q)
	r.RecursionAvailable = true
	if len(q.Question) != 1 {
		r.Rcode = dns.RcodeFormatError
		return r
	}
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	exists := false
	for range 10 {
		next := ""
		for owner, records := range f.zone {
			if owner != name {
				continue
			}
			exists = true
			for _, text := range records {
				rr, err := dns.NewRR(owner + " 30 IN " + text)
				if err != nil {
					panic(err)
				}
				if alias, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
					next = alias.Target
					r.Answer = append(r.Answer, rr)
				} else if rr.Header().Rrtype == qtype {
					r.Answer = append(r.Answer, rr)
				}
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if !exists {
		r.Rcode = dns.RcodeNameError
	}
	return r
}

// serve starts the server on port 53 of an address of the pod, UDP and TCP.
func (f *fakeServer) serve(tb testing.TB, pod *lab.Pod, ip string) {
	tb.Helper()
	f.serveUDP(tb, pod, ip)
	if !f.noTCP {
		f.serveTCP(tb, pod, ip)
	}
}

func (f *fakeServer) serveUDP(tb testing.TB, pod *lab.Pod, ip string) {
	tb.Helper()
	packets, err := pod.ListenPacket("udp", net.JoinHostPort(ip, "53"))
	if err != nil {
		tb.Fatal(err)
	}
	f.start(tb, &dns.Server{PacketConn: packets, Handler: f})
}

func (f *fakeServer) serveTCP(tb testing.TB, pod *lab.Pod, ip string) {
	tb.Helper()
	listener, err := pod.Listen("tcp", net.JoinHostPort(ip, "53"))
	if err != nil {
		tb.Fatal(err)
	}
	f.start(tb, &dns.Server{Listener: listener, Handler: f})
}

func (f *fakeServer) start(tb testing.TB, s *dns.Server) {
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	select {
	case <-started:
	case err := <-ended:
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = s.Shutdown()
		<-ended
	})
}
