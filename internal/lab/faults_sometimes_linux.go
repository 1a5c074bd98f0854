package lab

import (
	"net/http"

	"github.com/vishvananda/netlink"
)

// sometimesFaults are those that only some of several tries meet, and pods that are well
// however often one asks.
func sometimesFaults() []Fault {
	return []Fault{
		{Name: "healthy: 50 tries of a service with two backends", Count: 50, Serve: byService, Says: []Answer{curl("ok")}},
		{Name: "healthy: 20 tries over a slow path", Count: 20, Far: true, Break: onHostLink(slowDown), Says: []Answer{curl("ok")}},
		// Segments of data (PSH) alone: which of all packets is the seventh depends on the timing.
		{Name: "every seventh segment of data is lost on the way", Count: 30, Far: true, Break: nodeRule(FirewallRule{Hook: Forwarded, Port: 80, Flags: 0x08, Every: 7}),
			Code: "loss.packets", Says: []Answer{curl("ok", "loss.packets")}},
		{Name: "one of two backends drops", Count: 20, Serve: oneBackendDrops, Code: "svc.some_backends_dead", Beside: []string{"fw.peer_drop", "tcp.timeout"},
			Says: []Answer{curl("timeout", "svc.some_backends_dead", "fw.peer_drop")}},
	}
}

// slowDown makes a link pass 16 kB a second, and lose nothing.
func slowDown(h *netlink.Handle, link netlink.Link) error {
	const rate, burst, queue = 16 << 10, 2000, 1 << 20 // in bytes
	return h.QdiscAdd(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
		Rate:       rate, Buffer: netlink.Xmittime(rate, burst), Limit: queue,
	})
}

// oneBackendDrops serves behind a service with two backends, one of which has a
// firewall of its own.
func oneBackendDrops(s *Scene) string {
	second := s.Lab.Pod(s, PodSpec{Name: "api-1", Namespace: "shop"})
	s.Must(second.Firewall(FirewallRule{Hook: Incoming, Port: 80}))
	_, err := second.Serve(":80", http.HandlerFunc(Hello))
	s.Must(err)
	s.Serve(Hello)
	return "http://" + s.Service(s.Server.IP, second.IP) + "/"
}
