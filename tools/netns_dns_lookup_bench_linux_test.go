package tools

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/tools/probe/lookup"
)

// BenchmarkDNSLookup times, in turns and so under the same load, what an
// engineer runs by hand (nsenter -t PID -n dig, for the one name that is known
// to exist), the tool, which walks the whole search list, and the bare lookup.
func BenchmarkDNSLookup(b *testing.B) {
	if _, err := exec.LookPath("dig"); err != nil {
		b.Skip("dig is not installed")
	}
	const full, address = "api.shop.svc.cluster.local.", "10.96.1.2"
	bed := newDNSBed(b, zoneHandler(b, full+" 30 IN A "+address))
	pod := bed.web(b, nil, clusterSearch, "nameserver "+bed.at, "options ndots:5")
	arguments, err := json.Marshal(map[string]any{"pid": pod.PID, "name": "api"})
	if err != nil {
		b.Fatal(err)
	}
	files, err := bed.lab.Home.OpenFiles(pod.Root)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	target := lookup.Target{Network: lookup.Network{Handle: pod.Handle}, Files: files, WholeRoot: true}
	var byHand, tool, bare []time.Duration
	for b.Loop() {
		byHand = append(byHand, timed(b, func() error {
			out, err := exec.Command("nsenter", "-t", strconv.Itoa(pod.PID), "-n", "dig", "@"+bed.at, "+short", full).Output()
			if strings.TrimSpace(string(out)) != address {
				b.Fatalf("dig says %q", out)
			}
			return err
		}))
		tool = append(tool, timed(b, func() error {
			answer := bed.Call(b.Context(), dispatch.Call{Tool: dnsLookupTool, Arguments: arguments})
			if answer.Error != nil {
				b.Fatal(answer.Error.Message)
			}
			return nil
		}))
		bare = append(bare, timed(b, func() error {
			found, err := lookup.Run(b.Context(), target, lookup.Request{Name: "api"})
			if err == nil && found.Outcome != "answered" {
				b.Fatal(found.Outcome)
			}
			return err
		}))
	}
	b.ReportMetric(microseconds(median(byHand)), "by-hand-µs")
	b.ReportMetric(microseconds(median(tool)), "tool-µs")
	b.ReportMetric(microseconds(median(bare)), "bare-µs")
	b.ReportMetric(float64(median(byHand))/float64(median(tool)), "tool-times-faster")
	b.ReportMetric(float64(median(byHand))/float64(median(bare)), "bare-times-faster")
	b.ReportMetric(0, "ns/op") // three different things: no figure of interest
}
