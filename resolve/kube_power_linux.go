package resolve

import "golang.org/x/sys/unix"

// readsEverything reports whether this process may read files that its user may
// not: its program has capabilities (setcap), or a service manager gave it some.
func readsEverything() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	const power = 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_DAC_OVERRIDE
	return data[0].Effective&power != 0
}

// mayRead reports whether the user whose process this is may read the file.
// access(2) asks for the real user, and leaves aside capabilities that are not his.
func mayRead(path string) bool {
	return !readsEverything() || unix.Access(path, unix.R_OK) == nil
}
