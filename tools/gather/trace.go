package gather

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
	"nsenter-mcp/tools/probe/fetch"
	"nsenter-mcp/tools/probe/lookup"
)

// TraceRequest is one packet from inside a target, whose journey is recorded.
type TraceRequest struct {
	Protocol string // "tcp", "udp" or "icmp"
	Host     string // a literal address, or a name, which passes [CheckHost]
	Port     uint16 // but for icmp
	// Payload is that of a datagram; DNSName is asked for instead where it is not "".
	Payload []byte
	DNSName string
	// Timeout is how long an answer is awaited; zero means some seconds.
	Timeout time.Duration
}

// CheckHost says in words for the caller why a host can be neither reached nor looked up.
func CheckHost(text string) error {
	_, _, err := fetch.Host(text)
	return err
}

// answerTime is how long an answer is awaited by default: a lost SYN is repeated in it.
const answerTime = 3 * time.Second

// Trace sends the packet, and gathers what its end is judged by. Errors are those of
// [HTTP.Do].
func (h *HTTP) Trace(ctx context.Context, node Node, target *resolve.Target, r TraceRequest) (*fact.TraceEvidence, error) {
	f := &fact.Fetch{Stage: fact.StageConnect}
	e := &fact.TraceEvidence{Protocol: r.Protocol, FetchEvidence: fact.FetchEvidence{
		Fetch: f, Host: target.HostNetwork, Compared: target.Query.Netns == "host",
	}}
	allow := allowedFor(ctx, node.Destinations, target)
	name, addr, err := fetch.Host(r.Host)
	if err != nil {
		return nil, err
	}
	if !addr.IsValid() {
		environ, _ := applicationEnviron(ctx, target)
		find := nameLookup(node, target, environ, allow, func(l *fact.DNSLookup) { e.Lookup = l })
		addrs, how, err := find(ctx, name)
		if err != nil {
			return nil, err
		}
		f.DNS, f.AddressesSkipped = &how, max(len(addrs)-1, 0)
		if len(addrs) == 0 {
			f.Stage, f.Outcome, f.Reason = fact.StageDNS, fact.OutcomeDNSFailed, fetch.NoAddress(&how)
			e.ServiceUnknown = askLookup(ctx, node, target, allow, e.Lookup)
			if e.Lookup.Unheard() {
				e.Links = Links(ctx, node.Host, target)
			}
			return e, nil
		}
		e.Lookup, addr = nil, addrs[0]
	}
	a, err := h.send(ctx, target, e, attempt.Request{
		Address: netip.AddrPortFrom(addr, r.Port), Timeout: timeToAnswer(ctx, r.Timeout), Allow: allow.probes, Tracer: node.Tracer, FromFirst: true,
	}, r)
	if err != nil {
		return nil, err
	}
	if a.Outcome == fact.OutcomeDenied {
		return nil, &DeniedError{Host: r.Host, Err: errors.New(a.Why)}
	}
	f.Outcome, f.Attempts = a.Outcome, []fact.Attempt{a}
	attempt.AskNode(ctx, node.Host, target.Net, f.Attempts)
	describeAttempts(ctx, node, target, f.Attempts)
	if f.Outcome == fact.OutcomeOK {
		f.Stage = fact.StageDone
		return e, nil
	}
	if r.Protocol != "icmp" {
		f.Service, e.ServiceUnknown = serviceAt(ctx, node, place{name: name, at: netip.AddrPortFrom(addr, r.Port), protocol: strings.ToUpper(r.Protocol)})
	}
	if blamesLinks(f, nil) {
		e.Links = Links(ctx, node.Host, target)
	}
	return e, nil
}

// send sends the packet, and closes what comes of it.
func (h *HTTP) send(ctx context.Context, target *resolve.Target, e *fact.TraceEvidence, to attempt.Request, r TraceRequest) (fact.Attempt, error) {
	if r.Protocol == "tcp" {
		conn, a, err := h.prober.Connect(ctx, target.Net, to)
		if conn != nil {
			_ = conn.Close() // nothing was written
		}
		return a, err
	}
	q := attempt.Question{Echo: r.Protocol == "icmp", Payload: r.Payload}
	rcode := func([]byte) string { return "" }
	if r.DNSName != "" {
		var err error
		if q.Payload, rcode, err = lookup.Question(r.DNSName); err != nil {
			return fact.Attempt{}, err
		}
	}
	a, answer, err := h.prober.Ask(ctx, target.Net, to, q)
	if answer != nil {
		e.AnswerBytes, e.RCode = new(len(answer)), rcode(answer)
	}
	return a, err
}

// timeToAnswer leaves some of a call's time to explain that no answer came.
func timeToAnswer(ctx context.Context, wanted time.Duration) time.Duration {
	wait := cmp.Or(wanted, answerTime)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		wait = min(wait, left-min(max(left/20, 50*time.Millisecond), 500*time.Millisecond, left/2))
	}
	return max(wait, time.Millisecond)
}
