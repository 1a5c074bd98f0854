package nsexec

import "runtime"

// The main thread must never enter a namespace: it outlives a goroutine that
// exits locked to it (runtime/proc.go: "This is the main thread. Just wedge
// it."), and /proc/self/net would then show the target for good.
func init() { runtime.LockOSThread() }
