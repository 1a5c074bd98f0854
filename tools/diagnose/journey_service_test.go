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
	for _, c := range []struct {
		title, file, address string
		change               func(*fact.Journey)
		cause                fact.Cause
		says                 string
	}{
		{"backend gone", "dead_backend", address, nil, fact.CauseDeadBackend,
			"the SYN to 10.96.0.100:80 is translated to 10.244.1.251:80, which does not answer on its link: the node gets no link-layer address for 10.244.1.251 on cni0 (NEIGH_FAILED in neigh_invalidate)"},
		{"backend gone, IPv6, without a reason", "dead_backend6", "[fd00:10:96::64]:80", nil, fact.CauseDeadBackend, "for fd00:10:244:1::fb on cni0 (NOT_SPECIFIED in neigh_invalidate)"},
		{"a router on the way to the backend is gone", "dead_backend", address, func(j *fact.Journey) { j.NextHop.Dst = "172.18.0.3" }, "", ""},
		{"nobody asked for the next hop", "dead_backend", address, func(j *fact.Journey) { j.NextHop = nil }, "", ""},
		{"that address itself was asked for", "dead_backend", "10.244.1.251:80", nil, "", ""},
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
