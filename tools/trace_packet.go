package tools

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
)

const tracePacket dispatch.Name[TracePacketIn] = "trace_packet"

func tracePacketTool(tracer *gather.Tracer) dispatch.Tool {
	sender := gather.NewHTTP()
	return dispatch.Define(tracePacket, dispatch.Spec{
		Title: "Where one packet goes",
		Description: "Sends one SYN, datagram, DNS question or echo from inside, and shows its journey and the answer's. " +
			"Every device and namespace of this node, NAT, and the kernel's own reason and function where it was dropped. " +
			"netns: host sends from the node. details adds all steps and a Mermaid diagram.",
		Purpose:      "the journey of one packet there and back: every device, NAT, and where and why it was dropped",
		Toolset:      dispatch.Probe,
		SendsPackets: true,
		Capabilities: []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_RAW"},
		ReadsFiles:   true,
	}, func(ctx context.Context, env *dispatch.Env, target *resolve.Target, in TracePacketIn) (dispatch.Answer[fact.PacketTrace], error) {
		return traceOne(ctx, sender, thisNode(env, tracer), env, target, in)
	})
}

// TracePacketIn are the arguments of trace_packet.
type TracePacketIn struct {
	dispatch.TargetArgs
	Destination string `json:"destination" jsonschema:"host, host:port or IP"`
	Protocol    string `json:"protocol,omitempty" jsonschema:"default tcp" enum:"tcp,udp,icmp"`
	Port        int    `json:"port,omitempty" jsonschema:"if destination has none" min:"1" max:"65535"`
	Payload     string `json:"payload,omitempty" jsonschema:"udp: text, or hex:c0ffee"`
	DNSName     string `json:"dns_name,omitempty" jsonschema:"udp: asks for this name; default port 53"`
	Details     bool   `json:"details,omitempty" jsonschema:"all steps, and a Mermaid diagram"`
}

// maxPayload fits into one packet of every usual path.
const maxPayload = 1400

// request checks the arguments.
func (in *TracePacketIn) request() (gather.TraceRequest, error) {
	r := gather.TraceRequest{Protocol: cmp.Or(in.Protocol, "tcp"), DNSName: in.DNSName, Timeout: time.Duration(in.TimeoutMS) * time.Millisecond}
	host, port, err := in.place()
	if err != nil {
		return r, err
	}
	r.Host, r.Port = host, port
	switch {
	case r.Protocol == "icmp" && port != 0:
		return r, dispatch.InvalidArgument("port", "icmp has no ports; leave it out, or send protocol tcp or udp")
	case r.Protocol != "udp" && in.Payload+in.DNSName != "":
		return r, dispatch.InvalidArgument("protocol", "payload and dns_name are for udp; send protocol udp")
	case in.Payload != "" && in.DNSName != "":
		return r, dispatch.InvalidArgument("payload", "dns_name makes a payload of its own; send one of the two")
	case in.DNSName != "":
		if err := gather.CheckName(in.DNSName); err != nil {
			return r, dispatch.InvalidArgument("dns_name", strings.TrimPrefix(err.Error(), "name "))
		}
		r.Port = cmp.Or(port, 53)
	case r.Protocol != "icmp" && port == 0:
		return r, dispatch.InvalidArgument("port", r.Protocol+" needs a port, such as 80 for HTTP, 443 for HTTPS, 53 for DNS")
	}
	if r.Protocol == "udp" && in.DNSName == "" {
		if r.Payload, err = in.datagram(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// place is host and port, which may be 0.
func (in *TracePacketIn) place() (host string, port uint16, err error) {
	host = in.Destination
	bad := func(format string, args ...any) (string, uint16, error) {
		return "", 0, dispatch.InvalidArgument("destination", fmt.Sprintf(format, args...))
	}
	if strings.Contains(host, "/") {
		return bad("a host, not a URL or a prefix, is wanted: send host:port; HTTP requests are sent by netns_curl")
	}
	if at, err := netip.ParseAddrPort(host); err == nil {
		host, port = at.Addr().String(), at.Port()
	} else if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		host = strings.Trim(host, "[]")
	} else if name, number, found := strings.Cut(host, ":"); found {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return bad("%s is no host:port", words.Quote(host))
		}
		host, port = name, uint16(n)
	}
	if err := gather.CheckHost(host); err != nil {
		return bad("%v", err)
	}
	if in.Port != 0 && port != 0 && int(port) != in.Port {
		return bad("it has port %d, and port is %d; send one of them", port, in.Port)
	}
	return host, cmp.Or(port, uint16(in.Port)), nil //nolint:gosec // the schema bounds it
}

// datagram is what is sent by UDP. Without NAT's doing it is known again by its text
// alone, so the default is one that nobody else sends.
func (in *TracePacketIn) datagram() ([]byte, error) {
	text, isHex := strings.CutPrefix(in.Payload, "hex:")
	payload := []byte(text)
	if isHex {
		var err error
		if payload, err = hex.DecodeString(text); err != nil {
			return nil, dispatch.InvalidArgument("payload", "what follows hex: is no hexadecimal text of whole bytes")
		}
	}
	if len(payload) > maxPayload {
		return nil, dispatch.InvalidArgument("payload", fmt.Sprintf("%d bytes are more than %d", len(payload), maxPayload))
	}
	if len(payload) == 0 {
		return []byte("trace_packet " + rand.Text()), nil
	}
	return payload, nil
}

func traceOne(ctx context.Context, sender *gather.HTTP, node gather.Node, env *dispatch.Env, target *resolve.Target, in TracePacketIn) (dispatch.Answer[fact.PacketTrace], error) {
	request, err := in.request()
	if err != nil {
		return dispatch.Answer[fact.PacketTrace]{}, err
	}
	if node.Tracer == nil {
		return dispatch.Answer[fact.PacketTrace]{}, &dispatch.Error{
			Code: dispatch.CodeToolDisabled, Stage: dispatch.StagePolicy,
			Message: "the operator has switched the journey of packets off (journey: false in the file, or --journey=false)",
			Hint:    "ask the operator to allow the journey; netns_curl and netns_dns_lookup work without",
		}
	}
	found, err := sender.Trace(ctx, node, target, request)
	if err != nil {
		return dispatch.Answer[fact.PacketTrace]{}, curlError(err)
	}
	answer := dispatch.Answer[fact.PacketTrace]{Findings: diagnose.Trace(found)}
	found.ShowJourney()
	data := fact.PacketTrace{
		Outcome: found.Outcome, Reason: found.Reason, Protocol: found.Protocol, Hops: []string{}, Journey: found.Journey,
		AnswerBytes: found.AnswerBytes, RCode: found.RCode, DNS: found.DNS, AddressesSkipped: found.AddressesSkipped,
		Service: found.Service,
	}
	answer.Summary = summarizeTrace(found, answer.Findings)
	answer.Next = in.next(ctx, env, target, found, answer.Findings)
	if len(found.Attempts) > 0 {
		data.Attempt = &found.Attempts[0]
		data.Attempt.Why = "" // is the reason
	}
	if j := found.Journey; j != nil {
		data.Hops = j.Picture()
		if in.Details {
			data.Mermaid = j.Mermaid()
		} else {
			j.Steps = nil
		}
		if j.Status == fact.JourneyUnavailable {
			answer.Notes = append(answer.Notes, dispatch.Note{
				Code: "journey_unavailable", Message: "what became of the packet is known, its way is not: nsenter-mcp doctor on the node says what the journey needs",
			})
		}
		if j.Status == fact.JourneyRecorded && len(data.Hops) == 0 && found.Outcome == fact.OutcomeOK {
			answer.Notes = append(answer.Notes, dispatch.Note{
				Code: "packet_not_recognized", Message: "no device showed the packet under its own addresses: the target's own NAT probably changed them before the first one, " +
					"as for a service's address on the node; trace the address of a backend",
			})
		}
	}
	answer.Data = data
	return answer, nil
}

// summarizeTrace says in one sentence what came of the packet, and how far it is known to
// have gone.
func summarizeTrace(e *fact.TraceEvidence, findings []fact.Finding) string {
	if len(e.Attempts) == 0 {
		return sentence("Nothing was sent: " + e.Reason)
	}
	a := &e.Attempts[0]
	text := fmt.Sprintf("%s to %s (%s): %s", strings.ToUpper(e.Protocol), a.Address, e.Outcome, e.Reason)
	if e.Outcome == fact.OutcomeOK {
		text = fmt.Sprintf("%s to %s is answered after %.2f ms", strings.ToUpper(e.Protocol), a.Address, a.MS)
		if e.RCode != "" {
			text += " with " + e.RCode
		}
		if e.Reason != "" {
			text += "; " + e.Reason
		}
	}
	switch j := e.Journey; {
	case j == nil:
	case j.Status == fact.JourneyUnavailable:
		text += "; its journey is not known: " + j.Why
	case e.Outcome == fact.OutcomeOK && j.Reached() != "" && j.Reached() != a.Address:
		text += ", at " + j.Reached() + " after NAT"
	case e.Outcome != fact.OutcomeOK && len(findings) == 0 && j.Farthest() != "":
		text += "; this node saw last of it, on the way there: " + j.Farthest()
	}
	return sentence(text)
}

// next makes calls of the moves that are worth making.
func (in *TracePacketIn) next(ctx context.Context, env *dispatch.Env, target *resolve.Target, e *fact.TraceEvidence, findings []fact.Finding) []dispatch.Next {
	same := dispatch.ArgumentsOf(target)
	var next []dispatch.Next
	for _, step := range diagnose.AfterFetch(&e.FetchEvidence, findings) {
		call, why := *in, step.Why
		call.TargetArgs = same
		call.TimeoutMS = in.TimeoutMS
		switch step.Move {
		case diagnose.LookUpName:
			next = append(next, dispatch.Propose(netnsDNSLookup, NetnsDNSLookupIn{TargetArgs: same, Name: e.DNS.Name}, why))
			continue
		case diagnose.ShowPod:
			next = append(next, proposePod(step))
			continue
		case diagnose.ShowLink:
			next = append(next, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: same}, why))
			continue
		case diagnose.WithMoreTime:
			if call.TimeoutMS = longerTimeout(in.TimeoutMS); call.TimeoutMS == 0 {
				continue
			}
		case diagnose.FromNode:
			call.TargetArgs = dispatch.TargetArgs{Netns: "host", TimeoutMS: in.TimeoutMS}
			if len(e.Attempts) > 0 { // the node looks names up elsewhere
				call.Destination = e.Attempts[0].Address
			}
		case diagnose.FromInside:
			owner, to := gather.OwnerOf(ctx, env.Resolver, env.Host, target, behind(e)...)
			if owner == nil {
				continue
			}
			call.TargetArgs, call.Destination, call.Port = dispatch.ArgumentsOf(owner), bareAddress(to), 0
			call.TimeoutMS = in.TimeoutMS
			why = "the same from inside the destination, " + ownerName(owner, to.Addr()) + ": " + why
			_ = owner.Close() // was only looked at
		default:
			continue
		}
		next = append(next, dispatch.Propose(tracePacket, call, why))
	}
	return next
}

// behind are the places to which the packet may have been on its way, after NAT. The port is
// 0 for an echo.
func behind(e *fact.TraceEvidence) []string {
	places := e.Behind()
	if e.Journey != nil {
		places = append([]string{e.Journey.Reached()}, places...)
	}
	for i, p := range places {
		if ip, err := netip.ParseAddr(p); err == nil {
			places[i] = netip.AddrPortFrom(ip, 0).String()
		}
	}
	return places
}

// bareAddress is an address without the port where that is 0.
func bareAddress(at netip.AddrPort) string {
	if at.Port() == 0 {
		return at.Addr().String()
	}
	return at.String()
}
