package resolve

import "strings"

// cgroupRef is what a process's cgroup says of the container it belongs to.
type cgroupRef struct {
	ContainerID string // 64 hexadecimal digits; "" for none
	PodUID      string // with dashes where it has them; "" for none
}

// parseCgroup reads /proc/PID/cgroup (cgroups(7)) in every shape that runtimes
// give it: version 1, 2 and both; the systemd and the cgroupfs driver; nested in
// the container of a node (kind, docker in docker), where the innermost counts.
//
//	0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope
//	0::/kubepods/besteffort/pod<uid>/<id>
//	1:name=systemd:/docker/<id>
//	5:cpu:/system.slice/containerd.service/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>
//	0::/docker/<outer id>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<uid>.slice/crio-<id>.scope/container
//
// Nothing is anchored: what stands around UID and ID differs too much. A
// monitor beside its container (crio-conmon-<id>.scope) is in no container, and
// a process in a pod's cgroup without an ID is a shim at best, so the UID counts
// only together with an ID.
func parseCgroup(data string) cgroupRef {
	var found cgroupRef
	for line := range strings.Lines(data) {
		// hierarchy-ID:controllers:path; the path may hold colons itself.
		_, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		_, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		// Hierarchies of version 1 agree with each other, but some may be
		// unmanaged and say "/".
		ref := parseCgroupPath(path)
		if found.ContainerID == "" || found.PodUID == "" && ref.PodUID != "" && ref.ContainerID == found.ContainerID {
			found = ref
		}
	}
	return found
}

func parseCgroupPath(path string) cgroupRef {
	var ref cgroupRef
	for rest, more := path, true; more && ref.PodUID == ""; {
		var segment string
		rest, segment, more = cutLast(rest, '/')
		if strings.Contains(segment, "conmon") {
			return cgroupRef{}
		}
		switch id := containerIDIn(segment); {
		case id == "" || id == ref.ContainerID:
		case ref.ContainerID == "":
			ref.ContainerID = id
		default:
			// The container of an outer node or pod. What stands above it is not
			// the inner one's.
			return ref
		}
		ref.PodUID = podUIDIn(segment)
	}
	if ref.ContainerID == "" {
		return cgroupRef{}
	}
	return ref
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

const idLength = 64

// containerIDIn finds a run of exactly 64 hexadecimal digits.
func containerIDIn(segment string) string {
	start := 0
	for i := 0; i <= len(segment); i++ {
		if i < len(segment) && isHexDigit(segment[i]) {
			continue
		}
		if i-start == idLength {
			return segment[start:i]
		}
		start = i + 1
	}
	return ""
}

// podUIDIn finds "pod" with a UID after it: a UUID with dashes (cgroupfs) or
// underscores (systemd, which reads a dash as a level), or the 32 digits of a
// static pod.
func podUIDIn(segment string) string {
	for {
		i := strings.LastIndex(segment, "pod")
		if i < 0 {
			return ""
		}
		if uid := uidAt(segment[i+len("pod"):]); uid != "" && (i == 0 || segment[i-1] == '-') {
			return uid
		}
		segment = segment[:i]
	}
}

// uidAt reads a UID that s begins with and that ends there.
func uidAt(s string) string {
	const uuid, hash = 36, 32
	end := strings.IndexFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' && c != '_'
	})
	if end < 0 {
		end = len(s)
	}
	candidate := s[:end]
	switch {
	case len(candidate) == hash && isHex(candidate):
		return candidate
	case len(candidate) == uuid:
		uid := strings.ReplaceAll(candidate, "_", "-")
		if isUUID(uid) {
			return uid
		}
	}
	return ""
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHexDigit(s[i]) {
				return false
			}
		}
	}
	return true
}

func isHexDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
