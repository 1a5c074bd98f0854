// Package attempt makes one TCP connection attempt from inside a network
// namespace and finds out why it ended as it did.
//
// An errno alone is not an answer: ETIMEDOUT may be a gateway that does not
// answer ARP, a rule in the pod's own firewall, or a packet lost ten routers
// away. So a [Prober] measures around the attempt:
//
//   - the kernel's route and the state of the next hop (rtnetlink(7))
//   - the socket's own view: how often the SYN was repeated (TCP_INFO)
//   - the packet that ended it: a RST or an ICMP error, who sent it, and whether
//     it was made in the namespace itself (raw sockets)
//   - once a SYN stays unanswered, whether its repetitions leave an interface
//     and whether answers arrive (a packet socket; other connections from the same
//     port are told from this one by their sequence numbers)
//   - the namespace's counters before and after
//
// The first four belong to this one connection. Counters are those of the whole
// namespace, in which an application may be busy, so they decide only where
// nothing else can.
//
// diagnose.Explain turns these facts into a cause. It is a pure function. What could
// not be measured (a kernel without a feature, a missing capability) is absent
// from the facts and makes the explanation vaguer, not wrong.
//
// Nothing here holds a thread while it waits.
package attempt
