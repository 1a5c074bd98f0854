package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestSettle(t *testing.T) {
	t.Parallel()
	denied := errors.New("denied")
	repeat := func(err error, n int) (errs []error) {
		for range n {
			errs = append(errs, err)
		}
		return errs
	}
	for _, test := range []struct {
		name    string
		answers []error // of one round each, then success
		rounds  int
		settled bool
		err     error
	}{
		{name: "at once", rounds: 1, settled: true},
		{name: "third time", answers: repeat(errInterrupted, 2), rounds: 3, settled: true},
		{name: "too long and what it leaves behind", answers: []error{errTruncated, unix.EBUSY}, rounds: 3, settled: true},
		{name: "never", answers: repeat(errInterrupted, maxDumps), rounds: maxDumps},
		{name: "always too long", answers: repeat(errTruncated, maxDumps), rounds: maxDumps, err: errTruncated},
		{name: "another error", answers: []error{denied}, rounds: 1, err: denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rounds := 0
			messages, settled, err := settle(context.Background(), func() ([][]byte, error) {
				rounds++
				if rounds <= len(test.answers) {
					return [][]byte{{1}}, test.answers[rounds-1]
				}
				return [][]byte{{1}}, nil
			})
			if rounds != test.rounds || settled != test.settled || !errors.Is(err, test.err) {
				t.Errorf("%d rounds, settled %v, error %v; want %d, %v, %v", rounds, settled, err, test.rounds, test.settled, test.err)
			}
			if err == nil && len(messages) != 1 {
				t.Errorf("%d messages", len(messages))
			}
		})
	}
	t.Run("canceled between rounds", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		_, _, err := settle(ctx, func() ([][]byte, error) {
			cancel()
			return nil, errInterrupted
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestLinksDeadline(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := Links(ctx, l.Node.Handle, LinkOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestLinksWhileTheyChange: interfaces that come and go make the kernel's list
// inconsistent; those that stay are always in ours, once.
func TestLinksWhileTheyChange(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ns := l.Pod(t, lab.PodSpec{Style: lab.Plain}).Netns
	const lasting = 60
	var commands string
	for i := range lasting {
		commands += fmt.Sprintf("link add keep%d type ifb\n", i)
	}
	batch(t, ns, commands)
	stop := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := ns.Output("ip", "link", "add", "come", "type", "ifb"); err != nil {
				t.Error(err)
			}
			if _, err := ns.Output("ip", "link", "del", "come"); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		list, err := Links(context.Background(), ns.Handle, LinkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !list.Settled {
			continue
		}
		seen := map[int]int{}
		for _, link := range list.Links {
			seen[link.Index]++
		}
		if len(seen) != len(list.Links) || len(seen) < lasting+1 || len(seen) > lasting+2 {
			t.Fatalf("%d interfaces under %d numbers", len(list.Links), len(seen))
		}
	}
	close(stop)
	churn.Wait()
}

// datagram puts messages of one type behind another, as the kernel does.
func datagram(kind, flags uint16, sequence uint32, payloads ...[]byte) []byte {
	var b []byte
	for _, p := range payloads {
		m := request{kind: kind, flags: flags, body: p}.message(sequence)
		for len(m)%unix.NLMSG_ALIGNTO != 0 {
			m = append(m, 0)
		}
		b = append(b, m...)
	}
	return b
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	const sequence, want = 7, unix.RTM_NEWLINK
	link := []byte{1, 2, 3, 4}
	for _, test := range []struct {
		name        string
		datagrams   [][]byte
		payloads    int
		complete    bool
		interrupted bool
		err         error
	}{
		{name: "one answer", datagrams: [][]byte{datagram(want, 0, sequence, link)}, payloads: 1, complete: true},
		{
			name:      "dump",
			datagrams: [][]byte{datagram(want, unix.NLM_F_MULTI, sequence, link, link), datagram(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, words(0))},
			payloads:  2, complete: true,
		},
		{
			name:      "dump of an old kernel",
			datagrams: [][]byte{datagram(want, unix.NLM_F_MULTI, sequence, link), datagram(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, nil)},
			payloads:  1, complete: true,
		},
		{name: "dump goes on", datagrams: [][]byte{datagram(want, unix.NLM_F_MULTI, sequence, link)}, payloads: 1},
		{
			name:      "dump interrupted",
			datagrams: [][]byte{datagram(want, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, sequence, link), datagram(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, words(0))},
			payloads:  1, complete: true, interrupted: true,
		},
		{name: "error", datagrams: [][]byte{datagram(unix.NLMSG_ERROR, 0, sequence, words(^uint32(unix.ENODEV)+1))}, complete: true, err: unix.ENODEV},
		{name: "error at the end of a dump", datagrams: [][]byte{datagram(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, words(^uint32(unix.EINVAL)+1))}, complete: true, err: unix.EINVAL},
		{name: "acknowledgement", datagrams: [][]byte{datagram(unix.NLMSG_ERROR, 0, sequence, words(0))}, complete: true},
		{name: "left from before", datagrams: [][]byte{datagram(want, 0, sequence-1, link)}},
		{name: "of another type", datagrams: [][]byte{datagram(unix.RTM_NEWADDR, 0, sequence, link)}, complete: true},
		{name: "length beyond the end", datagrams: [][]byte{datagram(want, 0, sequence, link)[:18]}, err: errShortMessage},
		{name: "length zero", datagrams: [][]byte{make([]byte, 32)}, err: errShortMessage},
		{name: "empty", datagrams: [][]byte{nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := answer{sequence: sequence, want: want, memory: new(routeMemory)}
			var err error
			for _, d := range test.datagrams {
				if err == nil {
					err = a.add(d)
				}
			}
			if !errors.Is(err, test.err) || len(a.payloads) != test.payloads || a.complete != test.complete || a.interrupted != test.interrupted {
				t.Errorf("error %v, %+v", err, a)
			}
		})
	}
}

// TestLongAnswer: the buffer grows when a link needs more.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	socket, err := openRoute(l.Node.Handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.close()
	socket.memory.datagram = make([]byte, 64)
	links, settled, err := socket.links(context.Background(), LinkOptions{})
	if err != nil || !settled || len(links) < 2 || len(socket.memory.datagram) <= 64 {
		t.Errorf("%d links, settled %v, error %v, buffer of %d", len(links), settled, err, len(socket.memory.datagram))
	}
}

// TestForeignMessages: another process may send to the socket, and only the
// kernel counts.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	socket, err := openRoute(l.Node.Handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.close()
	if err := unix.Bind(socket.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(socket.fd)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := openRoute(l.Node.Handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.close()
	fake := datagram(unix.RTM_NEWLINK, 0, 1, linkBytes(unix.ARPHRD_ETHER, 99, 0, attr(unix.IFLA_IFNAME, "fake")))
	if err := unix.Sendto(stranger.fd, fake, 0, name); err != nil {
		t.Fatal(err)
	}
	links, _, err := socket.links(context.Background(), LinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if link.Name == "fake" {
			t.Error("the message of another process was taken for the kernel's")
		}
	}
}

// TestSilentKernel: a wait ends with the caller's deadline.
func TestSilentKernel(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	socket, err := openRoute(l.Node.Handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := socket.receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
