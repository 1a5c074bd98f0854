package tools

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/probe/journey"
)

// TestFaults: each tool says of each fault what the table of faults has for it, and
// nothing of a pod that is well.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range lab.Faults() {
		for _, want := range f.Says {
			t.Run(f.Name+"/"+want.Tool, func(t *testing.T) {
				t.Parallel()
				if f.Journey {
					lab.Kernel(t, noJourney())
				}
				b := newTestbench(t, nil)
				s := b.lab.Scene(t, &f, 0)
				args := s.Arguments(want.Tool)
				if want.Tool == "netns_curl" {
					args["timeout_ms"] = 6000
				}
				maps.Copy(args, want.With)
				// On a busy machine a packet may pass before it is watched for: what is asked
				// again is looked at anew.
				answer, data := succeed[struct{ Outcome string }](t, b, want.Tool, args)
				wanted := append([]string{}, want.Codes...)
				for try := 0; try < 3 && !slices.Equal(codes(answer.Findings), wanted); try++ {
					answer, data = succeed[struct{ Outcome string }](t, b, want.Tool, args)
				}
				got, codes := codes(answer.Findings), wanted
				if want.Outcome != "" && data.Outcome != want.Outcome || !slices.Equal(got, codes) {
					t.Fatalf("%s %v, want %s %v: %s %+v", data.Outcome, got, want.Outcome, codes, answer.Summary, answer.Findings)
				}
				if len(answer.Findings) > 0 {
					says := strings.ReplaceAll(want.Fact, "HOST", s.Pod.HostLink)
					if fact := answer.Findings[0].Fact; !strings.Contains(fact, says) {
						t.Errorf("fact %q, want %q in it", fact, says)
					}
				}
				if want.Tool == ipAddrTool && !strings.HasPrefix(answer.Summary, codes[0]+": "+answer.Findings[0].Fact) {
					t.Errorf("the summary does not begin with the finding: %s", answer.Summary)
				}
				lost := slices.Contains(codes, "tcp.timeout")
				if want.Tool == "netns_curl" && slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool { return n.Code == "firewall_not_read" }) != lost {
					t.Errorf("notes %v", answer.Notes)
				}
				if text, _ := json.Marshal(answer); len(text) > 4000 {
					t.Errorf("%d bytes: %s", len(text), text)
				}
				for _, n := range answer.Next {
					if next := b.call(t, n.Tool, n.Arguments); next.Error != nil {
						t.Errorf("next %+v: %+v", n, next.Error)
					}
				}
			})
		}
	}
}

// The table of faults has codes that there are, and each of its names is one fault.
func TestTableOfFaults(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"": true}
	for _, c := range diagnose.Codes() {
		known[string(c.Code)] = true
	}
	names := make(map[string]bool)
	for _, f := range lab.Faults() {
		if names[f.Name] {
			t.Errorf("%s: twice", f.Name)
		}
		names[f.Name] = true
		all := append([]string{f.Code}, f.Beside...)
		for _, a := range f.Says {
			all = append(all, a.Codes...)
		}
		for _, code := range all {
			if !known[code] {
				t.Errorf("%s: no code %q", f.Name, code)
			}
		}
	}
}

// noJourney says why this kernel shows no journey to this user. It is tried once.
var noJourney = sync.OnceValue(func() error { return new(journey.Tracer).Check() })
