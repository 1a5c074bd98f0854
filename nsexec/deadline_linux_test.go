package nsexec_test

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// Deadlines and cancellation come from package net's poller, which has to have
// the socket that took the place of its own.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	target := newNetns(t, home)
	addBlackHoles(t, target)
	const short, long = 50 * time.Millisecond, 5 * time.Second
	took := func(t *testing.T, f func() error) error {
		start := time.Now()
		err := f()
		if d := time.Since(start); d > long {
			t.Errorf("took %v", d)
		}
		return err
	}
	for _, hole := range []string{blackHole4, blackHole6} {
		address := net.JoinHostPort(hole, "80")
		t.Run("dial timeout "+hole, func(t *testing.T) {
			t.Parallel()
			d := target.Dialer()
			d.Timeout = short
			err := took(t, func() error { _, err := d.DialContext(t.Context(), "tcp", address); return err })
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("error %v, want a timeout", err)
			}
		})
		t.Run("context deadline "+hole, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), short)
			defer cancel()
			err := took(t, func() error { _, err := target.DialContext(ctx, "tcp", address); return err })
			// Package net says it in one of two ways, as its two timers race.
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error %v, want deadline exceeded", err)
			}
		})
		t.Run("context cancelled "+hole, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			d := target.Dialer()
			d.Control = func(network, address string, c syscall.RawConn) error {
				// The connect comes after this; a cancel before it counts too.
				defer cancel()
				return target.Control(network, address, c)
			}
			err := took(t, func() error { _, err := d.DialContext(ctx, "tcp", address); return err })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
		})
	}
	t.Run("cancel during connect", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := target.DialContext(ctx, "tcp", net.JoinHostPort(blackHole4, "81"))
			failed <- err
		}()
		awaitState(t, target, 81, synSent)
		cancel()
		if err := took(t, func() error { return <-failed }); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want canceled", err)
		}
	})
	t.Run("read deadline", func(t *testing.T) {
		t.Parallel()
		for _, network := range []string{"udp", "tcp"} {
			ln, err := target.ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			c, err := target.DialContext(t.Context(), network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetReadDeadline(time.Now().Add(short)); err != nil {
				t.Fatal(err)
			}
			err = took(t, func() error { _, err := c.Read(make([]byte, 1)); return err })
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%s: error %v, want a timeout", network, err)
			}
		}
	})
	t.Run("accept deadline and close", func(t *testing.T) {
		t.Parallel()
		ln, err := target.ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(short)); err != nil {
			t.Fatal(err)
		}
		err = took(t, func() error { _, err := ln.Accept(); return err })
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error %v, want a timeout", err)
		}
		if err := ln.(*net.TCPListener).SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() { _, err := ln.Accept(); failed <- err }()
		ln.Close()
		if err := took(t, func() error { return <-failed }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v, want closed", err)
		}
	})
}
