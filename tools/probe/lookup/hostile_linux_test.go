package lookup

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
)

// packetServer answers each datagram with the packets that say returns.
func packetServer(t testing.TB, pod *lab.Pod, say func(query []byte) [][]byte) {
	t.Helper()
	packetServerAt(t, pod, server1, say)
}

func packetServerAt(t testing.TB, pod *lab.Pod, ip string, say func(query []byte) [][]byte) {
	t.Helper()
	conn, err := pod.ListenPacket("udp", net.JoinHostPort(ip, "53"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, dns.MaxMsgSize)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return // closed with the pod
			}
			for _, packet := range say(append([]byte(nil), buffer[:n]...)) {
				_, _ = conn.WriteTo(packet, from)
			}
		}
	}()
}

// streamServer hands each connection to talk and closes it afterwards.
func streamServer(t testing.TB, pod *lab.Pod, talk func(net.Conn)) {
	t.Helper()
	listener, err := pod.Listen("tcp", server1+":53")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed with the pod
			}
			go func() {
				defer func() { _ = conn.Close() }()
				talk(conn)
			}()
		}
	}()
}

// answerTo packs a good answer to a packed query.
func answerTo(t testing.TB, query []byte, change func(*dns.Msg)) []byte {
	t.Helper()
	var q dns.Msg
	if err := q.Unpack(query); err != nil {
		t.Error(err)
		return nil
	}
	f := zone(cluster())
	r := f.answer(&q)
	if change != nil {
		change(r)
	}
	packet, err := r.Pack()
	if err != nil {
		t.Error(err)
	}
	return packet
}

// TestSpoofedPackets: whatever does not belong to a question is dropped, counted
// and changes nothing.
func TestSpoofedPackets(t *testing.T) {
	t.Parallel()
	for title, spoof := range map[string]func(t testing.TB, query []byte) []byte{
		"wrong ID": func(t testing.TB, q []byte) []byte { return answerTo(t, q, func(m *dns.Msg) { m.Id++; poison(m) }) },
		"wrong name": func(t testing.TB, q []byte) []byte {
			return answerTo(t, q, func(m *dns.Msg) { m.Question[0].Name = "evil.example."; poison(m) })
		},
		"wrong type": func(t testing.TB, q []byte) []byte {
			return answerTo(t, q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX; poison(m) })
		},
		"no question": func(t testing.TB, q []byte) []byte {
			return answerTo(t, q, func(m *dns.Msg) { m.Question = nil; poison(m) })
		},
		"a query":      func(_ testing.TB, q []byte) []byte { return q },
		"garbage":      func(testing.TB, []byte) []byte { return []byte(strings.Repeat("\xc0\x0c", 300)) },
		"bare success": func(_ testing.TB, q []byte) []byte { return append(q[:2:2], 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0) },
		"question loop": func(_ testing.TB, q []byte) []byte {
			return append(q[:2:2], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1)
		},
		"question too far": func(_ testing.TB, q []byte) []byte {
			return append(q[:2:2], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 63, 'a')
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			pod := newPod(t)
			packetServer(t, pod, func(q []byte) [][]byte {
				bad := spoof(t, append([]byte(nil), q...))
				return [][]byte{bad, bad, answerTo(t, q, nil)}
			})
			out := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com"})
			if out.Outcome != "answered" || len(out.Addresses) != 2 || strings.Contains(show(t, out), "203.0.113") {
				t.Errorf("%s", show(t, out))
			}
			if !hasNote(out, "packets_ignored") {
				t.Errorf("%d packets ignored, notes %v", out.Tried[0].Ignored, out.Notes)
			}
		})
	}
}

// poison adds an address that must never be believed.
func poison(m *dns.Msg) {
	name := "www.example.com."
	if len(m.Question) > 0 {
		name = m.Question[0].Name
	}
	rr, _ := dns.NewRR(name + " 30 IN A 203.0.113.66")
	m.Answer = append([]dns.RR{rr}, m.Answer...)
}

// TestSpoofsAlone: without the true answer it is silence, up to the deadline.
func TestSpoofsAlone(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	packetServer(t, pod, func(q []byte) [][]byte { return [][]byte{answerTo(t, q, func(m *dns.Msg) { m.Id++ })} })
	start := time.Now()
	out := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com", Window: time.Second})
	if d := time.Since(start); out.Outcome != "timeout" || d < time.Second || d > soon {
		t.Errorf("%s after %v", out.Outcome, d)
	}
}

// TestAnswersOfAllSizes: whole datagrams, and whole messages over TCP, up to what
// the formats can hold.
func TestAnswersOfAllSizes(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 30, 1500, 4000} { // of 16 bytes each
		pod := newPod(t)
		fill := func(m *dns.Msg) {
			m.Compress, m.Rcode = true, dns.RcodeSuccess
			for i := range count {
				rr := &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: typeA, Class: dns.ClassINET, Ttl: 30}, A: net.IPv4(10, 0, byte(i>>8), byte(i))}
				m.Answer = append(m.Answer, rr)
			}
		}
		packetServer(t, pod, func(q []byte) [][]byte { return [][]byte{answerTo(t, q, fill)} })
		out := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "nosuch.example", Types: []uint16{typeA}})
		want := min(count, maxAnswers, maxShownAddresses)
		if len(out.Addresses) != want || out.Tried[0].Answers[0].Bytes < 16*count {
			t.Errorf("%d records: %s, %d addresses, %d bytes", count, out.Outcome, len(out.Addresses), out.Tried[0].Answers[0].Bytes)
		}
	}
}

func TestHugeText(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	long := &dns.TXT{Hdr: dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 30}}
	for range 250 {
		long.Txt = append(long.Txt, strings.Repeat("\x1b[2J\u202e\xff", 25))
	}
	with(func(w dns.ResponseWriter, q *dns.Msg) bool {
		if truncated(w, q) {
			return true
		}
		r := new(dns.Msg).SetReply(q)
		r.Answer = []dns.RR{long}
		_ = w.WriteMsg(r)
		return true
	}, nil).serve(t, pod, server1)
	out := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com", Types: []uint16{dns.TypeTXT}})
	if out.Outcome != "answered" || len(out.Records) != 1 {
		t.Fatalf("%s", show(t, out))
	}
	if text := out.Records[0].Untrusted.Data; len(text) > maxData+8 || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
		t.Errorf("%d bytes: %.100q", len(text), text)
	}
}

// readQuery reads one query over TCP.
func readQuery(conn net.Conn) []byte {
	packet, err := (&dns.Conn{Conn: conn}).ReadMsgHeader(nil)
	if err != nil {
		return nil
	}
	return packet
}

func prefixed(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

// TestHostileStreams: every way in which a server can waste time over TCP ends
// with the window, and memory stays small.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		talk    func(t testing.TB, conn net.Conn)
		outcome string
		tcp     string
	}{
		"drip": {func(t testing.TB, conn net.Conn) {
			packet := prefixed(answerTo(t, readQuery(conn), nil))
			for _, b := range packet {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}, "timeout", "silent"},
		"silence":            {func(_ testing.TB, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, "timeout", "silent"},
		"announces and ends": {func(_ testing.TB, conn net.Conn) { _, _ = conn.Write([]byte{0xff, 0xff, 1, 2, 3}) }, "reset", "closed"},
		"empty messages":     {func(_ testing.TB, conn net.Conn) { _, _ = conn.Write(make([]byte, 1<<16)) }, "timeout", "silent"},
		"endless wrong IDs": {func(t testing.TB, conn net.Conn) {
			bad := prefixed(answerTo(t, readQuery(conn), func(m *dns.Msg) { m.Id++ }))
			for {
				if _, err := conn.Write(bad); err != nil {
					return
				}
			}
		}, "timeout", "silent"},
		"reset": {func(_ testing.TB, conn net.Conn) {
			readQuery(conn)
			_ = conn.(*net.TCPConn).SetLinger(0)
		}, "reset", "closed"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			pod := newPod(t)
			streamServer(t, pod, func(conn net.Conn) { c.talk(t, conn) })
			start := time.Now()
			out := lookUp(t, targetIn(pod, conf("nameserver "+server1, "options use-vc")), Request{Name: "www.example.com", Window: 2 * time.Second})
			if d := time.Since(start); d > soon {
				t.Errorf("it took %v", d)
			}
			if out.Outcome != c.outcome || out.Tried[0].TCP != c.tcp {
				t.Errorf("%s %s, want %s %s: %s", out.Outcome, out.Tried[0].TCP, c.outcome, c.tcp, show(t, out))
			}
		})
	}
}

// TestCancelInTheMiddleOfAMessage: a drip-fed answer does not hold a canceled
// call.
func TestCancelInTheMiddleOfAMessage(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	streamServer(t, pod, func(conn net.Conn) {
		_, _ = conn.Write([]byte{0x10})
		cancel()
		_, _ = io.Copy(io.Discard, conn)
	})
	start := time.Now()
	if _, err := Run(ctx, targetIn(pod, conf("nameserver "+server1, "options use-vc")), Request{Name: "www.example.com"}); err == nil || time.Since(start) > soon {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// TestFlood: a server that never stops sending does not keep a lookup beyond its
// window.
func TestFlood(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	packetServer(t, pod, func(q []byte) [][]byte {
		bad := answerTo(t, q, func(m *dns.Msg) { m.Id++ })
		flood := make([][]byte, 20_000)
		for i := range flood {
			flood[i] = bad
		}
		return flood
	})
	start := time.Now()
	out := lookUp(t, targetIn(pod, conf("nameserver "+server1)), Request{Name: "www.example.com", Window: 500 * time.Millisecond})
	if d := time.Since(start); out.Outcome != "timeout" || d > soon {
		t.Errorf("%s after %v", out.Outcome, d)
	}
}

// TestPanicIsAnError: a fault in parsing ends one lookup, not the program.
func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	a := &asker{dial: func(context.Context, string, netip.AddrPort) (net.Conn, error) { panic("boom") }}
	jobs := []job{{key: key{name: "x.", server: netip.MustParseAddrPort("127.0.0.1:53")}, types: []uint16{typeA}}}
	_, err := collect(t.Context(), a, jobs, time.Second, 0, func(table) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("%v", err)
	}
}
