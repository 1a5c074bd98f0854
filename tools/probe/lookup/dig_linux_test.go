package lookup

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// dig is the program; without it the test is skipped, or fails in CI.
func dig(t testing.TB) string {
	t.Helper()
	return lab.Program(t, "dig")
}

// dug is what dig printed about one question.
type dug struct {
	status string   // NOERROR, NXDOMAIN ...; "" without an answer
	flags  []string // qr, aa, tc, rd, ra ...
	data   []string // of the answers of the type asked for, sorted
}

// runDig asks with dig from inside the pod.
func runDig(t testing.TB, pod *lab.Pod, program, server, name, qtype string, more ...string) dug {
	t.Helper()
	args := append([]string{"@" + server, "-q", name, "-t", qtype, "+noedns", "+tries=1", "+time=1", "+norrcomments"}, more...)
	out, err := pod.Output(program, args...)
	if err != nil && !strings.Contains(err.Error(), "exit status 9") { // 9: no answer
		t.Fatal(err)
	}
	var d dug
	inAnswers := false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "status: "); ok {
			d.status, _, _ = strings.Cut(rest, ",")
		}
		if rest, ok := strings.CutPrefix(line, ";; flags:"); ok {
			list, _, _ := strings.Cut(rest, ";")
			d.flags = strings.Fields(list)
		}
		if strings.HasPrefix(line, ";;") {
			inAnswers = strings.Contains(line, "ANSWER SECTION")
			continue
		}
		if fields := strings.Fields(line); inAnswers && len(fields) > 4 && fields[3] == strings.ToUpper(qtype) {
			d.data = append(d.data, strings.Join(fields[4:], " "))
		}
	}
	slices.Sort(d.data)
	return d
}

// TestAgainstDig: each exchange says what dig says of the same server, name and
// type.
func TestAgainstDig(t *testing.T) {
	t.Parallel()
	program := dig(t)
	pod := newPod(t)
	records := cluster()
	records["example.com."] = []string{
		"MX 10 mail.example.com.", "MX 20 mail2.example.com.", "NS ns.example.com.", "SOA ns.example.com. admin.example.com. 1 2 3 4 5",
		`TXT "v=spf1 -all" "second"`, `TXT "bytes \000\255 and \"quotes\""`, `CAA 0 issue "ca.example"`,
	}
	records["_sip._tcp.example.com."] = []string{"SRV 0 5 5060 sip.example.com.", "SRV 1 5 5061 sip2.example.com."}
	records["4.3.2.1.in-addr.arpa."] = []string{"PTR host.example.com."}
	records[`odd\032name.example.com.`] = []string{"A 192.0.2.99"}
	answering := zone(records)
	answering.handle = func(w dns.ResponseWriter, q *dns.Msg) bool {
		name, _, _ := strings.Cut(q.Question[0].Name, ".")
		switch name {
		case "servfail":
			return rcode(dns.RcodeServerFailure)(w, q)
		case "refused":
			return rcode(dns.RcodeRefused)(w, q)
		case "formerr":
			return rcode(dns.RcodeFormatError)(w, q)
		case "notimp":
			return rcode(dns.RcodeNotImplemented)(w, q)
		case "big":
			return truncated(w, q)
		case "silent":
			return true
		}
		return false
	}
	records["big.example.com."] = []string{"A 192.0.2.1", "A 192.0.2.2"}
	answering.serve(t, pod, server1)
	target := targetIn(pod, conf("nameserver "+server1))
	for _, name := range []string{
		"www.example.com", "example.com", "_sip._tcp.example.com", "4.3.2.1.in-addr.arpa", "chain.example.com", "dangling.example.com", "loop.example.com",
		"many.example.com", "nosuch.example.com", "servfail.example.com", "refused.example.com", "formerr.example.com", "notimp.example.com",
		"big.example.com", "silent.example.com", "WWW.EXAMPLE.com", `odd\032name.example.com`,
	} {
		for _, qtype := range []string{"A", "AAAA", "MX", "NS", "SOA", "TXT", "CAA", "SRV", "PTR", "CNAME", "TYPE65280"} {
			if qtype != "A" && name != "example.com" && !answersAny(records[name+"."], qtype) {
				continue // one question without an answer is enough
			}
			theirs := runDig(t, pod, program, server1, name, qtype)
			number, ok := ParseType(qtype)
			if !ok {
				t.Fatal(qtype)
			}
			r := Request{Name: name, Types: []uint16{number}, NoSearch: true}
			if strings.HasPrefix(name, "silent") {
				r.Window = DefaultWindow / 10
			}
			sameAsDig(t, lookUp(t, target, r), theirs)
		}
	}
}

func answersAny(records []string, qtype string) bool {
	return slices.ContainsFunc(records, func(text string) bool { return strings.HasPrefix(text, qtype+" ") })
}

func sameAsDig(t *testing.T, out *fact.DNSLookup, theirs dug) {
	t.Helper()
	ours := out.Tried[0].Answers[0]
	title := out.Asked + " " + ours.Type
	if ours.Rcode != theirs.status {
		t.Errorf("%s: status %q, dig says %q", title, ours.Rcode, theirs.status)
	}
	for _, flag := range []string{"aa", "tc", "ra", "ad"} {
		if slices.Contains(ours.Flags, flag) != slices.Contains(theirs.flags, flag) {
			t.Errorf("%s: flags %v, dig says %v", title, ours.Flags, theirs.flags)
		}
	}
	data := slices.Clone(ours.Addresses)
	for _, r := range out.Records {
		data = append(data, r.Data+r.Untrusted.Data)
	}
	slices.Sort(data)
	if !slices.Equal(data, theirs.data) {
		t.Errorf("%s: %q, dig says %q", title, data, theirs.data)
	}
}

// TestAgainstDigSearch: the names of the search list in dig's order, for names
// with fewer dots than ndots. Others dig never searches, unlike glibc.
func TestAgainstDigSearch(t *testing.T) {
	t.Parallel()
	program := dig(t)
	pod := newPod(t)
	f := zone(cluster())
	f.serve(t, pod, server1)
	for _, ndots := range []string{"1", "5"} {
		for _, name := range []string{"web", "web.shop", "nosuch", "nosuch.", "f"} {
			if ndots == "1" && strings.Contains(strings.TrimSuffix(name, "."), ".") {
				continue
			}
			file := conf("search a.example b.example shop.svc.cluster.local d.example svc.cluster.local six.example", "nameserver "+server1, "options ndots:"+ndots)
			target := targetIn(pod, file)
			ours := lookUp(t, target, Request{Name: name, Types: []uint16{typeA}})
			f.asked()
			theirs := runDigWithFiles(t, pod, program, file, name)
			var names []string
			for _, try := range ours.Tried {
				if !try.Beside {
					names = append(names, try.Name)
				}
			}
			if !slices.Equal(names, theirs) {
				t.Errorf("ndots %s, %s: we would ask for %v, dig asks for %v", ndots, name, names, theirs)
			}
		}
	}
}

// runDigWithFiles runs dig with a search list and returns the names that it asked
// for, as it shows them.
func runDigWithFiles(t *testing.T, pod *lab.Pod, program string, files map[string]string, name string) []string {
	t.Helper()
	dir := writeFiles(t, files)
	out, err := output(t, pod, dir, program, "+search", "+showsearch", "+noedns", "+tries=1", "-q", name, "-t", "A")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(out) {
		// The question section: ";web.example.		IN	A".
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[1] == "IN" && strings.HasPrefix(fields[0], ";") {
			names = append(names, strings.TrimPrefix(fields[0], ";"))
		}
	}
	return names
}

// TestAgainstGetent: glibc's own program gives the same addresses in a pod with
// a real interface.
func TestAgainstGetent(t *testing.T) {
	t.Parallel()
	program := lab.Program(t, "getent")
	l := lab.Start(t)
	pod := l.Pod(t, lab.PodSpec{IPv6: true})
	zone(cluster()).serve(t, pod, server1)
	file := files(conf(clusterSearch, "nameserver "+server1, "options ndots:5"), hostsPath, "192.0.2.200 pinned\n")
	for _, name := range []string{"web", "dual", "six", "www.example.com", "chain.example.com", "many.example.com", "pinned", "nosuch", "empty", "10.0.0.1"} {
		ours := lookUp(t, targetIn(pod, file), Request{Name: name})
		out, err := output(t, pod, writeFiles(t, file), program, "ahosts", name)
		found := err == nil
		if !found && !strings.Contains(err.Error(), "exit status 2") { // 2: not found
			t.Fatal(err)
		}
		var theirs []string
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "STREAM" {
				theirs = append(theirs, netip.MustParseAddr(fields[0]).String())
			}
		}
		slices.Sort(theirs)
		slices.Sort(ours.Addresses)
		if !slices.Equal(ours.Addresses, theirs) || found != (ours.Outcome == "answered") {
			t.Errorf("%s: %s %v, getent says %v", name, ours.Outcome, ours.Addresses, theirs)
		}
	}
}
