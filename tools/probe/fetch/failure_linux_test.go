package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/tools/fact"
)

func TestConnectionFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("refused", func(b *bench) {
		f := b.get("http://" + b.server.IP.String() + ":9")
		b.expect(f, fact.OutcomeRefused, fact.StageConnect)
		if len(f.Attempts) != 1 || f.Attempts[0].Cause != fact.CauseResetAnswer || f.Reason == "" || f.Attempts[0].Why != "" || f.Conn != nil {
			b.Errorf("%+v", f)
		}
	})
	b.run("nobody there", func(b *bench) {
		b.must(b.pod.SetSysctl("net/ipv4/neigh/eth0/mcast_solicit", "100")) // else the kernel gives up after 3 s
		f := b.fetchWithin(Request{URL: "http://10.244.1.200"}, 2*fewSYNs)
		b.expect(f, fact.OutcomeTimeout, fact.StageConnect)
		if f.Attempts[0].Cause != fact.CauseNeighbourSilent || !f.Complete {
			b.Errorf("%+v", f)
		}
	})
	b.run("no such name", func(b *bench) {
		b.client.Lookup = hosts(nil)
		f := b.get("http://nobody.test")
		b.expect(f, fact.OutcomeDNSFailed, fact.StageDNS)
		if f.DNS.Outcome != "nxdomain" || len(f.Attempts) != 0 || f.Timings.DNSMS == nil {
			b.Errorf("%+v", f)
		}
	})
	b.run("names cannot be looked up", func(b *bench) {
		_, err := b.fetchErr(Request{URL: "http://nobody.test"})
		var argument *ArgumentError
		if !errors.As(err, &argument) || argument.Field != "url" {
			b.Errorf("%v", err)
		}
	})
	b.run("dead address first", func(b *bench) {
		at := b.serve(func(http.ResponseWriter, *http.Request) {})
		_, port, _ := net.SplitHostPort(at)
		b.client.Lookup = hosts(map[string][]string{"two.test": {"fd00:10:244:1::dead", "10.244.1.201", b.server.IP.String()}})
		start := time.Now()
		f := b.get("http://two.test:" + port)
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if took := time.Since(start); took < 2*stagger || took > soon {
			b.Errorf("it took %s", took)
		}
		if len(f.Attempts) != 3 || f.Attempts[0].Outcome != fact.OutcomeAbandoned || f.Attempts[2].Outcome != fact.OutcomeOK || f.Attempts[2].StartedMS < 490 {
			b.Errorf("%+v", f.Attempts)
		}
	})
	b.run("refusing address first", func(b *bench) {
		at := b.serve(func(http.ResponseWriter, *http.Request) {})
		_, port, _ := net.SplitHostPort(at)
		b.client.Lookup = hosts(map[string][]string{"two.test": {"127.0.0.1", b.server.IP.String()}})
		f := b.get("http://two.test:" + port)
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if len(f.Attempts) != 2 || f.Attempts[0].Outcome != fact.OutcomeRefused || f.Attempts[0].Cause != fact.CauseNoListener || *f.Timings.ConnectMS > soon.Seconds()*1000 {
			b.Errorf("%+v", f.Attempts)
		}
	})
	b.run("many addresses, all dead", func(b *bench) {
		var dead []string
		for i := range 12 {
			dead = append(dead, fmt.Sprintf("127.0.1.%d", i+1))
		}
		b.client.Lookup = hosts(map[string][]string{"many.test": dead})
		f := b.get("http://many.test:9")
		b.expect(f, fact.OutcomeRefused, fact.StageConnect)
		if len(f.Attempts) != maxAddresses || f.AddressesSkipped != 12-maxAddresses {
			b.Errorf("%d attempts, %d skipped", len(f.Attempts), f.AddressesSkipped)
		}
		if f.Attempts[0].Route == nil || f.Attempts[1].Route != nil {
			b.Errorf("the same evidence again and again: %+v", f.Attempts)
		}
	})
}

func TestAnswersThatFail(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("reset after accept", func(b *bench) {
		f := b.get("http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_ = conn.(*net.TCPConn).SetLinger(0)
		}))
		b.expect(f, fact.OutcomeReset, fact.StageResponse)
	})
	b.run("reset within the header", func(b *bench) {
		f := b.get("http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Half")
			time.Sleep(50 * time.Millisecond) // for the text to be read: a reset overtakes it
			_ = conn.(*net.TCPConn).SetLinger(0)
		}))
		b.expect(f, fact.OutcomeReset, fact.StageResponse)
	})
	b.run("closed after accept", func(b *bench) {
		f := b.get("http://" + b.says(""))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if !strings.Contains(f.Reason, "without a byte of an answer") {
			b.Errorf("%s", f.Reason)
		}
	})
	b.run("not HTTP", func(b *bench) {
		f := b.get("http://" + b.says("SSH-2.0-OpenSSH_9.6\r\n"))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if !strings.Contains(f.Reason, "SSH") || f.Untrusted.FirstBytes != `SSH-2.0-OpenSSH_9.6\r\n` {
			b.Errorf("%s %+v", f.Reason, f.Untrusted)
		}
	})
	b.run("malformed header", func(b *bench) {
		f := b.get("http://" + b.says("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if !strings.Contains(f.Reason, "begins as HTTP") {
			b.Errorf("%s", f.Reason)
		}
	})
	b.run("nonsense as HTTP/2", func(b *bench) {
		config := &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{b.ca.issue(nil, b.server.IP.String())}}
		f := b.get("https://" + b.raw(func(conn net.Conn) {
			secured := tls.Server(conn, config)
			_, _ = io.WriteString(secured, "HTTP/1.1 200 OK\r\n\r\nevil\x1b[31m")
			_, _ = io.Copy(io.Discard, secured)
		}))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if f.ReasonCode != fact.ReasonNoHTTP2 || f.Untrusted.FirstBytes != `HTTP/1.1 200 OK\r\n\r\nevil\x1b[31m` {
			b.Errorf("%+v", f)
		}
	})
	b.run("endless headers over HTTP/2", func(b *bench) {
		f := b.get("https://" + b.secure(&tls.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			for i := range 200 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1000))
			}
		}))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
	})
	endless := func(piece string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(conn, piece)
			}
		}
	}
	b.run("endless headers", func(b *bench) {
		f := b.get("http://" + b.raw(endless("X-More: "+strings.Repeat("a", 1000)+"\r\n")))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
		if !strings.Contains(f.Reason, "longer than 65536 bytes") {
			b.Errorf("%s", f.Reason)
		}
	})
	b.run("endless line", func(b *bench) {
		f := b.get("http://" + b.raw(endless(strings.Repeat("a", 1000))))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
	})
	b.run("endless informational answers", func(b *bench) {
		f := b.get("http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			var err error
			for err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
			}
		}))
		b.expect(f, fact.OutcomeNotHTTP, fact.StageResponse)
	})
	b.run("body that breaks off", func(b *bench) {
		f := b.get("http://" + b.says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
		b.expect(f, fact.OutcomeOK, fact.StageBody)
		if *f.BodyComplete || f.Reason != "the body broke off after 4 bytes" || !f.Untrusted.BodyTruncated {
			b.Errorf("%+v", f)
		}
	})
	b.run("gigabytes", func(b *bench) {
		f := b.get("http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
			block := []byte(strings.Repeat("x", 64<<10))
			for err == nil {
				_, err = conn.Write(block)
			}
		}))
		b.expect(f, fact.OutcomeOK, fact.StageDone)
		if *f.BodyComplete || *f.BodyBytes < maxBodyRead || *f.BodyBytes > 2*maxBodyRead || len(f.Untrusted.Body) > 1000 || !f.Untrusted.BodyTruncated {
			b.Errorf("%d bytes, %d shown", *f.BodyBytes, len(f.Untrusted.Body))
		}
	})
}

// TestAnswersThatDoNotEnd: something is waited for until the time is up.
func TestAnswersThatDoNotEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	drip := func(before, text string) string {
		return "http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_, err := io.WriteString(conn, before)
			for i := 0; i < len(text) && err == nil; i++ {
				_, err = io.WriteString(conn, text[i:i+1])
				time.Sleep(50 * time.Millisecond)
			}
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	b.together(map[string]func(b *bench){
		"silence": func(b *bench) {
			f := b.fetchWithin(Request{URL: "http://" + b.silent()}, hang)
			b.expect(f, fact.OutcomeTimeout, fact.StageResponse)
			if f.Conn == nil || f.Conn.Unacked != 0 || f.Conn.BytesSent == 0 || !strings.Contains(f.Reason, "the application is silent") {
				b.Errorf("%s %+v", f.Reason, f.Conn)
			}
		},
		"drip-fed header": func(b *bench) {
			start := time.Now()
			f := b.fetchWithin(Request{URL: drip("", "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 1000))}, hang)
			b.expect(f, fact.OutcomeTimeout, fact.StageResponse)
			if f.Timings.FirstByteMS == nil || time.Since(start) > soon {
				b.Errorf("%+v after %s", f.Timings, time.Since(start))
			}
		},
		"drip-fed body": func(b *bench) {
			f := b.get(drip("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", strings.Repeat("a", 200)))
			b.expect(f, fact.OutcomeOK, fact.StageBody)
			if *f.BodyComplete || *f.BodyBytes < 5 || !strings.Contains(f.Reason, "still coming") {
				b.Errorf("%+v", f)
			}
		},
		"body that stops": func(b *bench) {
			f := b.get(drip("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ""))
			b.expect(f, fact.OutcomeTimeout, fact.StageBody)
			if *f.Status != 200 || *f.BodyBytes != 4 {
				b.Errorf("%+v", f)
			}
		},
	})
}

func TestDeadlineAndCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ends := func(url string) func(b *bench) {
		return func(b *bench) {
			start := time.Now()
			f := b.fetchWithin(Request{URL: url}, hang)
			if took := time.Since(start); f.Outcome != fact.OutcomeTimeout || took > soon {
				b.Errorf("%s after %s", f.Outcome, took)
			}
			ctx, cancel := context.WithCancel(b.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			start = time.Now()
			f, err := b.client.Do(ctx, Request{URL: url})
			if took := time.Since(start); !errors.Is(err, context.Canceled) || f != nil || took > soon {
				b.Errorf("%v, %v after %s", f, err, took)
			}
		}
	}
	b.must(b.pod.SetSysctl("net/ipv4/neigh/eth0/mcast_solicit", "100"))
	b.together(map[string]func(b *bench){
		"http": ends("http://" + b.silent()), "https": ends("https://" + b.silent()), "nobody there": ends("http://10.244.1.200"),
	})
}
