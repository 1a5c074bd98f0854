//go:build !linux

package resolve

// whoMayUse says nothing where no container runtime has a socket.
func whoMayUse(string) string { return "" }
