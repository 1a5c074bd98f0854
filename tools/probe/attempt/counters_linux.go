package attempt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCountersText bounds the files of counters; together they have about 8 kB.
const maxCountersText = 32 << 10

// ReadCounters returns the texts of /proc/net/snmp, netstat and snmp6 (where v6) of the
// namespace that the calling thread is in: /proc/net and /proc/self/net would be those
// of the main thread.
func ReadCounters(v6 bool) ([]byte, error) {
	buffer := make([]byte, maxCountersText)
	names := [...]string{"snmp", "netstat", "snmp6"}
	have := 0
	for i, name := range names {
		if i == 2 && !v6 {
			break
		}
		text, err := readInto(buffer[have:], "/proc/thread-self/net/"+name)
		if i == 2 && errors.Is(err, unix.ENOENT) { // a kernel without IPv6
			break
		}
		if err != nil {
			return nil, err
		}
		have += len(text)
	}
	return slices.Clone(buffer[:have]), nil // an attempt may hang long
}

// readInto reads a file of procfs into buffer. The kernel makes the whole text
// anew for each read that starts at its beginning, so a large buffer is a third
// of the time of os.ReadFile.
func readInto(buffer []byte, name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // was only read
	have := 0
	for have < len(buffer) {
		n, err := unix.Read(fd, buffer[have:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			break
		}
		have += n
	}
	return buffer[:have], nil
}

// readPortRange reads from which ports the namespace takes its own; nil where
// it cannot be read. It runs inside the namespace.
func readPortRange() []int {
	text, err := readInto(make([]byte, 64), "/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil
	}
	var ports []int
	for field := range strings.FieldsSeq(string(text)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil
		}
		ports = append(ports, n)
	}
	return ports
}

// readRouteLocalnet reports whether packets from loopback addresses may leave by any
// interface (route_localnet in the kernel's ip-sysctl.rst); nil where that cannot be
// read. It runs inside the namespace.
func readRouteLocalnet() *bool {
	const conf = "/proc/sys/net/ipv4/conf"
	dir, err := os.Open(conf)
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }() // was only read
	const most = 1000
	devices, err := dir.Readdirnames(most + 1)
	if err != nil || len(devices) > most {
		return nil
	}
	on := false
	for _, dev := range devices {
		text, err := readInto(make([]byte, 8), filepath.Join(conf, dev, "route_localnet"))
		on = on || err != nil || !bytes.HasPrefix(text, []byte("0")) // unknown claims nothing
	}
	return &on
}
