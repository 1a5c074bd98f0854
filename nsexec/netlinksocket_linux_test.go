package nsexec

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ownNetlink opens a routing socket at home.
func ownNetlink(t *testing.T) (*Home, *NetlinkSocket) {
	t.Helper()
	home, err := NewHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	socket, err := home.Self().OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.Close)
	return home, socket
}

// word is a 32-bit number in host byte order.
func word(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

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
			err := RepeatDump(t.Context(), func() error {
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
		err := RepeatDump(ctx, func() error {
			cancel()
			return netlink.ErrDumpInterrupted
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// TestForeignMessages: another process may send to the socket, and only the kernel
// counts.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	home, socket := ownNetlink(t)
	name, err := unix.Getsockname(socket.fd)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := home.Self().Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
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
	fake.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	fake.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, []byte("fake")))
	if err := unix.Sendto(stranger, fake.Serialize(), 0, name); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("another process could send to the socket: %v", err)
	}
	messages, _, err := socket.Dump(t.Context(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
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
	_, socket := ownNetlink(t)
	all, complete, err := socket.Dump(t.Context(), unix.RTM_GETRULE, unix.RTM_NEWRULE, nl.NewIfInfomsg(unix.AF_INET))
	if err != nil || !complete || len(all) < 2 {
		t.Fatalf("%d rules, complete %v, error %v", len(all), complete, err)
	}
	for _, limit := range []dumpLimit{{1, maxDumpBytes}, {maxDumpMessages, len(all[0])}} {
		socket.limit = limit
		cut, complete, err := socket.Dump(t.Context(), unix.RTM_GETRULE, unix.RTM_NEWRULE, nl.NewIfInfomsg(unix.AF_INET))
		if err != nil || complete || len(cut) != 1 {
			t.Errorf("%+v: %d rules, complete %v, error %v", limit, len(cut), complete, err)
		}
	}
	// The rest of the long answer does not disturb the next one.
	socket.limit = dumpLimit{maxDumpMessages, maxDumpBytes}
	if again, complete, err := socket.Dump(t.Context(), unix.RTM_GETRULE, unix.RTM_NEWRULE, nl.NewIfInfomsg(unix.AF_INET)); err != nil || !complete || len(again) != len(all) {
		t.Errorf("%d rules, complete %v, error %v", len(again), complete, err)
	}
}

// TestEach: what is not wanted is not read, and none is kept.
func TestEach(t *testing.T) {
	t.Parallel()
	_, socket := ownNetlink(t)
	told := 0
	take := func(more bool) func([]byte) bool { return func([]byte) bool { told++; return more } }
	for _, c := range []struct {
		more  bool
		least int
	}{{true, 3}, {false, 1}} { // local, main and default
		told = 0
		if err := socket.Each(t.Context(), unix.RTM_GETRULE, unix.RTM_NEWRULE, take(c.more), nl.NewIfInfomsg(unix.AF_INET)); err != nil || told < c.least || !c.more && told > 1 {
			t.Errorf("%v: %d rules, %v", c, told, err)
		}
	}
}

func TestCutMessage(t *testing.T) {
	t.Parallel()
	request := func(flags int, body ...byte) []byte {
		r := nl.NewNetlinkRequest(unix.RTM_GETLINK, flags)
		r.AddRawData(body)
		return r.Serialize()
	}
	whole := slices.Concat(request(1, 1, 2, 3, 4), request(2), request(3, 5, 6, 7, 8))
	want, err := syscall.ParseNetlinkMessage(whole)
	if err != nil {
		t.Fatal(err)
	}
	for length := range len(whole) + 1 {
		var got []syscall.NetlinkMessage
		var err error
		for rest := whole[:length]; len(rest) > 0 && err == nil; {
			var m syscall.NetlinkMessage
			if m, rest, err = cutMessage(rest); err == nil {
				got = append(got, m)
			}
		}
		for i, m := range got {
			w := want[i]
			if m.Header.Len != w.Header.Len || m.Header.Type != w.Header.Type || m.Header.Flags != w.Header.Flags || m.Header.Seq != w.Header.Seq || !bytes.Equal(m.Data, w.Data) {
				t.Errorf("message %d is %+v, want %+v", i, m, w)
			}
		}
		if atEnd := length == 0 || length == 20 || length == 36 || length == len(whole); atEnd != (err == nil) {
			t.Errorf("%d bytes: %d messages, error %v", length, len(got), err)
		}
	}
	for _, length := range []byte{0, 15, 255} {
		bad := slices.Clone(whole)
		bad[0] = length
		if _, _, err := cutMessage(bad); err == nil {
			t.Errorf("a message of %d bytes", length)
		}
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
		want     answer // complete or interrupted
		payloads int
		err      error
	}{
		{name: "one answer", messages: []syscall.NetlinkMessage{message(want, 0, sequence, link)}, payloads: 1, want: answer{complete: true}},
		{name: "dump", messages: []syscall.NetlinkMessage{part, part, message(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, word(0))}, payloads: 2, want: answer{complete: true}},
		{name: "dump of an old kernel", messages: []syscall.NetlinkMessage{part, message(unix.NLMSG_DONE, unix.NLM_F_MULTI, sequence, nil)}, payloads: 1, want: answer{complete: true}},
		{name: "dump goes on", messages: []syscall.NetlinkMessage{part}, payloads: 1},
		{name: "dump interrupted", messages: []syscall.NetlinkMessage{message(want, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, sequence, link)}, payloads: 1, want: answer{interrupted: true}},
		{name: "no more are wanted", messages: []syscall.NetlinkMessage{part, part, message(want, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, sequence, link), part}, payloads: 3, want: answer{complete: true}},
		{name: "error", messages: []syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, word(-int32(unix.ENODEV)))}, want: answer{complete: true}, err: unix.ENODEV},
		{name: "acknowledgement", messages: []syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, word(0))}, want: answer{complete: true}},
		{name: "left from before", messages: []syscall.NetlinkMessage{message(want, 0, sequence-1, link)}},
		{name: "of another type", messages: []syscall.NetlinkMessage{message(unix.RTM_NEWADDR, 0, sequence, link)}, want: answer{complete: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			payloads := 0
			a := answer{sequence: sequence, want: want, take: func([]byte) bool { payloads++; return payloads < 3 }}
			var err error
			for _, m := range test.messages {
				if err == nil {
					err = a.add(m)
				}
			}
			if !errors.Is(err, test.err) || payloads != test.payloads || a.complete != test.want.complete ||
				a.interrupted != test.want.interrupted {
				t.Errorf("error %v, %+v", err, a)
			}
		})
	}
}

// TestSilentKernel: a wait ends with the caller's deadline.
func TestSilentKernel(t *testing.T) {
	t.Parallel()
	_, socket := ownNetlink(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := socket.receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
