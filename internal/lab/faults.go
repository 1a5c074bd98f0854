package lab

import (
	"fmt"
	"net/url"
	"strings"
)

// Fault is a row of the one table of faults ([Faults]): a pod whose network is
// broken in one way, or is well, and what the tools have to say of it.
type Fault struct {
	Name string
	// Code is the finding that names the cause ("link.down"), "" for a pod that is well.
	Code string

	// Pod changes the pod that is complained about before it is made.
	Pod func(*Scene, *PodSpec)
	Far bool // the server is on another node
	// Serve makes the other side, and returns the URL that the pod cannot get. The
	// default is a server on port 80.
	Serve func(*Scene) string
	Break func(*Pod) error // breaks the pod or its node until its end, nil for nothing
	Ask   string           // the tool of a user's first question, "" for netns_curl
	Count int              // how many tries the questions ask for, 0 for one

	// Says are the tools that have to say it, asked about it directly.
	Says []Answer
	// Beside are findings that come on the way to the cause and are true: symptoms.
	Beside []string
	// Journey: the journey of packets alone proves the cause, which not every kernel shows.
	Journey bool
	// Node is the outcome that the same request from the node has to have where
	// no tool of today proves the cause, and Missing what would prove it. Then Code
	// is a symptom, and the answers have to tell the side.
	Node, Missing string
}

// Answer is what one tool has to say.
type Answer struct {
	Tool    string
	With    map[string]any // arguments beside those of the scene
	Outcome string         // "" for any, and for a tool that has none
	Codes   []string       // of all findings, in their order
	Fact    string         // in the fact of the first one; HOST is the node's end of the veth
}

func curl(outcome string, codes ...string) Answer {
	return Answer{Tool: "netns_curl", Outcome: outcome, Codes: codes}
}

func lookup(outcome string, codes ...string) Answer {
	return Answer{Tool: "netns_dns_lookup", Outcome: outcome, Codes: codes}
}

func ipAddr(code, fact string) Answer {
	return Answer{Tool: "netns_ip_addr", Codes: []string{code}, Fact: fact}
}

func (a Answer) with(name string, value any) Answer {
	a.With = map[string]any{name: value}
	return a
}

// Break breaks the pod as the fault of that name does, at once and until the pod's
// end. It fails where a pod of the style has nothing of the kind to break.
func (p *Pod) Break(fault string) error {
	for _, f := range Faults() {
		if f.Name == fault && f.Break != nil {
			return f.Break(p)
		}
	}
	return fmt.Errorf("no fault %q that breaks a pod", fault)
}

// Scene is the cluster of one fault: a pod that a user complains about, and the
// server that it should reach.
type Scene struct {
	TB
	Lab    *Lab
	Pod    *Pod // shop/cart-0
	Server *Pod // shop/api-0
	URL    string
	count  int
	ca     *Authority
}

// Arguments are those of a first question to a tool.
func (s *Scene) Arguments(tool string) map[string]any {
	arguments := map[string]any{"pod": s.Pod.Name, "namespace": s.Pod.Namespace}
	if s.count > 0 && (tool == "netns_curl" || tool == "netns_dns_lookup") {
		arguments["count"] = s.count
	}
	switch tool {
	case "netns_curl":
		arguments["url"] = s.URL
	case "netns_dns_lookup":
		u, err := url.Parse(s.URL)
		s.Must(err)
		arguments["name"] = strings.Trim(u.Hostname(), "[]")
	}
	return arguments
}

// Must fails the test on an error.
func (s *Scene) Must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v", err)
	}
}
