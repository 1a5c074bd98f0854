package fact

import (
	"cmp"
	"slices"
	"strconv"
)

// Journey is the trail of the packets of one flow through a node, as the kernel saw
// them: at each device of each namespace, through NAT, and where one was dropped.
type Journey struct {
	Status string `json:"status" enum:"recorded,unavailable"`
	// Why there is no trail.
	Why   string        `json:"why,omitempty"`
	Steps []JourneyStep `json:"steps,omitempty"`
	// Trail is the last packet's way, a step a line, instead of Steps in a short answer.
	Trail []string `json:"trail,omitempty" jsonschema:"the last SYN or question, its last steps: place, device, what, packet"`
	// NextHop is the node's neighbour entry on the way on from where the node dropped a
	// packet.
	NextHop *AttemptNeigh `json:"next_hop,omitempty" jsonschema:"the node's, on from where the node dropped"`
	// Missed counts records that were not kept: the trail has gaps.
	Missed int `json:"missed,omitempty"`
	// End is what the network in which the last packet ended says of that packet.
	End *JourneyEnd `json:"end,omitempty" jsonschema:"of the last packet, in the network where it ended"`
}

// JourneyEnd is where a network sends a packet, asked for the packet as it was there.
// Its mark and its user are not known. What could not be asked is absent.
type JourneyEnd struct {
	Route *AttemptRoute `json:"route,omitempty" jsonschema:"there, on"`
	Neigh *AttemptNeigh `json:"neigh,omitempty" jsonschema:"next hop on the link"`
	// Return is the way back to the source, where the packet had reached its destination.
	Return *AttemptRoute `json:"return,omitempty" jsonschema:"there, back to the source"`
	// Forwarding is net.ipv4.conf.DEV.forwarding of the device that received the packet,
	// or net.ipv6.conf.all.forwarding (ip-sysctl.rst).
	Forwarding *bool `json:"forwarding,omitempty"`
	// Listeners and Queue are of the network that the SYN had reached: as those of an
	// [Attempt], and the accept queue of the one that takes the connection.
	Listeners []string     `json:"listeners,omitzero" jsonschema:"address:port of what listens there, at most 20"`
	Queue     *AcceptQueue `json:"accept_queue,omitempty"`
}

// AcceptQueue is how many connections wait for an application to accept them.
type AcceptQueue struct {
	Waiting int `json:"waiting"`
	Most    int `json:"most" jsonschema:"one more is let in"`
}

// Full reports whether the kernel drops further SYNs (sk_acceptq_is_full in net/sock.h).
func (q *AcceptQueue) Full() bool { return q != nil && q.Waiting > q.Most }

// The statuses of a [Journey].
const (
	JourneyRecorded    = "recorded"
	JourneyUnavailable = "unavailable"
)

// What happened to a packet at a [JourneyStep].
const (
	StepQueued   = "queued"   // handed to a device for sending (net_dev_queue)
	StepReceived = "received" // a device received it (netif_receive_skb)
	StepDropped  = "dropped"  // thrown away (kfree_skb)
)

// Kinds of packets.
const (
	KindEchoRequest = "echo-request"
	KindEchoReply   = "echo-reply"
	KindFragment    = "fragment"
)

// The places of a [JourneyStep].
const (
	PlaceTarget = "target"
	PlaceNode   = "node"
	PlaceOther  = "other"
)

// JourneyStep is one packet at one place.
type JourneyStep struct {
	MS float64 `json:"ms" jsonschema:"after the trail's beginning"`
	// Place is whose network it was: target, node, other; empty where that is not known.
	Place string `json:"place,omitempty" enum:"target,node,other"`
	// Pod is "namespace/name" of the pod whose network it was; "" for the target, for the
	// node, and where that is not known.
	Pod string `json:"pod,omitempty" jsonschema:"namespace/name, of another pod's network"`
	// NetnsInode is 0 where the packet belonged to no device yet.
	NetnsInode uint64 `json:"netns_inode,omitempty"`
	Dev        string `json:"dev,omitempty"`
	Ifindex    int    `json:"ifindex,omitempty"`
	JourneyDevice
	What string `json:"what" enum:"queued,received,dropped"`
	// Reason is the kernel's own (enum skb_drop_reason), Function the one that dropped.
	Reason   string `json:"reason,omitempty" jsonschema:"the kernel's drop reason"`
	Function string `json:"function,omitempty" jsonschema:"the kernel's function that dropped"`
	// Back is true for what belongs to the way back: answers, and ICMP errors.
	Back  bool   `json:"back,omitempty" jsonschema:"on the way back"`
	Proto string `json:"proto"`
	Src   string `json:"src" jsonschema:"as it was there, with the port"`
	Dst   string `json:"dst"`
	// Kind is "SYN", "SYN-ACK", "echo-request", "port-unreachable"; empty for data.
	Kind string `json:"kind,omitempty"`
	// ID is an echo's identifier, as it was there.
	ID int `json:"id,omitempty" jsonschema:"an echo's identifier, as it was there"`
	// Bytes counts from the IP header on.
	Bytes int `json:"bytes"`
	// SegmentBytes is the payload of each of the packets that this one is to be split
	// into; 0 where it goes as it is (segmentation offload).
	SegmentBytes int `json:"segment_bytes,omitempty" jsonschema:"payload of each packet that this one is split into later"`
}

// JourneyDevice is what a device of the target or of the node is there for.
type JourneyDevice struct {
	// Role is "" for what has none of these, and where it is not known.
	Role string `json:"role,omitempty" enum:"veth,bridge,tunnel,uplink"`
	// LeadsTo is whose network the other end of a veth is in: "target", "node", or a pod
	// as in [JourneyStep.Pod]; "" where that is not known.
	LeadsTo string `json:"leads_to,omitempty" jsonschema:"of a veth: target, node or a pod"`
	Peer    string `json:"peer,omitempty" jsonschema:"its name there"`
	Bridge  string `json:"bridge,omitempty" jsonschema:"of which it is a port"`
}

// The roles of a [JourneyDevice].
const (
	RoleVeth   = "veth"
	RoleBridge = "bridge"
	RoleTunnel = "tunnel"
	RoleUplink = "uplink" // by which the node reaches others
)

// SetPlaces says whose network each step was in, by the inodes of the target's and the
// node's; 0 is not known.
func (j *Journey) SetPlaces(target, node uint64) {
	if j == nil {
		return
	}
	for i := range j.Steps {
		switch s := &j.Steps[i]; s.NetnsInode {
		case 0:
		case target:
			s.Place = PlaceTarget
		case node:
			s.Place = PlaceNode
		default:
			if s.Place = PlaceOther; node == 0 {
				s.Place = ""
			}
		}
	}
}

// Compact replaces the steps by the way of the last packet that began a connection. Of a
// long way, as over a bridge that floods, the end stays: it is what is judged.
func (j *Journey) Compact() {
	last := j.Last()
	left := maxTrail
	for i := range slices.Backward(last) {
		line := last[i].String()
		if left -= len(line) + 1; left < 0 {
			break
		}
		j.Trail = append(j.Trail, line)
	}
	slices.Reverse(j.Trail)
	j.Steps, j.End = nil, nil
}

// maxTrail bounds the lines of a short answer, in bytes.
const maxTrail = 1000

// Last are the steps of the last SYN that began in the target, with what followed. A SYN
// is repeated after a second at the earliest (RFC 6298, section 2.1).
func (j *Journey) Last() []JourneyStep {
	const apartMS = 500
	first := 0
	for i, s := range j.Steps {
		if s.Kind == "SYN" && !s.Back && s.Place == PlaceTarget && s.MS-j.Steps[first].MS > apartMS {
			first = i
		}
	}
	return j.Steps[first:]
}

// Way are the steps of [Journey.Last] that the packet and its answers made: without ICMP
// errors, what follows a handshake, and the copies of a flooded frame that others than its
// receiver got and dropped.
func (j *Journey) Way() []JourneyStep {
	if j == nil {
		return nil
	}
	last := j.Last()
	flooded := flooded(last)
	return slices.DeleteFunc(slices.Clone(last), func(s JourneyStep) bool {
		return s.Reason == dropOtherHost || flooded[s.NetnsInode] && !s.Back || s.Proto != "udp" && s.Kind != "SYN" && s.Kind != "SYN-ACK"
	})
}

// flooded are the networks that only got a frame for another.
func flooded(steps []JourneyStep) map[uint64]bool {
	others := map[uint64]bool{}
	for _, s := range steps {
		others[s.NetnsInode] = others[s.NetnsInode] || s.Reason == dropOtherHost && s.Place == PlaceOther
	}
	return others
}

// dropOtherHost is the reason of who got a frame for another link-layer address.
const dropOtherHost = "OTHERHOST"

// String writes a step in one line: "node cni0 (bridge) received SYN 10.0.0.1:1 > 10.0.0.2:80".
func (s *JourneyStep) String() string {
	return s.Where() + " " + s.happened() + " " + s.packet()
}

func (s *JourneyStep) happened() string {
	text := s.What
	if s.Reason != "" {
		text += " (" + s.Reason
		if s.Function != "" {
			text += " in " + s.Function
		}
		text += ")"
	}
	return text
}

func (s *JourneyStep) packet() string {
	text := s.Src + " > " + s.Dst
	if s.ID != 0 {
		text = strconv.Itoa(s.ID) + " " + text
	}
	if s.Kind != "" {
		text = s.Kind + " " + text
	}
	return text
}

// Where names the network and the device: "node veth1 (to shop/web)".
func (s *JourneyStep) Where() string {
	text := cmp.Or(s.Place, "unknown")
	if s.Pod != "" {
		text = "pod " + s.Pod
	}
	if s.Dev != "" {
		text += " " + s.Dev
	}
	switch {
	case s.Role == RoleVeth && s.LeadsTo != "" && s.Place == PlaceNode:
		text += " (to " + s.LeadsTo + ")"
	case s.Role != "" && s.Role != RoleVeth:
		text += " (" + s.Role + ")"
	}
	return text
}
