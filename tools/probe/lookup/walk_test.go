package lookup

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The replies that tables are made of; each comes after a millisecond.

func reply(state State) Reply { return Reply{State: state, After: time.Millisecond} }

func silence() Reply { return Reply{State: Silent, After: DefaultWindow} }

func told(rcode int) Reply {
	r := reply(Answered)
	r.Message = &Message{Rcode: rcode, RA: true, TTL: -1}
	return r
}

func has(addresses ...string) Reply {
	r := told(rcodeSuccess)
	for _, a := range addresses {
		r.Addresses = append(r.Addresses, netip.MustParseAddr(a))
	}
	r.Loose, r.Matching, r.Answers = r.Addresses, len(r.Addresses), len(r.Addresses)
	return r
}

func cutShort() Reply {
	r := told(rcodeSuccess)
	r.TC = true
	return r
}

func after(r Reply, d time.Duration) Reply {
	r.After = d
	return r
}

// measured is a table written as "name server": replies for A and AAAA.
type measured map[string][2]Reply

// walkOver plays a library over a table; streams are by server.
func walkOver(t *testing.T, flavour Flavour, conf Conf, name string, m measured, streams map[string]*Stream) Verdict {
	t.Helper()
	lib := libraries(flavour)[0]
	exchanges := make(map[string]*Exchange)
	return lib.walk(&course{
		question: question{types: []uint16{typeA, typeAAAA}, addresses: true},
		conf:     &conf, plan: lib.plan(&conf, name, true),
		seen: func(name string, server netip.AddrPort) *Exchange {
			key := name + " " + server.Addr().String()
			replies, ok := m[key]
			if !ok {
				replies, ok = m["* "+server.Addr().String()]
			}
			if !ok {
				return nil
			}
			if exchanges[key] == nil {
				exchanges[key] = &Exchange{
					Name: name, Server: server, Types: []uint16{typeA, typeAAAA}, Datagrams: replies[:], Stream: streams[server.Addr().String()],
				}
			}
			return exchanges[key]
		},
	})
}

func twoServers(options ...func(*Conf)) Conf {
	c := Conf{Servers: servers("10.0.0.1", "10.0.0.2"), Ndots: 1, Timeout: defaultTimeout, Attempts: defaultAttempts, Flags: map[string]bool{}}
	for _, o := range options {
		o(&c)
	}
	return c
}

// summary is a verdict in one line.
func summary(v Verdict) string {
	text := fmt.Sprintf("%s %s %v", v.Outcome, strings.TrimSuffix(v.Name, "."), v.Wait.Round(time.Second))
	if v.Error != "" {
		text += " " + v.Error
	}
	if v.Forever {
		text = fmt.Sprintf("%s %s for ever", v.Outcome, strings.TrimSuffix(v.Name, "."))
	}
	if v.Pending {
		text = "pending"
	}
	return text
}

// TestWaits: what cannot be held against the real libraries, as it takes
// minutes or never ends, or is a matter of chance.
func TestWaits(t *testing.T) {
	t.Parallel()
	good := [2]Reply{has("192.0.2.1"), told(rcodeSuccess)}
	dead := [2]Reply{silence(), silence()}
	cut := [2]Reply{cutShort(), cutShort()}
	late := [2]Reply{after(has("192.0.2.1"), time.Second), after(told(rcodeSuccess), time.Second)}
	for _, c := range []struct {
		title              string
		conf               Conf
		seen               measured
		streams            map[string]*Stream
		glibc, musl, golan string
	}{
		{title: "all silent, defaults", conf: twoServers(), seen: measured{"* 10.0.0.1": dead, "* 10.0.0.2": dead},
			glibc: "timeout www.example 20s EAI_AGAIN", musl: "timeout www.example 5s EAI_AGAIN", golan: "timeout www.example 20s i/o timeout"},
		{title: "first silent, defaults", conf: twoServers(), seen: measured{"* 10.0.0.1": dead, "* 10.0.0.2": good},
			glibc: "answered www.example 5s", musl: "answered www.example 0s", golan: "answered www.example 5s"},
		{title: "AAAA never answered, defaults", conf: twoServers(), seen: measured{"* 10.0.0.1": {has("192.0.2.1"), silence()}, "* 10.0.0.2": {has("192.0.2.1"), silence()}},
			glibc: "answered www.example 15s", musl: "timeout www.example 5s EAI_AGAIN", golan: "answered www.example 20s"},
		{title: "TCP drops", conf: twoServers(), seen: measured{"* 10.0.0.1": cut, "* 10.0.0.2": cut},
			streams: map[string]*Stream{"10.0.0.1": {Connect: Silent, ConnectTime: DefaultWindow}, "10.0.0.2": {Connect: Answered, Replies: good[:]}},
			glibc:   "answered www.example 2m7s", musl: "timeout www.example 5s EAI_AGAIN", golan: "answered www.example 5s"},
		{title: "TCP accepts and says nothing", conf: twoServers(), seen: measured{"* 10.0.0.1": cut, "* 10.0.0.2": late},
			streams: map[string]*Stream{"10.0.0.1": {Connect: Answered, Replies: dead[:]}},
			glibc:   "timeout www.example for ever", musl: "timeout www.example 5s EAI_AGAIN", golan: "answered www.example 6s"},
		{title: "IPv6 answer alone is late", conf: twoServers(), seen: measured{"* 10.0.0.1": {has("192.0.2.1"), after(has("2001:db8::1"), 3*time.Second)}, "* 10.0.0.2": late},
			glibc: "answered www.example 3s", musl: "answered www.example 1s", golan: "answered www.example 3s"},
		{title: "not measured yet", conf: twoServers(), seen: measured{"* 10.0.0.2": good}, glibc: "pending", musl: "pending", golan: "pending"},
		{title: "second not measured and not needed", conf: twoServers(), seen: measured{"* 10.0.0.1": good}, glibc: "answered www.example 0s", musl: "pending", golan: "answered www.example 0s"},
		{title: "unreachable after a while", conf: twoServers(), seen: measured{"* 10.0.0.1": {after(reply(Unreachable), 3*time.Second), after(reply(Unreachable), 3*time.Second)}, "* 10.0.0.2": good},
			glibc: "answered www.example 3s", musl: "answered www.example 0s", golan: "answered www.example 5s"},
		{title: "attempts 5", conf: twoServers(func(c *Conf) { c.Attempts = 5 }), seen: measured{"* 10.0.0.1": dead, "* 10.0.0.2": dead},
			glibc: "timeout www.example 50s EAI_AGAIN", musl: "timeout www.example 5s EAI_AGAIN", golan: "timeout www.example 50s i/o timeout"},
		{title: "three servers share the doubled time", conf: twoServers(func(c *Conf) { c.Servers = servers("10.0.0.1", "10.0.0.2", "10.0.0.3") }),
			seen:  measured{"* 10.0.0.1": dead, "* 10.0.0.2": dead, "* 10.0.0.3": dead}, // 5 + 10/3 + 20/3 seconds, rounded down, twice
			glibc: "timeout www.example 28s EAI_AGAIN", musl: "timeout www.example 5s EAI_AGAIN", golan: "timeout www.example 30s i/o timeout"},
	} {
		for flavour, want := range map[Flavour]string{Glibc: c.glibc, Musl: c.musl, Go: c.golan} {
			t.Run(c.title+" "+string(flavour), func(t *testing.T) {
				t.Parallel()
				if got := summary(walkOver(t, flavour, c.conf, "www.example", c.seen, c.streams)); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	conf := twoServers(func(c *Conf) { c.Flags[rotate] = true })
	seen := measured{"* 10.0.0.1": {silence(), silence()}, "* 10.0.0.2": {has("192.0.2.1"), told(rcodeSuccess)}}
	for offset, want := range []string{"answered www.example 5s", "answered www.example 0s"} {
		lib := libraries(Glibc)[0]
		v := lib.walk(&course{
			question: question{types: []uint16{typeA, typeAAAA}, addresses: true}, conf: &conf, plan: lib.plan(&conf, "www.example", true), offset: offset,
			seen: func(name string, server netip.AddrPort) *Exchange {
				replies := seen["* "+server.Addr().String()]
				return &Exchange{Name: name, Server: server, Types: []uint16{typeA, typeAAAA}, Datagrams: replies[:]}
			},
		})
		if got := summary(v); got != want {
			t.Errorf("offset %d: %s, want %s", offset, got, want)
		}
	}
}
