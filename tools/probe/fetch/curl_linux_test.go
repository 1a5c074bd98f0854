package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// curl is what curl(1) says of a request, sent from the pod like ours.
type curl struct {
	exit   int
	Code   int    `json:"http_code"`
	HTTP   string `json:"http_version"`
	IP     string `json:"remote_ip"`
	Port   int    `json:"remote_port"`
	Size   int64  `json:"size_download"`
	Hops   int    `json:"num_redirects"`
	Certs  int    `json:"num_certs"`
	Verify int    `json:"ssl_verify_result"`
	Method string `json:"method"`

	Lookup        float64 `json:"time_namelookup"`
	Connect       float64 `json:"time_connect"`
	AppConnect    float64 `json:"time_appconnect"`
	PreTransfer   float64 `json:"time_pretransfer"`
	StartTransfer float64 `json:"time_starttransfer"`
	Total         float64 `json:"time_total"`
	Headers       map[string][]string
}

// curlFormat is not %{json}, which has curl's version in it: the LDAP library tells
// its own only after a look-up of the machine's name, and where /etc/hosts lacks that
// name the look-up waits for a nameserver that a pod of the lab never hears.
const curlFormat = `{"http_code":%{http_code},"http_version":"%{http_version}","method":"%{method}",` +
	`"remote_ip":"%{remote_ip}","remote_port":%{remote_port},"size_download":%{size_download},"num_redirects":%{num_redirects},` +
	`"num_certs":%{num_certs},"ssl_verify_result":%{ssl_verify_result},"time_namelookup":%{time_namelookup},` +
	`"time_connect":%{time_connect},"time_appconnect":%{time_appconnect},"time_pretransfer":%{time_pretransfer},` +
	`"time_starttransfer":%{time_starttransfer},"time_total":%{time_total}}` + "\n%{header_json}"

func (b *bench) curl(args ...string) curl {
	b.Helper()
	ca := filepath.Join(b.TempDir(), "ca.pem")
	b.must(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.ca.cert.Raw}), 0o600))
	out := filepath.Join(b.TempDir(), "body")
	args = append([]string{"-sS", "-q", "-m", "30", "--cacert", ca, "-o", out, "-w", curlFormat}, args...)
	text, err := b.pod.Output("curl", args...)
	c := curl{}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		c.exit = exit.ExitCode()
		return c
	}
	b.must(err)
	decoder := json.NewDecoder(bytes.NewReader(text))
	b.must(decoder.Decode(&c))
	b.must(decoder.Decode(&c.Headers))
	return c
}

// exits are curl's exit codes for our outcomes.
func exits(f *fact.Fetch) []int {
	switch f.Outcome {
	case fact.OutcomeOK, fact.OutcomeHTTPError:
		if f.ReasonCode == fact.ReasonBodyBrokeOff {
			return []int{18}
		}
		return []int{0}
	case fact.OutcomeRefused, fact.OutcomeUnreachable:
		return []int{7}
	case fact.OutcomeTimeout:
		return []int{28}
	case fact.OutcomeReset:
		return []int{56, 35}
	case fact.OutcomeTLSFailed:
		return []int{60, 35, 56}
	case fact.OutcomeNotHTTP:
		return []int{1, 52, 16, 8, 92}
	}
	return nil
}

func TestAgainstCurl(t *testing.T) {
	t.Parallel()
	lab.Program(t, "curl")
	b := newBench(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Add("X-Many", "one")
		w.Header().Add("X-Many", "two")
		_, _ = io.WriteString(w, "hello\n")
	})
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/?x=1", http.StatusFound) })
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, strings.Repeat("x", 10000))
		_ = z.Close()
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(200 * time.Millisecond)
		_, _ = io.WriteString(w, "late")
	})
	plain := b.serveH2C(mux)
	six, err := b.server.Serve("["+b.server.IP6.String()+"]:0", mux)
	b.must(err)
	secure := b.secure(&tls.Config{}, mux.ServeHTTP)
	old := b.secure(&tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, mux.ServeHTTP)
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-9*time.Hour), time.Now().Add(-time.Hour)
	}
	ip := b.server.IP.String()
	serving := func(change func(*x509.Certificate), names ...string) string {
		return b.secure(&tls.Config{Certificates: []tls.Certificate{b.ca.issue(change, names...)}}, mux.ServeHTTP)
	}
	expired, misnamed := serving(past, ip), serving(nil, "other.test")
	foreign := b.secure(&tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue(nil, ip)}}, mux.ServeHTTP)
	mutual := b.secure(&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, mux.ServeHTTP)
	_, port, _ := net.SplitHostPort(secure)

	for _, c := range []struct {
		name string
		r    Request
		args []string
	}{
		{"plain", Request{URL: "http://" + plain + "/"}, nil},
		{"HEAD", Request{URL: "http://" + plain + "/", Method: "HEAD"}, []string{"-I"}},
		{"OPTIONS", Request{URL: "http://" + plain + "/", Method: "OPTIONS"}, []string{"-X", "OPTIONS"}},
		{"404", Request{URL: "http://" + plain + "/missing"}, nil},
		{"503", Request{URL: "http://" + plain + "/broken"}, nil},
		{"204", Request{URL: "http://" + plain + "/empty"}, nil},
		{"IPv6", Request{URL: "http://" + six.String() + "/"}, []string{"-g"}},
		{"redirect", Request{URL: "http://" + plain + "/redirect"}, nil},
		{"redirect followed", Request{URL: "http://" + plain + "/redirect", MaxRedirects: 5}, []string{"-L"}},
		{"chunked", Request{URL: "http://" + plain + "/chunked"}, nil},
		{"gzip", Request{URL: "http://" + plain + "/gzip"}, nil},
		{"slow", Request{URL: "http://" + plain + "/slow"}, nil},
		{"h2c", Request{URL: "http://" + plain + "/", Version: H2C}, []string{"--http2-prior-knowledge"}},
		{"numeric host", Request{URL: "http://" + fmt.Sprint(number(b.server.IP.As4())) + plain[strings.IndexByte(plain, ':'):] + "/"}, nil},
		{"h2", Request{URL: "https://" + secure + "/"}, []string{"--http2"}},
		{"HTTP/1.1 over TLS", Request{URL: "https://" + secure + "/", Version: HTTP1}, []string{"--http1.1"}},
		{"TLS 1.2", Request{URL: "https://" + old + "/"}, nil},
		{"slow over h2", Request{URL: "https://" + secure + "/slow"}, []string{"--http2"}},
		{"resolve", Request{URL: "https://server.test:" + port + "/", Resolve: []string{"server.test:" + port + ":" + ip}},
			[]string{"--resolve", "server.test:" + port + ":" + ip}},
		{"connect_to", Request{URL: "http://a.test/", ConnectTo: []string{"a.test:80:" + plain}}, []string{"--connect-to", "a.test:80:" + plain}},

		{"expired", Request{URL: "https://" + expired}, nil},
		{"expired, insecure", Request{URL: "https://" + expired, Insecure: true}, []string{"-k"}},
		{"wrong name", Request{URL: "https://" + misnamed}, nil},
		{"unknown authority", Request{URL: "https://" + foreign}, nil},
		{"client certificate", Request{URL: "https://" + mutual}, nil},
		{"plain HTTP on the port of https", Request{URL: "https://" + plain}, nil},
		{"refused", Request{URL: "http://" + ip + ":9"}, nil},
		{"silence", Request{URL: "http://" + b.silent()}, []string{"-m", "3"}},
		{"closed", Request{URL: "http://" + b.says("")}, nil},
		{"reset", Request{URL: "http://" + b.raw(func(conn net.Conn) {
			readRequest(conn)
			_ = conn.(*net.TCPConn).SetLinger(0)
		})}, nil},
		{"not HTTP", Request{URL: "http://" + b.says("SSH-2.0-x\r\n")}, nil},
		{"body breaks off", Request{URL: "http://" + b.says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")}, nil},
	} {
		b.run(c.name, func(b *bench) {
			c.r.Details = true
			fetch := b.fetch
			if c.name == "silence" {
				fetch = func(r Request) *fact.Fetch { return b.fetchWithin(r, hang) }
			}
			// Other tests disturb timings, and do so for some time.
			least, until := map[string][2]float64{}, time.Now().Add(3*soon)
			for {
				theirs := b.curl(append(c.args, c.r.URL)...)
				ours := fetch(c.r)
				compare(b, ours, &theirs)
				found := differences(ours, &theirs, least)
				if len(found) == 0 || b.Failed() {
					return
				}
				if time.Now().After(until) {
					b.Fatal(strings.Join(found, "; "))
				}
			}
		})
	}
}

func number(ip [4]byte) uint32 {
	return uint32(ip[0])<<24 | uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3])
}

func compare(b *bench, ours *fact.Fetch, theirs *curl) {
	b.Helper()
	same := false
	for _, code := range exits(ours) {
		same = same || code == theirs.exit
	}
	if !same {
		b.Fatalf("%s, curl exits with %d", ours.Outcome, theirs.exit)
	}
	if theirs.exit != 0 {
		return
	}
	check := func(what string, our, their any) {
		b.Helper()
		if fmt.Sprint(our) != fmt.Sprint(their) {
			b.Errorf("%s: %v, curl has %v", what, our, their)
		}
	}
	check("status", *ours.Status, theirs.Code)
	check("method", ours.Method, theirs.Method)
	check("remote", ours.Remote, net.JoinHostPort(theirs.IP, fmt.Sprint(theirs.Port)))
	check("version", strings.TrimSuffix(strings.TrimPrefix(ours.Protocol, "HTTP/"), ".0"), theirs.HTTP)
	check("size", *ours.BodyBytes, theirs.Size)
	followed := 0
	for _, r := range ours.Redirects {
		if r.Followed {
			followed++
		}
	}
	check("redirects", followed, theirs.Hops)
	check("TLS", ours.TLS != nil, theirs.Certs > 0)
	if ours.TLS != nil {
		check("certificates", len(ours.TLS.Chain), theirs.Certs)
		check("verified", ours.TLS.Verified, theirs.Verify == 0)
	}
	for name, values := range theirs.Headers {
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Date", "Connection", "Transfer-Encoding":
			continue // the clock, and what ends at the connection
		}
		check("header "+name, ours.Untrusted.Headers[name], strings.Join(values, ", "))
	}
}

// differences are the timings that are not those of curl, within the noise of a
// machine that is busy with other tests. The least that was measured so far, ours
// and curl's, is in least: what disturbs only adds.
func differences(ours *fact.Fetch, theirs *curl, least map[string][2]float64) []string {
	var found []string
	near := func(what string, our *float64, their float64) {
		const noise = 10 // ms
		if our == nil {
			found = append(found, what+" was not measured")
			return
		}
		now := [2]float64{*our, their * 1000}
		if before, ok := least[what]; ok {
			now = [2]float64{min(now[0], before[0]), min(now[1], before[1])}
		}
		least[what] = now
		if math.Abs(now[0]-now[1]) > noise+now[1]/2 {
			found = append(found, fmt.Sprintf("%s took %.1f ms, with curl %.1f ms", what, now[0], now[1]))
		}
	}
	if theirs.exit != 0 || theirs.Hops > 0 { // curl sums the hops up
		return nil
	}
	near("connecting", ours.Timings.ConnectMS, theirs.Connect-theirs.Lookup)
	if ours.TLS != nil {
		near("TLS", ours.Timings.TLSMS, theirs.AppConnect-theirs.Connect)
	}
	near("the first byte", ours.Timings.FirstByteMS, theirs.StartTransfer-theirs.PreTransfer)
	near("everything", &ours.Timings.TotalMS, theirs.Total)
	return found
}
