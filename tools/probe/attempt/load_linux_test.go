package attempt

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

func TestCancelEndsAnAttemptAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	firewall(t, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	conn, a, err := New().Connect(ctx, s.pod.Handle, Request{Address: s.to})
	if err != nil || conn != nil || a.Outcome != fact.OutcomeAbandoned {
		t.Errorf("%v, %+v, %v", conn, a, err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestRefusedDestinationIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var asked []netip.AddrPort
	conn, a, err := New().Connect(t.Context(), s.pod.Handle, Request{Address: s.to, Allow: func(to netip.AddrPort) error {
		asked = append(asked, to)
		return os.ErrPermission
	}})
	if err != nil || conn != nil || a.Outcome != fact.OutcomeDenied || a.Why != os.ErrPermission.Error() {
		t.Errorf("%v, %+v, %v", conn, a, err)
	}
	if len(asked) != 1 || asked[0] != s.to {
		t.Errorf("asked about %v", asked)
	}
}

func TestConnectionBelongsToTheTarget(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	conn, _ := s.connect(s.to, time.Second)
	raw, err := conn.(*net.TCPConn).SyscallConn()
	s.must(err)
	var cookie uint64
	s.must(raw.Control(func(fd uintptr) {
		cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	}))
	s.must(err)
	if want := s.pod.Handle.Identity().Cookie; cookie != want {
		t.Errorf("the connection is in namespace %d, not %d", cookie, want)
	}
}

// threads counts the operating system threads of this process.
func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// The bound of threads is for a whole process.
func TestManyAttemptsThatHang(t *testing.T) {
	if !lab.Alone(t) {
		return
	}
	s := newScene(t)
	firewall(t, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
	var limit unix.Rlimit
	s.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	s.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))

	const attempts = 1000
	prober := New()
	const timeout = 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 10*timeout)
	defer cancel()
	before := threads(t)
	start := time.Now()
	var wg sync.WaitGroup
	for range attempts {
		wg.Go(func() {
			conn, a, err := prober.Connect(ctx, s.pod.Handle, Request{Address: s.to, Timeout: timeout})
			if err != nil || conn != nil || a.Outcome != fact.OutcomeTimeout {
				t.Errorf("%v, %+v, %v", conn, a, err)
			}
		})
	}
	most := 0
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(5 * time.Millisecond):
			most = max(most, threads(t))
		}
	}
	t.Logf("%d attempts in %s, threads %d before, %d at most", attempts, time.Since(start), before, most)
	if most >= lab.ManyThreads {
		t.Errorf("%d threads", most)
	}
	if took := time.Since(start); took > 15*timeout { // a machine that is busy with other tests, and the race detector
		t.Errorf("it took %s", took)
	}
}

func BenchmarkConnect(b *testing.B) {
	s := newScene(b)
	prober := New()
	for b.Loop() {
		conn, a, err := prober.Connect(b.Context(), s.pod.Handle, Request{Address: s.to, Timeout: time.Second})
		if err != nil || a.Outcome != fact.OutcomeOK {
			b.Fatal(a, err)
		}
		_ = conn.Close()
	}
}
