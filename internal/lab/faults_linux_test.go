package lab_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/nftables"

	"nsenter-mcp/internal/lab"
)

// Each fault changes what can be seen of the pod, and only faults do.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range lab.Faults() {
		t.Run(f.Code+" "+strings.ReplaceAll(f.About, " ", "_"), func(t *testing.T) {
			t.Parallel()
			l := lab.Start(t)
			p := l.Pod(t, lab.PodSpec{IPv6: true})
			other := l.Pod(t, lab.PodSpec{IPv6: true})
			serve(t, other.Netns, "other")
			wantGet(t, p.Netns, other.IP, 80, "other")
			before := look(t, p)
			if again := look(t, p); again != before {
				t.Fatalf("a healthy pod changes:\n%s\n%s", before, again)
			}
			if err := f.Inject(p); err != nil {
				t.Fatal(err)
			}
			if after := look(t, p); after == before {
				t.Errorf("nothing changed:\n%s", after)
			}
		})
	}
}

// look shows links, addresses, routes and firewall of the pod and its node,
// without what changes by itself.
func look(t *testing.T, p *lab.Pod) string {
	t.Helper()
	var all strings.Builder
	for _, n := range []*lab.Netns{p.Netns, p.Node.Netns} {
		for _, args := range [][]string{
			{"-d", "-o", "link"}, {"-o", "addr"}, {"route"}, {"-6", "route"},
		} {
			out, err := n.Output("ip", args...)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(out)) {
				// The bridge's timers run.
				if i := strings.Index(line, "hello_timer"); i >= 0 {
					line = line[:i] + "\n"
				}
				if i := strings.Index(line, "bridge_slave"); i >= 0 {
					line = line[:i] + line[strings.Index(line, "isolated"):]
				}
				// A carrier that is noticed late starts duplicate detection again.
				all.WriteString(strings.Replace(line, " tentative", "", 1))
			}
		}
		fmt.Fprintf(&all, "%d firewall rules\n", firewallRules(t, n))
	}
	return all.String()
}

// firewallRules counts the rules of a namespace.
func firewallRules(t *testing.T, n *lab.Netns) int {
	t.Helper()
	var conn *nftables.Conn
	err := n.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseLasting() }()
	chains, err := conn.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			t.Fatal(err)
		}
		count += len(rules)
	}
	return count
}

// A fault that a style has no place for says so.
func TestFaultsOfOtherStyles(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	calico := l.Pod(t, lab.PodSpec{Style: lab.Calico})
	host := l.Pod(t, lab.PodSpec{Style: lab.HostNetwork})
	for name, err := range map[string]error{
		"detach":  lab.Detach(calico),
		"isolate": lab.IsolatePorts(calico),
		"peer":    lab.PeerDown(host),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
