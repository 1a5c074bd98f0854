package doctor

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mountEntry is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	point, kind string
	// shared: mounts made in it appear in others, and the other way round. slave:
	// those made in what it was bound from appear here.
	shared, slave bool
	options       []string // those of the file system
}

func readMounts() ([]mountEntry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	var mounts []mountEntry
	for s := bufio.NewScanner(f); ; {
		if !s.Scan() {
			return mounts, s.Err()
		}
		if m, ok := parseMount(s.Text()); ok {
			mounts = append(mounts, m)
		}
	}
}

// parseMount reads one line:
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func parseMount(line string) (mountEntry, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 1 {
		return mountEntry{}, false
	}
	m := mountEntry{point: unescape(left[4]), kind: right[0]}
	for _, tag := range left[6:] {
		m.shared = m.shared || strings.HasPrefix(tag, "shared:")
		m.slave = m.slave || strings.HasPrefix(tag, "master:")
	}
	if len(right) > 2 {
		m.options = strings.Split(right[2], ",")
	}
	return m, true
}

// unescape reads the octal escapes of spaces and the like: \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountOf is the mount that path lies in, of several at one place the last.
func mountOf(mounts []mountEntry, path string) (mountEntry, bool) {
	path = filepath.Clean(path)
	best, found := mountEntry{}, false
	for _, m := range mounts {
		inside := m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")
		if inside && len(m.point) >= len(best.point) {
			best, found = m, true
		}
	}
	return best, found
}

// propagation looks whether network namespaces that get a name after the start
// are seen. Each is a mount, made in the node's own mount namespace.
func propagation(root string, mounts []mountEntry, own bool) Check {
	c := Check{ID: "netns_mounts", Status: OK}
	// Links lead elsewhere: /var/run to /run, or the root itself.
	path := filepath.Join(root, "run/netns")
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	m, found := mountOf(mounts, path)
	switch {
	case own:
		c.Detail = "the node's own mount namespace"
	case !found:
		c.Status, c.Detail = Info, "no mount holds "+path
	case m.shared || m.slave:
		c.Detail = fmt.Sprintf("new names in %s appear here: it is in %s, which follows the node's mounts", path, m.point)
	default:
		c.Status, c.Detail = Warn, fmt.Sprintf("%s is in %s, which does not follow the node's mounts (private)", path, m.point)
		c.Cost = "network namespaces that are named after this start cannot be opened by name or by the runtime's path (not_a_netns); by pid they can"
		c.Fix = "in a pod: mountPropagation: HostToContainer for the node's root; with docker: -v /:" + mountedAt(root) + ":ro,rslave"
	}
	return c
}

func mountedAt(root string) string {
	if filepath.Clean(root) == "/" {
		return "/host"
	}
	return filepath.Clean(root)
}

// hidePID looks whether /proc hides other users' processes.
func hidePID(root string, mounts []mountEntry, ptrace bool) Check {
	c := Check{ID: "hidepid", Status: OK, Detail: "processes of all users are seen"}
	proc := filepath.Join(root, "proc")
	m, found := mountOf(mounts, proc)
	if !found || m.kind != "proc" {
		return c // host_root says so
	}
	i := slices.IndexFunc(m.options, func(o string) bool { return strings.HasPrefix(o, "hidepid=") })
	if i < 0 {
		return c
	}
	// proc(5): 0 and off hide nothing.
	value := strings.TrimPrefix(m.options[i], "hidepid=")
	switch {
	case value == "0" || value == "off":
	case ptrace && value != "4" && value != "ptraceable":
		c.Detail = proc + " has hidepid=" + value + ", which CAP_SYS_PTRACE lifts"
	case ptrace:
		c.Status, c.Detail = Info, proc+" has hidepid="+value+": what a security module protects is not seen, all else is"
	default:
		c.Status, c.Detail = Warn, proc+" has hidepid="+value
		c.Cost = "processes of other users are not seen, so their pods cannot be found by files or cgroups, nor entered"
		c.Fix = "give CAP_SYS_PTRACE"
	}
	return c
}
