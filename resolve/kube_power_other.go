//go:build !linux

package resolve

// readsEverything: only on Linux does a program get power that its user has not.
func readsEverything() bool { return false }

func mayRead(string) bool { return true }
