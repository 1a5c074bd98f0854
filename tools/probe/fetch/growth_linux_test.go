package fetch

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"
)

// Descriptors and goroutines are counted for a whole process, so this test is
// not parallel.
func TestNothingIsLeftBehind(t *testing.T) {
	b := newBench(t)
	urls := []string{
		"http://" + b.serve(http.NotFound),
		"https://" + b.secure(&tls.Config{}, http.NotFound),
		"https://" + b.secure(&tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue(nil, "other.test")}}, http.NotFound),
		"http://" + b.server.IP.String() + ":9",
		"http://" + b.says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		"http://" + b.raw(func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }),
		"http://[" + b.server.IP6.String() + "]:9",
	}
	round := func() {
		for _, url := range urls {
			_, err := b.client.Do(t.Context(), Request{URL: url, MaxBody: 10})
			b.must(err)
		}
	}
	count := func() (files, routines int) {
		fds, err := os.ReadDir("/proc/self/fd")
		b.must(err)
		return len(fds), runtime.NumGoroutine()
	}
	round() // what is made once
	time.Sleep(100 * time.Millisecond)
	files, routines := count()
	for range 30 {
		round()
	}
	for end := time.Now().Add(3 * soon); ; time.Sleep(20 * time.Millisecond) {
		nowFiles, nowRoutines := count()
		if nowFiles <= files+2 && nowRoutines <= routines+4 { // the servers' last connections
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d descriptors, were %d; %d goroutines, were %d", nowFiles, files, nowRoutines, routines)
		}
	}
}
