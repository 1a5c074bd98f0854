package nsexec_test

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Read them against one another, from one run:
//
//	go test -run '^$' -bench . -benchmem -cpu 1,2 ./nsexec
func BenchmarkEnter(b *testing.B) {
	home := newHome(b)
	target := newNetns(b, home)
	nothing := func() error { return nil }
	for _, bench := range []struct {
		name string
		op   func() error
	}{
		{"Do", func() error { return target.Do(nothing) }},
		{"Do-home", func() error { return home.Self().Do(nothing) }},
		{"Socket", func() error {
			fd, err := target.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}},
		{"plain-socket", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}},
		{"Netlink", func() error {
			h, err := target.Netlink(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			h.Close()
			return nil
		}},
		{"Netlink-links", func() error {
			h, err := target.Netlink(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			_, err = h.LinkList()
			return err
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if err := bench.op(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"-parallel", func(b *testing.B) {
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := bench.op(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkOpen is the way of one call to a process's network, and what a shell
// pays for it.
func BenchmarkOpen(b *testing.B) {
	home := newHome(b)
	c := startChild(b, unix.CLONE_NEWNET)
	pin := pinNetns(b)
	b.Run("OpenProcess-Net", func(b *testing.B) {
		for b.Loop() {
			p, err := home.OpenProcess("/proc", c.pid)
			if err != nil {
				b.Fatal(err)
			}
			h, err := p.Net()
			if err != nil {
				b.Fatal(err)
			}
			h.Close()
			p.Close()
		}
	})
	b.Run("OpenPath", func(b *testing.B) {
		for b.Loop() {
			h, err := home.OpenPath(b.Context(), pin)
			if err != nil {
				b.Fatal(err)
			}
			h.Close()
		}
	})
	b.Run("nsenter", func(b *testing.B) {
		nsenter, err := exec.LookPath("nsenter")
		if err != nil {
			b.Skip(err)
		}
		for b.Loop() {
			if err := exec.Command(nsenter, "--net="+pin, "true").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReadFile(b *testing.B) {
	dir := b.TempDir()
	writeFile(b, dir+"/etc/resolv.conf", "nameserver 192.0.2.53\n")
	files := openFiles(b, newHome(b), dir)
	for b.Loop() {
		if _, err := files.ReadFile(b.Context(), "/etc/resolv.conf", 1<<16); err != nil {
			b.Fatal(err)
		}
	}
}
