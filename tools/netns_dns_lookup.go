package tools

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/dispatch/destination"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
)

const netnsDNSLookup dispatch.Name[NetnsDNSLookupIn] = "netns_dns_lookup"

func netnsDNSLookupTool(tracer *gather.Tracer) dispatch.Tool {
	return dispatch.Define(netnsDNSLookup, dispatch.Spec{
		Title: "Look a name up as the application would",
		Description: "What the application gets for a name, and why: by the application's own resolv.conf, search list, ndots and hosts file. " +
			"Every nameserver is asked from inside; the wait and the error of the application are told. " +
			"Unlike nsenter -n dig, never by the node's resolv.conf. Any record type.",
		Purpose:      "what the application gets for a name, and why",
		Toolset:      dispatch.Probe,
		SendsPackets: true,
		Capabilities: []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"},
		MaxBytes:     1 << 20,
		ReadsFiles:   true,
	}, func(ctx context.Context, env *dispatch.Env, target *resolve.Target, in NetnsDNSLookupIn) (dispatch.Answer[fact.DNSLookup], error) {
		return lookUpName(ctx, thisNode(env, tracer), env, target, in)
	})
}

// NetnsDNSLookupIn are the arguments of netns_dns_lookup.
type NetnsDNSLookupIn struct {
	dispatch.TargetArgs
	Name    string   `json:"name" jsonschema:"final dot: absolute; for PTR an address"`
	Type    []string `json:"type,omitempty" jsonschema:"default A and AAAA"`
	Server  string   `json:"server,omitempty" jsonschema:"instead of the target's own: IP or IP:port"`
	Search  *bool    `json:"search,omitempty" jsonschema:"false: without the search list"`
	EDNS    bool     `json:"edns,omitempty" jsonschema:"even if resolv.conf does not ask for it"`
	Details bool     `json:"details,omitempty" jsonschema:"every exchange"`
}

// maxTypes bounds the record types of one call.
const maxTypes = 8

func lookUpName(ctx context.Context, node gather.Node, env *dispatch.Env, t *resolve.Target, in NetnsDNSLookupIn) (dispatch.Answer[fact.DNSLookup], error) {
	request, err := in.request()
	if err != nil {
		return dispatch.Answer[fact.DNSLookup]{}, err
	}
	found, err := gather.LookUp(ctx, node, t, request)
	if err != nil {
		return dispatch.Answer[fact.DNSLookup]{}, deniedServer(err)
	}
	answer := dispatch.Answer[fact.DNSLookup]{Summary: describeLookup(found.DNSLookup), Findings: diagnose.Lookup(found)}
	answer.Next = in.next(ctx, env, t, found, answer.Findings)
	if (found.Links != nil || found.Service != nil || found.Nameserver != nil) && diagnose.Settled(answer.Findings) {
		answer.Summary = nameFindings(answer.Findings[:1]) + answer.Summary
	}
	for _, n := range found.Notes {
		answer.Notes = append(answer.Notes, dispatch.Note{Code: n.Code, Message: n.Message})
	}
	answer.Notes = slices.Concat(answer.Notes, firewallNotRead(answer.Findings), serviceUnknown(found.ServiceUnknown))
	found.ShowJourney()
	answer.Data = *found.DNSLookup
	if !in.Details {
		answer.Data = compactLookup(found.DNSLookup)
	}
	return answer, nil
}

// next makes calls of the moves that are worth making.
func (in *NetnsDNSLookupIn) next(ctx context.Context, env *dispatch.Env, t *resolve.Target, e *fact.LookupEvidence, findings []fact.Finding) []dispatch.Next {
	same := dispatch.ArgumentsOf(t)
	var next []dispatch.Next
	for _, step := range diagnose.AfterLookup(e, findings) {
		call := NetnsDNSLookupIn{TargetArgs: same, Name: step.Name, Type: in.Type}
		switch step.Move {
		case diagnose.ShowPod:
			next = append(next, proposePod(step))
			continue
		case diagnose.ShowLink:
			next = append(next, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: same}, step.Why))
			continue
		case diagnose.LookUpName:
			call.Type = nil
		case diagnose.FromNode:
			call.TargetArgs, call.Server = dispatch.TargetArgs{Netns: "host"}, e.Resolver.Servers[0]
		case diagnose.FromInside, diagnose.AsServer:
			server, _ := parseServer(e.Resolver.Servers[0])
			places := []string{server.String()}
			if e.Nameserver != nil {
				places = append(places, e.Nameserver.Addresses()...)
			}
			owner, at := gather.OwnerOf(ctx, env.Resolver, env.Host, t, places...)
			if owner == nil {
				continue
			}
			call.TargetArgs = dispatch.ArgumentsOf(owner)
			step.Why = "the same question inside the nameserver, " + ownerName(owner, at.Addr()) + ": " + step.Why
			if step.Move == diagnose.FromInside {
				call.Server = at.String()
			}
			_ = owner.Close() // was only looked at
		}
		next = append(next, dispatch.Propose(netnsDNSLookup, call, step.Why))
	}
	return next
}

// request checks the arguments.
func (in *NetnsDNSLookupIn) request() (gather.DNSRequest, error) {
	r := gather.DNSRequest{
		Name: in.Name, NoSearch: in.Search != nil && !*in.Search, EDNS: in.EDNS,
		Window: time.Duration(in.TimeoutMS) * time.Millisecond,
	}
	if err := gather.CheckName(in.Name); err != nil {
		return r, dispatch.InvalidArgument("name", strings.TrimPrefix(err.Error(), "name "))
	}
	for _, list := range in.Type {
		for name := range strings.FieldsFuncSeq(list, func(c rune) bool { return c == ',' || c == ' ' }) {
			t, ok := gather.ParseType(name)
			if !ok {
				return r, dispatch.InvalidArgument("type", words.Quote(name)+" is no record type that can be asked for; ask for A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT, CAA, SVCB, HTTPS, or TYPE65")
			}
			if !slices.Contains(r.Types, t) {
				r.Types = append(r.Types, t)
			}
		}
	}
	if len(r.Types) > maxTypes {
		return r, dispatch.InvalidArgument("type", fmt.Sprintf("%d types are more than %d in one call", len(r.Types), maxTypes))
	}
	if in.Server == "" {
		return r, nil
	}
	server, ok := parseServer(in.Server)
	if !ok {
		return r, dispatch.InvalidArgument("server", words.Quote(in.Server)+" is no IP or IP:port; names are not looked up here")
	}
	r.Server = server
	return r, nil
}

// parseServer reads an address with or without a port.
func parseServer(text string) (netip.AddrPort, bool) {
	if server, err := netip.ParseAddrPort(text); err == nil {
		return server, server.Port() != 0
	}
	ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return netip.AddrPortFrom(ip, 53), err == nil
}

// deniedServer words the policy's refusal.
func deniedServer(err error) error {
	var denied *destination.DeniedError
	if !errors.As(err, &denied) {
		return err
	}
	return &dispatch.Error{
		Code: dispatch.CodeDestinationDenied, Stage: dispatch.StagePolicy, Message: "the nameserver may not be asked: " + denied.Error(),
		Hint: "leave server out to ask the target's own nameservers, or ask the operator to allow the address",
	}
}

// The bounds of a short answer.
const (
	fewTries   = 8
	fewRecords = 20
	fewDomains = 8
)

// compactLookup keeps the exchanges that the application would have had and
// what every server says about the deciding name.
func compactLookup(full *fact.DNSLookup) fact.DNSLookup {
	short := *full
	if full.Journey != nil {
		short.Journey = new(*full.Journey)
		short.Journey.Compact()
	}
	short.Tried = []fact.DNSTry{}
	for _, t := range full.Tried {
		if t.Beside && t.Name != full.Name && (t.Outcome != "answered" || full.Outcome == "answered") {
			continue
		}
		if len(short.Tried) < fewTries {
			t.Answers, t.Journey = nil, nil
			short.Tried = append(short.Tried, t)
		}
	}
	if len(short.Tried) < len(full.Tried) {
		short.TriedTotal = max(len(full.Tried), full.TriedTotal)
	}
	if len(full.Records) > fewRecords {
		short.Records, short.RecordsTotal = full.Records[:fewRecords], max(len(full.Records), full.RecordsTotal)
	}
	short.Records = slices.Clone(short.Records)
	for i := range short.Records {
		r := &short.Records[i]
		r.Data, r.Untrusted.Data = cut(r.Data), cut(r.Untrusted.Data)
	}
	if search := full.Resolver.Search; len(search) > fewDomains {
		short.Resolver.Search, short.Resolver.SearchTotal = search[:fewDomains], max(len(search), full.Resolver.SearchTotal)
	}
	return short
}

// cut shortens one record.
func cut(text string) string {
	const limit = 300
	if len(text) <= limit {
		return text
	}
	return text[:limit] + fmt.Sprintf("... (%d bytes)", len(text))
}

// describeLookup is the summary.
func describeLookup(l *fact.DNSLookup) string {
	var b strings.Builder
	switch {
	case l.Source == "literal":
		return words.Printable(l.Asked) + " is an address; nothing has to be looked up (type PTR asks for its name)."
	case l.Source == "hosts":
		fmt.Fprintf(&b, "%s is %s, from line %d of %s; DNS is not asked", words.Printable(l.Asked), diagnose.SomeOf(l.Addresses), l.Hosts.Line, l.Hosts.File)
	case l.Outcome == "answered":
		describeAnswer(&b, l)
	case l.Outcome == "no_nameserver" && l.Resolver.File == "":
		return "the target's resolv.conf is not known, so nobody knows which server the applications would ask about " + words.Printable(l.Asked) + "; name a server."
	default:
		describeFailure(&b, l)
	}
	var others []string
	for _, o := range l.Others {
		if !o.SameResult {
			others = append(others, o.Library)
		}
	}
	if len(others) > 0 {
		fmt.Fprintf(&b, "; another result with %s than with %s", strings.Join(others, " and "), l.Resolver.Library)
		if !l.Resolver.Detected {
			b.WriteString(", which is assumed")
		}
	}
	b.WriteByte('.')
	return b.String()
}

func describeAnswer(b *strings.Builder, l *fact.DNSLookup) {
	b.WriteString(words.Printable(l.Asked))
	switch {
	case len(l.Addresses) > 0:
		b.WriteString(" is " + diagnose.SomeOf(l.Addresses))
		for _, n := range l.Notes {
			switch n.Code {
			case "null_address":
				b.WriteString(" (no host: the name may be blocked)")
			case "loopback_address":
				b.WriteString(" (the target itself)")
			}
		}
	default:
		fmt.Fprintf(b, " has %s (%s)", words.Plural(max(len(l.Records), l.RecordsTotal), "record"), strings.Join(l.Types, ", "))
	}
	if l.SearchDomain != "" {
		fmt.Fprintf(b, ", found as %s", words.Printable(l.Name))
	}
	fmt.Fprintf(b, " at %s; the application waits %s", words.Printable(l.Server), waited(l))
}

// lookupFailures word the outcomes.
var lookupFailures = map[string]string{
	"nxdomain":      "does not exist",
	"nodata":        "exists without an answer of that type",
	"servfail":      "could not be resolved: the nameserver fails",
	"bad_response":  "could not be resolved: the nameserver sends no valid answer",
	"refused":       "could not be resolved: the nameserver refuses",
	"reset":         "could not be resolved: the nameserver ended the TCP connection",
	"timeout":       "could not be resolved: no answer in time",
	"unreachable":   "could not be resolved: no nameserver can be reached",
	"no_nameserver": "could not be resolved: resolv.conf names no usable nameserver",
}

func describeFailure(b *strings.Builder, l *fact.DNSLookup) {
	failure := lookupFailures[l.Outcome]
	if l.HalfDenied() {
		failure = "has an address, but the nameserver denies the name for the other record type, and " + l.Resolver.Library + " takes that for both"
	}
	fmt.Fprintf(b, "%s %s", words.Printable(l.Asked), failure)
	var names, servers []string
	for _, t := range l.Tried {
		if t.Beside {
			continue
		}
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
		if !slices.Contains(servers, t.Server) {
			servers = append(servers, t.Server)
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(b, " (%s at %s)", words.Plural(len(names), "name"), diagnose.SomeOf(servers))
	}
	if l.AppError != "" {
		with := l.Resolver.Library
		if !l.Resolver.Detected {
			with += " (assumed)"
		}
		fmt.Fprintf(b, "; an application with %s gets %s after %s", with, l.AppError, waited(l))
	}
}

func waited(l *fact.DNSLookup) string {
	if l.AppWaitForever {
		return "no time, it waits without end"
	}
	return strconv.FormatFloat(l.AppWaitMS, 'f', -1, 64) + " ms"
}
