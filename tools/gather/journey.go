package gather

import (
	"context"
	"slices"
	"strconv"
	"time"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
)

// Bounds of what is asked about a trail.
const (
	maxPods    = 4
	placesTime = time.Second
)

// describeAttempts says of attempts that [attempt.AskNode] has asked the node about what
// [describeJourneys] says.
func describeAttempts(ctx context.Context, node Node, target *resolve.Target, attempts []fact.Attempt) {
	var journeys []*fact.Journey
	for i := range attempts {
		journeys = append(journeys, attempts[i].Journey)
	}
	describeJourneys(ctx, node, target, journeys)
}

// describeLookup does it for the trails of a lookup.
func describeLookup(ctx context.Context, node Node, target *resolve.Target, found *fact.DNSLookup) {
	var journeys []*fact.Journey
	for i := range found.Tried {
		attempt.AskJourney(ctx, node.Host, target.Net, found.Tried[i].Journey)
		journeys = append(journeys, found.Tried[i].Journey)
	}
	describeJourneys(ctx, node, target, journeys)
}

// describeJourneys says which pod's network each step was in that is another's, and what the
// devices of the target and of the node are, and what the network where each ended says.
// What cannot be found out, or not in time, stays unknown.
func describeJourneys(ctx context.Context, node Node, target *resolve.Target, journeys []*fact.Journey) {
	journeys = slices.DeleteFunc(journeys, func(j *fact.Journey) bool { return j == nil || len(j.Steps) == 0 })
	if len(journeys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, placesTime)
	defer cancel()
	networks := []attempt.Network{{Handle: target.Net, Name: fact.PlaceTarget, Read: true}}
	if node.Host != nil {
		networks[0].Node = node.Host.Identity().Same(target.Net.Identity())
		if !networks[0].Node {
			networks = append(networks, attempt.Network{Handle: node.Host, Name: fact.PlaceNode, Node: true, Read: true})
		}
	}
	elsewhere := []*nsexec.Handle{node.Host} // the target's own way is measured with the attempt
	for _, inode := range others(journeys) {
		there, pod := podIn(ctx, node.Resolver, inode)
		if there == nil {
			continue
		}
		defer func() { _ = there.Close() }() // was only looked at
		elsewhere = append(elsewhere, there.Net)
		if pod == nil {
			continue
		}
		defer func() { _ = pod.Close() }() // likewise
		name := pod.Workload.Namespace + "/" + pod.Workload.Pod
		networks = append(networks, attempt.Network{Handle: pod.Net, Name: name})
		for _, j := range journeys {
			for i := range j.Steps {
				if j.Steps[i].NetnsInode == inode {
					j.Steps[i].Pod = name
				}
			}
		}
	}
	attempt.DescribeDevices(ctx, networks, journeys)
	for _, j := range journeys {
		askEnd(ctx, elsewhere, j)
	}
}

// askEnd asks the network in which a journey ended what becomes of the last packet there.
func askEnd(ctx context.Context, networks []*nsexec.Handle, j *fact.Journey) {
	way := j.Way()
	for _, h := range networks {
		if len(way) > 0 && h != nil && h.Identity().Inode == way[len(way)-1].NetnsInode {
			attempt.AskEnd(ctx, h, j)
			return
		}
	}
}

// others are the networks where packets were that are neither the target's nor the
// node's, the last ones first. A frame that is flooded comes to many who only drop it.
func others(journeys []*fact.Journey) (inodes []uint64) {
	for _, j := range journeys {
		for i := range slices.Backward(j.Steps) {
			s := &j.Steps[i]
			if s.Place == fact.PlaceOther && s.Reason != "OTHERHOST" && !slices.Contains(inodes, s.NetnsInode) && len(inodes) < maxPods {
				inodes = append(inodes, s.NetnsInode)
			}
		}
	}
	return inodes
}

// podIn opens the network that has that inode, nil where it is not found, and the pod
// whose own it is, nil where it is none that is known. A process that is there may be of a
// pod with another network.
func podIn(ctx context.Context, resolver *resolve.Resolver, inode uint64) (there, pod *resolve.Target) {
	if resolver == nil {
		return nil, nil
	}
	there, err := resolver.Resolve(ctx, resolve.Query{Netns: strconv.FormatUint(inode, 10)})
	if err != nil {
		return nil, nil
	}
	w := there.Workload
	if w.Pod == "" || w.Namespace == "" {
		return there, nil
	}
	pod, err = resolver.Resolve(ctx, resolve.Query{Pod: w.Pod, Namespace: w.Namespace})
	if err != nil {
		return there, nil
	}
	if pod.HostNetwork || pod.Net.Identity().Inode != inode || pod.Workload.Pod != w.Pod || pod.Workload.Namespace != w.Namespace {
		_ = pod.Close() // likewise
		return there, nil
	}
	return there, pod
}
