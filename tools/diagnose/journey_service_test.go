package diagnose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// recorded is a journey that the laboratory's kernel told of a fault, its last SYN.
func recorded(t *testing.T, name string) *fact.Journey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "journey", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	j := new(fact.Journey)
	if err := json.Unmarshal(text, j); err != nil {
		t.Fatal(err)
	}
	return j
}

// TestServiceTrails: what recorded trails prove of services, and what they no longer
// prove where one thing in them is different.
func TestServiceTrails(t *testing.T) {
	t.Parallel()
	const address = "10.96.0.100:80"
	dropped := func(j *fact.Journey) []*fact.JourneyStep {
		var steps []*fact.JourneyStep
		for i := range j.Steps {
			if j.Steps[i].What == fact.StepDropped {
				steps = append(steps, &j.Steps[i])
			}
		}
		return steps
	}
	answeredBy := func(kind string) func(*fact.Journey) {
		return func(j *fact.Journey) {
			s := j.Steps[0]
			s.MS, s.Back, s.Kind, s.Src, s.Dst, s.What = s.MS+1, true, kind, s.Dst, s.Src, fact.StepReceived
			j.Steps = append(j.Steps, s)
		}
	}
	ends := func(reason, function string) func(*fact.Journey) {
		return func(j *fact.Journey) {
			last := j.Steps[len(j.Steps)-1]
			last.What, last.Reason, last.Function = fact.StepDropped, reason, function
			j.Steps, j.End = append(j.Steps, last), nil
		}
	}
	closed := func(listeners ...string) func(*fact.Journey) {
		return func(j *fact.Journey) {
			end := j.End
			ends(dropNoSocket, "tcp_v4_rcv")(j)
			j.End = end
			j.End.Queue, j.End.Listeners = nil, append([]string{}, listeners...)
		}
	}
	for _, c := range []struct {
		title, file, address string
		change               func(*fact.Journey)
		cause                fact.Cause
		says                 string
	}{
		{"backend gone", "dead_backend", address, nil, fact.CauseDeadBackend,
			"the SYN to 10.96.0.100:80 is translated to 10.244.1.251:80, which does not answer on its link: the node gets no link-layer address for 10.244.1.251 on cni0 (NEIGH_FAILED in neigh_invalidate)"},
		{"backend gone, IPv6, without a reason", "dead_backend6", "[fd00:10:96::64]:80", nil, fact.CauseDeadBackend, "for fd00:10:244:1::fb on cni0 (NOT_SPECIFIED in neigh_invalidate)"},
		{"a router on the way to the backend is gone", "dead_backend", address, func(j *fact.Journey) { j.NextHop.Dst = "172.18.0.3" },
			fact.CauseNeighbourSilent, "translated to 10.244.1.251:80, gets no further on the node, at cni0: the next hop, 172.18.0.3, answers no ARP there"},
		{"nobody asked for the next hop", "dead_backend", address, func(j *fact.Journey) { j.NextHop = nil },
			fact.CauseNeighbourSilent, "the next hop answers no ARP there"},
		{"that address itself was asked for", "dead_backend", "10.244.1.251:80", nil, fact.CauseNeighbourSilent, "the SYN to 10.244.1.251:80 gets no further on the node, at cni0: 10.244.1.251 answers no ARP there"},
		{"an older SYN waited in vain, this one is answered", "dead_backend", address, answeredBy("SYN-ACK"), "", ""},
		{"another reason there", "dead_backend", address, func(j *fact.Journey) {
			for _, s := range dropped(j) {
				s.Reason, s.Function = dropUnspecific, "ip_forward"
			}
		}, "", ""},
		{"hairpin off", "hairpin_off", address, nil, fact.CauseHairpin, "translated to 10.244.1.60:80, the target's own address, and the node's bridge drops it at veth"},
		{"hairpin is on, a filter drops", "hairpin_off", address, func(j *fact.Journey) {
			dropped(j)[0].Reason, dropped(j)[0].Function = dropNetfilter, "nf_hook_slow"
		}, fact.CauseNodeDrop, "dropped by a packet filter of the node"},
		{"the bridge drops what is for another pod", "hairpin_off", address, func(j *fact.Journey) {
			for i := range j.Steps {
				j.Steps[i].Dst = strings.Replace(j.Steps[i].Dst, "10.244.1.60", "10.244.1.61", 1)
			}
		}, "", ""},
		{"not the bridge drops it", "hairpin_off", address, func(j *fact.Journey) { dropped(j)[0].Function = "ip_forward" }, "", ""},
		{"hairpin off, and the next SYN is answered", "hairpin_off", address, answeredBy("SYN-ACK"), "", ""},
		{"not masqueraded", "not_masqueraded", address, nil, fact.CauseReturned, "came back, sent on to 10.244.1.60:80: nobody masquerades"},
		{"masqueraded, and a filter of the pod drops", "not_masqueraded", address, func(j *fact.Journey) {
			for i := range j.Steps[2:] {
				j.Steps[2+i].Src = "10.244.1.1:37152"
			}
			dropped(j)[0].Reason = dropNetfilter
		}, fact.CausePodDropIn, ""},
		{"pod that asks for its own address", "not_masqueraded", "10.244.1.60:80", func(j *fact.Journey) {
			for i := range j.Steps {
				j.Steps[i].Dst = "10.244.1.60:80"
			}
		}, "", ""},
		{"accept queue full", "accept_queue_full", address, nil, fact.CauseAcceptQueue,
			"the SYN to 10.96.0.100:80, translated to 10.244.1.61:80, arrived in another network on this node, at eth0, where the listener's accept queue is full (2 wait)"},
		{"accept queue with room for one", "accept_queue_full", address, func(j *fact.Journey) { j.End.Queue.Waiting = 1 }, "", ""},
		{"accept queue of nobody", "accept_queue_full", address, func(j *fact.Journey) { j.End.Queue = nil }, "", ""},
		{"accept queue full, and answered", "accept_queue_full", address, answeredBy("SYN-ACK"), "", ""},
		{"accept queue full, and a filter drops", "accept_queue_full", address, ends(dropNetfilter, "nf_hook_slow"), fact.CausePeerDrop, ""},
		{"accept queue full, on its way there", "accept_queue_full", address, func(j *fact.Journey) { j.Steps = j.Steps[:3] }, "", ""},
		{"nobody listens", "accept_queue_full", address, closed("0.0.0.0:8080"), fact.CauseNoListener, "where nothing listens on port 80, but on 0.0.0.0:8080"},
		{"nobody listens at all", "accept_queue_full", address, closed(), fact.CauseNoListener, "where nothing listens on any TCP port"},
		{"nobody listens, by the kernel's word alone", "accept_queue_full", address, ends(dropNoSocket, "tcp_v4_rcv"), fact.CauseNoListener, "arrived in another network on this node, at eth0, where nothing takes it (NO_SOCKET in tcp_v4_rcv)"},
		{"on loopback only", "accept_queue_full", address, closed("127.0.0.1:80", "[::1]:80"), fact.CauseLoopbackOnly, "where port 80 is listened on only at 127.0.0.1:80, [::1]:80"},
		{"on another address too", "accept_queue_full", address, closed("127.0.0.1:80", "10.0.0.9:80"), fact.CauseNoListener, "only at 127.0.0.1:80, 10.0.0.9:80"},
		{"begins to listen just now", "accept_queue_full", address, closed("0.0.0.0:80"), "", ""},
		{"wrong checksum", "accept_queue_full", address, ends("TCP_CSUM", "tcp_v4_rcv"), fact.CauseChecksum, "arrived in another network on this node, at eth0, with a wrong checksum, and is dropped (TCP_CSUM in tcp_v4_rcv)"},
		{"records are missing", "hairpin_off", address, func(j *fact.Journey) { j.Missed = 1 }, "", ""},
	} {
		j := recorded(t, c.file)
		if c.change != nil {
			c.change(j)
		}
		cause, text := newTrail(j, "the SYN", c.address).judge()
		if cause != c.cause || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s %q, want %s %q", c.title, cause, text, c.cause, c.says)
		}
	}
}

// TestUntranslated: a service's address on the node's way out proves that NAT does not
// know it, where it has endpoints and nothing was translated.
func TestUntranslated(t *testing.T) {
	t.Parallel()
	const address = "10.96.0.7:80"
	step := func(place, dev, what, reason, dst string) fact.JourneyStep {
		return fact.JourneyStep{Place: place, Dev: dev, What: what, Reason: reason, Proto: "tcp", Kind: "SYN", Src: "10.244.1.60:1000", Dst: dst}
	}
	sent := step(fact.PlaceTarget, "eth0", fact.StepQueued, "", address)
	came := step(fact.PlaceNode, "cni0", fact.StepReceived, "", address)
	left := step(fact.PlaceNode, "uplink", fact.StepQueued, "", address)
	back := step(fact.PlaceNode, "uplink", fact.StepReceived, "", "10.244.1.60:1000")
	back.Back, back.Kind, back.Src = true, "RST", address
	unroutable := back
	unroutable.Proto, unroutable.Kind = "icmp", "net-unreachable"
	for _, c := range []struct {
		title   string
		service *fact.Service
		address string
		steps   []fact.JourneyStep
		host    bool
		says    string
	}{
		{"left the node", api(), address, []fact.JourneyStep{sent, came, left}, false,
			"the SYN to 10.96.0.7:80 leaves the node by uplink with the address of service shop/api untranslated: the node's NAT does not know the service, which has 1 endpoint ready"},
		{"left, and a router says no", api(), address, []fact.JourneyStep{sent, came, left, unroutable}, false, "leaves the node by uplink"},
		{"no route", api(), address, []fact.JourneyStep{sent, came, step(fact.PlaceNode, "cni0", fact.StepDropped, "IP_INNOROUTES", address)}, false, "is dropped on the node, at cni0 (IP_INNOROUTES)"},
		{"from the node", api(), address, []fact.JourneyStep{step(fact.PlaceTarget, "uplink", fact.StepQueued, "", address)}, true, "leaves the node by uplink"},
		{"seen in the pod alone", api(), address, []fact.JourneyStep{sent}, false, ""},
		{"came to the node alone", api(), address, []fact.JourneyStep{sent, came}, false, ""},
		{"a filter before NAT", api(), address, []fact.JourneyStep{sent, step(fact.PlaceNode, "veth1", fact.StepDropped, dropNetfilter, address)}, false, ""},
		{"translated", api(), address, []fact.JourneyStep{sent, came, step(fact.PlaceNode, "cni0", fact.StepQueued, "", "10.0.0.1:8080")}, false, ""},
		{"translated after it left (OVS)", api(), address, []fact.JourneyStep{sent, came, left, step(fact.PlaceNode, "tun0", fact.StepQueued, "", "10.0.0.1:8080")}, false, ""},
		{"somebody answers", api(), address, []fact.JourneyStep{sent, came, left, back}, false, ""},
		{"no service", nil, address, []fact.JourneyStep{sent, came, left}, false, ""},
		{"an address of no service", api(func(s *fact.Service) { s.ClusterIP = "10.96.0.8" }), address, []fact.JourneyStep{sent, came, left}, false, ""},
		{"no endpoint", api(nobody), address, []fact.JourneyStep{sent, came, left}, false, ""},
		{"another port", api(func(s *fact.Service) { s.Asked = 81 }), address, []fact.JourneyStep{sent, came, left}, false, ""},
		{"node port", api(func(s *fact.Service) { s.ByNodePort = true }), address, []fact.JourneyStep{sent, came, left}, false, ""},
		{"headless", api(func(s *fact.Service) { s.Headless = true }), address, []fact.JourneyStep{sent, came, left}, false, ""},
		{"nobody may list endpoints", api(func(s *fact.Service) { s.EndpointsUnknown = true }), address, []fact.JourneyStep{sent, came, left}, false, ""},
	} {
		found := untranslated(c.service, newTrail(&fact.Journey{Steps: c.steps}, "the SYN", c.address), c.host)
		switch {
		case c.says == "" && found == nil:
		case len(found) != 1 || found[0].Code != ServiceNoDNAT || c.says == "" || !strings.Contains(found[0].Fact, c.says):
			t.Errorf("%s: %+v, want %q", c.title, found, c.says)
		}
	}
	if found := untranslated(api(), newTrail(&fact.Journey{Steps: []fact.JourneyStep{sent, came, left}, Missed: 1}, "the SYN", address), false); found != nil {
		t.Errorf("records are missing: %+v", found)
	}
}
