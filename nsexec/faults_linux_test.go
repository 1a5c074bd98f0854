package nsexec_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
)

// TestFaults makes one system call after the other fail, always and in every thread, in
// a process that goes through all that nsexec does. Whatever fails, each step ends, with
// an answer or with an error that carries the kernel's; no descriptor is left open, and
// no thread stays in the target's network.
func TestFaults(t *testing.T) {
	t.Parallel()
	pin := pinNetns(t)
	calls := map[string]uintptr{
		"openat": unix.SYS_OPENAT, "openat2": unix.SYS_OPENAT2, "setns": unix.SYS_SETNS, "socket": unix.SYS_SOCKET, "connect": unix.SYS_CONNECT,
		"sendto": unix.SYS_SENDTO, "recvfrom": unix.SYS_RECVFROM, "getsockopt": unix.SYS_GETSOCKOPT, "setsockopt": unix.SYS_SETSOCKOPT,
		"fstat": unix.SYS_FSTAT, "fstatfs": unix.SYS_FSTATFS, "statx": unix.SYS_STATX, "getdents64": unix.SYS_GETDENTS64,
		"readlinkat": unix.SYS_READLINKAT, "ioctl": unix.SYS_IOCTL, "dup3": unix.SYS_DUP3, "fcntl": unix.SYS_FCNTL, "uname": unix.SYS_UNAME,
	}
	for name, number := range calls {
		for _, errno := range []unix.Errno{unix.EPERM, unix.EMFILE, unix.ENOSYS, unix.EINTR} {
			t.Run(name+" "+unix.ErrnoName(errno), func(t *testing.T) {
				t.Parallel()
				out, in, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				c := start(t, "/proc/self/exe", 0, []string{
					roleVar + "=" + roleFaulty, "PIN=" + pin,
					"CALL=" + strconv.Itoa(int(number)), "ERRNO=" + strconv.Itoa(int(errno)),
				}, in)
				in.Close()
				line, err := bufio.NewReader(out).ReadBytes('\n')
				var report faultReport
				if err != nil || json.Unmarshal(line, &report) != nil {
					t.Fatalf("%s, %v", line, err)
				}
				for step, untyped := range report.Untyped {
					t.Errorf("%s: %s", step, untyped)
				}
				if report.Before != report.After {
					t.Errorf("%d files open before, %d after", report.Before, report.After)
				}
				threads, err := os.ReadDir(procPath(c.pid, "task"))
				if err != nil {
					t.Fatal(err)
				}
				home, err := os.Readlink(procPath(c.pid, "ns/net"))
				if err != nil {
					t.Fatal(err)
				}
				for _, thread := range threads {
					// One that could not come back has ended, or is about to.
					eventually(t, "thread "+thread.Name()+" is at home", func() error {
						at, err := os.Readlink(procPath(c.pid, "task/"+thread.Name()+"/ns/net"))
						if err == nil && at != home {
							return fmt.Errorf("it is in %s", at)
						}
						return nil
					})
				}
			})
		}
	}
}

// faultReport is what the process with the fault says.
type faultReport struct {
	Before, After int // open files
	// Untyped are errors, by step, that tell neither the kernel's answer nor a kind.
	Untyped map[string]string
}

// workWithFault is what roleFaulty does. It returns only where the fault cannot be
// made, and waits for its end otherwise.
func workWithFault() error {
	number, err := strconv.Atoi(os.Getenv("CALL"))
	if err != nil {
		return err
	}
	code, err := strconv.Atoi(os.Getenv("ERRNO"))
	if err != nil {
		return err
	}
	home, err := nsexec.NewHome()
	if err != nil {
		return err
	}
	tree, err := home.OpenFiles("/")
	if err != nil {
		return err
	}
	self, err := home.OpenProcess("/proc", os.Getpid())
	if err != nil {
		return err
	}
	target, err := home.OpenPath(context.Background(), os.Getenv("PIN"))
	if err != nil {
		return err
	}
	report := faultReport{Untyped: map[string]string{}}
	// A fault can make a step try without end, or wait (connect(2) after EINTR).
	limit := time.Minute
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		time.AfterFunc(time.Hour, cancel) // never: the deadline comes first
		return ctx
	}
	steps := map[string]func() error{
		"open a path": func() error {
			h, err := home.OpenPath(short(), os.Getenv("PIN"))
			if err == nil {
				err = h.Close()
			}
			return err
		},
		"make a socket": func() error {
			fd, err := target.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		},
		"visit": func() error { return target.Do(func() error { return nil }) },
		"dial": func() error {
			conn, err := target.DialContext(short(), "udp", "127.0.0.1:9")
			if err == nil {
				err = conn.Close()
			}
			return err
		},
		"addresses": func() error { _, err := target.Addresses(short(), unix.AF_UNSPEC); return err },
		"a filtered dump": func() error {
			s, err := target.OpenNetlink(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.FilterDumps(); err != nil {
				return err
			}
			_, _, err = s.Dump(short(), unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC))
			return err
		},
		"an interface": func() error { _, err := target.InterfaceIndex("lo"); return err },
		"open a process": func() error {
			p, err := home.OpenProcess("/proc", os.Getpid())
			if err == nil {
				err = p.Close()
			}
			return err
		},
		"environ":    func() error { _, err := self.ReadFile(short(), "environ", 100); return err },
		"cgroup":     func() error { _, err := self.ReadFile(short(), "cgroup", 100); return err },
		"namespaces": func() error { _, err := self.Namespaces(); return err },
		"root":       func() error { self.RootIs("/"); self.Hostname(); return nil },
		"network of a process": func() error {
			h, err := self.Net()
			if err == nil {
				err = h.Close()
			}
			return err
		},
		"files of a process": func() error {
			f, err := self.Files()
			if err == nil {
				err = f.Close()
			}
			return err
		},
		"read a file":      func() error { _, err := tree.ReadFile(short(), "/etc/passwd", 100); return err },
		"read a directory": func() error { _, err := tree.ReadDir(short(), "/etc", 10_000, nil); return err },
	}
	// What the runtime opens when it is first needed (its poller) is open by now.
	for name, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("without a fault: %s: %w", name, err)
		}
	}
	report.Before = lab.OpenFiles()
	if err := lab.FailCall(uintptr(number), unix.Errno(code)); err != nil {
		return err
	}
	limit = 300 * time.Millisecond
	for name, step := range steps {
		var refusal *nsexec.PermissionError
		err := step()
		typed := errors.Is(err, unix.Errno(code)) || errors.As(err, &refusal) || errors.Is(err, context.DeadlineExceeded) ||
			errors.Is(err, os.ErrDeadlineExceeded) // package net has two
		if err != nil && !typed {
			report.Untyped[name] = err.Error()
		}
	}
	// What a step has left to others to close is closed soon.
	for range 1000 {
		if report.After = lab.OpenFiles(); report.After <= report.Before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	for {
		time.Sleep(time.Hour)
	}
}
