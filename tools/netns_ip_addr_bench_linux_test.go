package tools

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/probe"
)

// BenchmarkIPAddr times, in turns and so under the same load, what an engineer
// runs by hand (nsenter -t PID -n ip -j -d addr), the tool with everything
// around it, and the bare measurement. It reports medians and how many times
// faster the latter two are.
func BenchmarkIPAddr(b *testing.B) {
	bench := newTestbench(b, nil)
	pod := bench.lab.Pod(b, lab.PodSpec{IPv6: true})
	pid := strconv.Itoa(pod.PID)
	arguments, err := json.Marshal(map[string]any{"pid": pod.PID, "details": true})
	if err != nil {
		b.Fatal(err)
	}
	var byHand, tool, bare []time.Duration
	for b.Loop() {
		byHand = append(byHand, timed(b, func() error {
			return exec.Command("nsenter", "-t", pid, "-n", "ip", "-j", "-d", "addr").Run()
		}))
		tool = append(tool, timed(b, func() error {
			answer := bench.Call(b.Context(), dispatch.Call{Tool: ipAddrTool, Arguments: arguments})
			if answer.Error != nil {
				b.Fatal(answer.Error.Message)
			}
			return nil
		}))
		bare = append(bare, timed(b, func() error {
			list, err := probe.Links(context.Background(), pod.Handle, probe.LinkOptions{})
			if err != nil {
				return err
			}
			return probe.HostPeers(context.Background(), pod.Handle, bench.lab.Node.Handle, list.Links, probe.LinkOptions{})
		}))
	}
	b.ReportMetric(microseconds(median(byHand)), "by-hand-µs")
	b.ReportMetric(microseconds(median(tool)), "tool-µs")
	b.ReportMetric(microseconds(median(bare)), "bare-µs")
	b.ReportMetric(float64(median(byHand))/float64(median(tool)), "tool-times-faster")
	b.ReportMetric(float64(median(byHand))/float64(median(bare)), "bare-times-faster")
	b.ReportMetric(0, "ns/op") // three different things: no figure of interest
}

// BenchmarkIPAddrManyLinks is one call on 300 interfaces.
func BenchmarkIPAddrManyLinks(b *testing.B) {
	bench := newTestbench(b, nil)
	pod := bench.lab.Pod(b, lab.PodSpec{})
	var commands []byte
	for i := range 150 {
		commands = append(commands, "link add v"+strconv.Itoa(i)+" type veth peer name w"+strconv.Itoa(i)+"\n"...)
	}
	ip(b, pod.Netns, string(commands))
	b.ReportAllocs()
	for b.Loop() {
		list, err := probe.Links(context.Background(), pod.Handle, probe.LinkOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if len(list.Links) != 302 || list.Links[0].AddrInfo == nil || list.Links[0].Flags == nil {
			b.Fatalf("%d links, the first is %+v", len(list.Links), list.Links[0])
		}
	}
}

func timed(b *testing.B, f func() error) time.Duration {
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
