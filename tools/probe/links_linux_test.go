package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// Without details the same is read that is left of the details in a short answer.
func TestLinksWithoutDetails(t *testing.T) {
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{IPv6: true}, lab.PodSpec{Style: lab.Calico})
	for _, pod := range pods {
		var read [2][]fact.Link
		for i, options := range []LinkOptions{{}, {Details: true}} {
			list, err := Links(context.Background(), pod.Handle, options)
			if err != nil {
				t.Fatal(err)
			}
			if err := HostPeers(context.Background(), pod.Handle, l.Node.Handle, list.Links, options); err != nil {
				t.Fatal(err)
			}
			for _, link := range list.Links {
				read[i] = append(read[i], link.Compact())
			}
		}
		short, err := json.Marshal(read[0])
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, read[1], string(short))
	}
}

// The kernel leaves out of a dump what does not fit: whoever may name an interface must not
// be able to hide it.
func TestLinkOfManyNames(t *testing.T) {
	ns := lab.Start(t).Pod(t, lab.PodSpec{}).Netns
	const most = 490 // of 116 bytes each with their headers; the kernel takes below 64 kB
	var names strings.Builder
	for i := range most {
		fmt.Fprintf(&names, "link property add dev eth0 altname %0110d\n", i)
	}
	batch(t, ns, names.String())
	eth0 := findLink(t, readLinks(t, ns), "eth0")
	if eth0.Untrusted == nil || len(eth0.Untrusted.AltNames) != most {
		t.Errorf("names of eth0: %+v", eth0.Untrusted)
	}
}

func TestCountsErrors(t *testing.T) {
	t.Parallel()
	for position := range 24 {
		b := make([]byte, 24*8)
		b[position*8] = 1
		if got, want := countsErrors(b), position == rxErrors || position == txErrors; got != want {
			t.Errorf("counter %d: %v", position, got)
		}
	}
	if countsErrors(nil) || countsErrors(make([]byte, 47)) {
		t.Error("errors in counters that are not there")
	}
}

// TestLinksManyAddresses: a target may have any number of addresses, of which few are kept.
func TestLinksManyAddresses(t *testing.T) {
	t.Parallel()
	pod := lab.Start(t).Pod(t, lab.PodSpec{IPv6: true})
	var commands strings.Builder
	for i := range maxAddresses {
		fmt.Fprintf(&commands, "addr add fd00:77::%x/128 dev lo nodad\n", i+1)
	}
	batch(t, pod.Netns, commands.String())
	list, err := Links(t.Context(), pod.Handle, LinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, l := range list.Links {
		kept += len(l.AddrInfo)
	}
	if list.Complete || kept != maxAddresses {
		t.Errorf("%d addresses are kept, complete %v", kept, list.Complete)
	}
}
