package fact

import (
	"fmt"
	"strings"
)

// hop is a step of the way there, or of the way back, of one packet.
type hop struct {
	*JourneyStep
	before *JourneyStep // of this packet, nil for none
	nat    string       // how the addresses differ from those there, "" for not at all
}

// hops are the steps of the last packet that began in the target, and of its answer. What
// follows a handshake says nothing more of the way.
func (j *Journey) hops() []hop {
	var hops []hop
	type packet struct {
		back        bool
		kind, proto string
	}
	before := map[packet]*JourneyStep{}
	last := j.Last()
	flooded := flooded(last)
	for i := range last {
		s := &last[i]
		if s.used() || flooded[s.NetnsInode] && !s.Back || s.Proto == "tcp" && s.Kind != "SYN" && s.Kind != "SYN-ACK" && s.Kind != "RST" {
			continue
		}
		at := packet{s.Back, s.Kind, s.Proto}
		h := hop{JourneyStep: s, before: before[at]}
		if h.before != nil {
			for _, c := range [][2]string{{h.before.Src, s.Src}, {h.before.Dst, s.Dst}} {
				if c[0] != c[1] {
					h.nat += ", NAT " + c[0] + " -> " + c[1]
				}
			}
		}
		before[at] = s
		hops = append(hops, h)
	}
	return hops
}

// used reports whether a record of a drop is none of a loss: a socket of this program's
// own had its copy, an echo reply went to a raw socket alone (ping_rcv of the kernel's
// net/ipv4/ping.c), or a frame that a bridge floods was not for here.
func (s *JourneyStep) used() bool {
	return s.Reason == dropOtherHost || s.Reason == "SOCKET_FILTER" || s.Reason == "CONSUMED" || s.Function == "ping_rcv"
}

// maxHops is the most lines of a picture.
const maxHops = 24

// Picture shows the way, a hop a line: the arrow points there or back, or ends in
// an x where the packet was dropped.
func (j *Journey) Picture() []string {
	lines := []string{}
	for _, h := range j.hops() {
		arrow := map[bool]string{false: "->", true: "<-"}[h.Back]
		if h.What == StepDropped {
			arrow = map[bool]string{false: "-x", true: "x-"}[h.Back]
		}
		line := fmt.Sprintf("%s %.2f ms %s %s%s", arrow, h.MS, h.Where(), h.happened(), h.nat)
		if h.before == nil {
			line += " " + h.packet()
		}
		lines = append(lines, line)
	}
	if over := len(lines) - maxHops; over > 0 {
		const kept = maxHops / 2
		lines = append(append(lines[:kept:kept], fmt.Sprintf("... %d more", over)), lines[len(lines)-kept:]...)
	}
	return lines
}

// Farthest is the last step of the way there that this node's kernel saw, in words; "" for none.
func (j *Journey) Farthest() string {
	if h := j.farthest(); h != nil {
		return h.String()
	}
	return ""
}

// Reached is the address to which the packet was on its way at that step, after NAT; ""
// for none.
func (j *Journey) Reached() string {
	if h := j.farthest(); h != nil {
		return h.Dst
	}
	return ""
}

func (j *Journey) farthest() *JourneyStep {
	var last *JourneyStep
	for _, h := range j.hops() {
		if !h.Back {
			last = h.JourneyStep
		}
	}
	return last
}

// Mermaid is the picture as a sequence diagram (mermaid.js.org), line by line.
func (j *Journey) Mermaid() []string {
	hops := j.hops()
	if len(hops) == 0 {
		return nil
	}
	lines := []string{"sequenceDiagram"}
	ids := map[string]string{}
	for _, h := range hops {
		if where := h.Where(); ids[where] == "" {
			ids[where] = fmt.Sprintf("p%d", len(ids))
			lines = append(lines, "participant "+ids[where]+" as "+mermaidText(where))
		}
	}
	from := ids[hops[0].Where()]
	for _, h := range hops {
		if h.before != nil {
			from = ids[h.before.Where()]
		}
		arrow, label := "->>", fmt.Sprintf("%.2f ms %s%s", h.MS, h.happened(), h.nat)
		if h.Back {
			arrow = "-->>"
		}
		if h.What == StepDropped {
			arrow = strings.TrimSuffix(arrow, ">>") + "x"
		}
		if h.before == nil {
			label += " " + h.packet()
		}
		to := ids[h.Where()]
		lines = append(lines, from+arrow+to+": "+mermaidText(label))
		from = to
	}
	return lines
}

// mermaidText writes what has a meaning in diagrams as entities, as their syntax wants.
func mermaidText(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" ._-", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
