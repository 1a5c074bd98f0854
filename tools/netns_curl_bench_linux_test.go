package tools

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
)

// BenchmarkCurl times, in turns and so under the same load, what an engineer
// runs by hand (nsenter -t PID -n curl URL), the tool with everything around
// it, and one connection attempt with what is measured around it.
func BenchmarkCurl(b *testing.B) {
	bench, pods := newCurlbench(b)
	at, err := pods[1].Serve(":80", http.NotFoundHandler())
	if err != nil {
		b.Fatal(err)
	}
	url := "http://" + at.String() + "/"
	pid := strconv.Itoa(pods[0].PID)
	arguments, err := json.Marshal(map[string]any{"pid": pods[0].PID, "url": url})
	if err != nil {
		b.Fatal(err)
	}
	prober := attempt.New()
	var byHand, tool, bare []time.Duration
	for b.Loop() {
		byHand = append(byHand, timed(b, func() error {
			return exec.Command("nsenter", "-t", pid, "-n", "curl", "-q", "-s", "-o", "/dev/null", url).Run()
		}))
		tool = append(tool, timed(b, func() error {
			answer := bench.Call(b.Context(), dispatch.Call{Tool: "netns_curl", Arguments: arguments})
			if answer.Error != nil {
				b.Fatal(answer.Error.Message)
			}
			return nil
		}))
		bare = append(bare, timed(b, func() error {
			conn, a, err := prober.Connect(b.Context(), pods[0].Handle, attempt.Request{Address: at})
			if err != nil {
				return err
			}
			if a.Outcome != fact.OutcomeOK {
				b.Fatal(a.Why)
			}
			return conn.Close()
		}))
	}
	b.ReportMetric(microseconds(median(byHand)), "by-hand-µs")
	b.ReportMetric(microseconds(median(tool)), "tool-µs")
	b.ReportMetric(microseconds(median(bare)), "connect-µs")
	b.ReportMetric(float64(median(byHand))/float64(median(tool)), "tool-times-faster")
	b.ReportMetric(0, "ns/op") // three different things: no figure of interest
}
