package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestRepeat(t *testing.T) {
	t.Parallel()
	denied := errors.New("denied")
	for _, test := range []struct {
		name    string
		answers []error // of one round each, then success
		rounds  int
		err     error
	}{
		{name: "at once", rounds: 1},
		{name: "third time", answers: slices.Repeat([]error{netlink.ErrDumpInterrupted}, 2), rounds: 3},
		{name: "never", answers: slices.Repeat([]error{netlink.ErrDumpInterrupted}, maxDumps), rounds: maxDumps, err: netlink.ErrDumpInterrupted},
		{name: "another error", answers: []error{denied}, rounds: 1, err: denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rounds := 0
			err := repeat(t.Context(), func() error {
				rounds++
				if rounds <= len(test.answers) {
					return test.answers[rounds-1]
				}
				return nil
			})
			if rounds != test.rounds || !errors.Is(err, test.err) {
				t.Errorf("%d rounds, error %v; want %d, %v", rounds, err, test.rounds, test.err)
			}
		})
	}
	t.Run("canceled between rounds", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		err := repeat(ctx, func() error {
			cancel()
			return netlink.ErrDumpInterrupted
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
		if !list.Complete {
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

// TestForeignMessages: another process may send to the socket, and only the kernel
// counts.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	socket, err := openRoute(l.Node.Handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.close)
	name, err := unix.Getsockname(socket.fd)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := l.Node.Handle.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Close(stranger); err != nil {
			t.Error(err)
		}
	})
	fake := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
	fake.Seq = 1
	fake.AddRawData(linkBytes(unix.ARPHRD_ETHER, 99, 0, attr(unix.IFLA_IFNAME, "fake")))
	if err := unix.Sendto(stranger, fake.Serialize(), 0, name); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("another process could send to the socket: %v", err)
	}
	messages, _, err := socket.dump(t.Context(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if bytes.Contains(m, []byte("fake")) {
			t.Error("the message of another process was taken for the kernel's")
		}
	}
}

// TestBoundedDump: what is too long is cut, and said to be.
func TestBoundedDump(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	socket, err := openRoute(l.Node.Handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.close)
	all, complete, err := socket.dump(t.Context(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err != nil || !complete || len(all) < 2 {
		t.Fatalf("%d links, complete %v, error %v", len(all), complete, err)
	}
	for _, limit := range []dumpLimit{{1, maxDumpBytes}, {maxDumpMessages, len(all[0])}} {
		socket.limit = limit
		cut, complete, err := socket.dump(t.Context(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
		if err != nil || complete || len(cut) != 1 {
			t.Errorf("%+v: %d links, complete %v, error %v", limit, len(cut), complete, err)
		}
	}
	// The rest of the long answer does not disturb the next one.
	socket.limit = dumpLimit{maxDumpMessages, maxDumpBytes}
	if again, complete, err := socket.dump(t.Context(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC)); err != nil || !complete || len(again) != len(all) {
		t.Errorf("%d links, complete %v, error %v", len(again), complete, err)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	const sequence, want = 7, unix.RTM_NEWLINK
	message := func(kind, flags uint16, number uint32, payload []byte) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind, Flags: flags, Seq: number}, Data: payload}
	}
	link := []byte{1, 2, 3, 4}
	part := message(want, unix.NLM_F_MULTI, sequence, link)
	for _, test := range []struct {
		name     string
		messages []syscall.NetlinkMessage
		want     answer // without the payloads, of which there are so many
		payloads int
		err      error
	}{
		{name: "one answer", messages: []syscall.NetlinkMessage{message(want, 0, sequence, link)}, payloads: 1, want: answer{complete: true}},
		{name: "dump", messages: []syscall.NetlinkMessage{part, part, message(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, words32(0))}, payloads: 2, want: answer{complete: true}},
		{name: "dump of an old kernel", messages: []syscall.NetlinkMessage{part, message(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, nil)}, payloads: 1, want: answer{complete: true}},
		{name: "dump goes on", messages: []syscall.NetlinkMessage{part}, payloads: 1},
		{name: "dump interrupted", messages: []syscall.NetlinkMessage{message(want, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, sequence, link)}, payloads: 1, want: answer{interrupted: true}},
		{name: "more bytes than are kept", messages: []syscall.NetlinkMessage{part, part, part, message(want, unix.NLM_F_MULTI, sequence, nil)}, payloads: 2, want: answer{cut: true}},
		{name: "error", messages: []syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, words32(^uint32(unix.ENODEV)+1))}, want: answer{complete: true}, err: unix.ENODEV},
		{name: "acknowledgement", messages: []syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, words32(0))}, want: answer{complete: true}},
		{name: "left from before", messages: []syscall.NetlinkMessage{message(want, 0, sequence-1, link)}},
		{name: "of another type", messages: []syscall.NetlinkMessage{message(unix.RTM_NEWADDR, 0, sequence, link)}, want: answer{complete: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := answer{sequence: sequence, want: want, left: dumpLimit{messages: 9, bytes: 8}}
			var err error
			for _, m := range test.messages {
				if err == nil {
					err = a.add(m)
				}
			}
			if !errors.Is(err, test.err) || len(a.payloads) != test.payloads || a.complete != test.want.complete ||
				a.interrupted != test.want.interrupted || a.cut != test.want.cut {
				t.Errorf("error %v, %+v", err, a)
			}
		})
	}
}

// TestSilentKernel: a wait ends with the caller's deadline.
func TestSilentKernel(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	socket, err := openRoute(l.Node.Handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := socket.receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
