package probe

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// attachXDP makes packets of a link of ns go through a program that lets all
// pass.
func attachXDP(t *testing.T, ns *lab.Netns, index int) {
	t.Helper()
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	request.AddRawData(linkBytes(0, index, 0,
		attr(unix.IFLA_XDP, nested(
			attr(unix.IFLA_XDP_FD, uint32(loadXDP(t))), attr(unix.IFLA_XDP_FLAGS, uint32(unix.XDP_FLAGS_SKB_MODE))))))
	err := ns.Handle.Do(func() error {
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	if err != nil {
		t.Skipf("this kernel attaches no XDP program: %v", err)
	}
}

// loadXDP loads the program "return XDP_PASS" and returns its descriptor.
func loadXDP(t *testing.T) int {
	t.Helper()
	program := []uint64{
		0x00000002_000000b7, // r0 = 2
		0x00000000_00000095, // exit
	}
	license := []byte("GPL\x00")
	var pins runtime.Pinner // the kernel gets addresses, which Go does not see
	pins.Pin(&program[0])
	pins.Pin(&license[0])
	defer pins.Unpin()
	// The start of union bpf_attr for BPF_PROG_LOAD (linux/bpf.h).
	attr := struct {
		kind, count    uint32
		program        uint64
		license        uint64
		logLevel, size uint32
		log            uint64
	}{
		kind: unix.BPF_PROG_TYPE_XDP, count: uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(&program[0]))),
		license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		t.Skipf("this kernel loads no XDP program: %v", errno)
	}
	t.Cleanup(func() {
		if err := unix.Close(int(fd)); err != nil {
			t.Error(err)
		}
	})
	return int(fd)
}
