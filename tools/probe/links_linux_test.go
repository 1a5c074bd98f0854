package probe

import (
	"context"
	"encoding/json"
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
