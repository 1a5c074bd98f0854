package main

import (
	"os"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare is the part of the cgroup's memory that Go may use. The rest is for what
// Go does not count, and for other processes: in the node's pod the server that waits,
// and one for each front.
const memoryShare = 0.75

// limitMemory lets the heap grow to five times what is in use before the garbage
// collector runs, unless GOGC says otherwise. In use are a few megabytes, and a call
// leaves 50 kB: at Go's default every eightieth call pays for a collection. Near the
// limit of its cgroup (v1 or v2) the collector runs as often as needed; GOMEMLIMIT wins.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	// The limit is set once the server has started: the library reads all mounts, which
	// takes a fiftieth of the start. A machine without cgroups has no limit.
	time.AfterFunc(100*time.Millisecond, func() { _, _ = memlimit.Set(memlimit.WithRatio(memoryShare)) })
}
