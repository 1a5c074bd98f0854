package lab_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"nsenter-mcp/internal/lab"
)

// A user without any privilege can have a lab with everything in it.
func TestRootless(t *testing.T) {
	cmd := helper(t, "tour")
	if rootOfTheMachine(t) {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// rootOfTheMachine reports whether the process could become somebody else.
func rootOfTheMachine(t *testing.T) bool {
	t.Helper()
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	return os.Getuid() == 0 && len(strings.Fields(string(m))) == 3 && strings.Fields(string(m))[2] != "1"
}

// helperTour uses each part of a lab once.
func helperTour() int {
	if err := tour(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func tour() error {
	l, err := lab.New()
	if err != nil {
		return err
	}
	defer l.Close()
	far, err := l.AddNode()
	if err != nil {
		return err
	}
	pods, err := l.AddPods(
		lab.PodSpec{IPv6: true, Containers: []lab.ContainerSpec{{}, {Name: "crash", State: lab.Exited, ExitCode: 3}}},
		lab.PodSpec{IPv6: true, Style: lab.Calico},
		lab.PodSpec{Style: lab.Plain},
		lab.PodSpec{Style: lab.HostNetwork},
		lab.PodSpec{IPv6: true, Node: far},
	)
	if err != nil {
		return err
	}
	_, err = pods[0].Serve(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "tour") }))
	if err != nil {
		return err
	}
	service, err := l.AddService(lab.ServiceSpec{Port: 8080, TargetPort: 80, Backends: []netip.Addr{pods[0].IP}})
	if err != nil {
		return err
	}
	for _, from := range []*lab.Netns{pods[1].Netns, pods[3].Netns, pods[4].Netns} {
		for _, to := range []netip.AddrPort{
			netip.AddrPortFrom(pods[0].IP, 80), netip.AddrPortFrom(pods[0].IP6, 80), netip.AddrPortFrom(service.IP, 8080),
		} {
			got, err := get(from, to.Addr(), to.Port())
			if err != nil {
				return fmt.Errorf("from %s to %s: %w", from.IP, to, err)
			}
			if got != "tour" {
				return fmt.Errorf("from %s to %s: got %q", from.IP, to, got)
			}
		}
	}
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/resolv.conf", pods[0].PID)); err != nil {
		return err
	}
	fmt.Printf("uid %d, tunl0 is of kind %s\n", os.Getuid(), pods[1].Tunnel)
	return l.Close()
}
