package attempt

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestManyRoutes: what explains a failure costs no more memory the more routes a target
// has. It runs alone, as it measures what the whole process allocates.
func TestManyRoutes(t *testing.T) {
	s := newScene(t)
	s.route("203.0.113.0/24", unix.RTN_UNREACHABLE)
	const count = 20_000
	var commands bytes.Buffer
	for i := range count {
		fmt.Fprintf(&commands, "route add 11.0.%d.%d/32 dev eth0\n", i>>8, i&255)
	}
	batch := t.TempDir() + "/routes"
	s.must(os.WriteFile(batch, commands.Bytes(), 0o600))
	if out, err := s.pod.Output("ip", "-batch", batch); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, a, err := New().Connect(t.Context(), s.pod.Handle, Request{Address: netip.MustParseAddrPort("203.0.113.9:80")})
	if err != nil || a.Route == nil || a.Route.Dst != "203.0.113.0/24" {
		t.Errorf("%+v, %v: the route that refuses was not found", a, err)
	}
	gateways, err := Gateways(t.Context(), s.pod.Handle)
	if err != nil || !slices.ContainsFunc(gateways, netip.Addr.Is4) || !slices.ContainsFunc(gateways, netip.Addr.Is6) {
		t.Errorf("gateways %v, %v", gateways, err)
	}
	runtime.ReadMemStats(&after)
	const most = 100 // bytes a route; a message has 60
	if used := after.TotalAlloc - before.TotalAlloc; used > most*count {
		t.Errorf("%d bytes allocated", used)
	}
}
