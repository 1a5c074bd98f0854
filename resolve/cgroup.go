package resolve

import (
	"path/filepath"
	"strings"
)

// cgroupRef is what a process's cgroup says of the container it belongs to.
type cgroupRef struct {
	ContainerID string // 64 hexadecimal digits; "" for none
	PodUID      string // with dashes where it has them; "" for none
	// Inner is a container that the container runs by itself, and in which the process
	// is; "" for none.
	Inner string
	// Nested: the pod is in a container, or the container in the session of a user.
	// Whoever is root there can write whatever names he likes.
	Nested bool
	// place is the container's cgroup, which tells two of one ID apart.
	place string
}

// parseCgroup reads /proc/PID/cgroup (cgroups(7)) in every shape that runtimes
// give it: version 1, 2 and both; the systemd and the cgroupfs driver.
//
//	0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope
//	0::/kubepods/besteffort/pod<uid>/<id>
//	1:name=systemd:/docker/<id>
//	5:cpu:/system.slice/containerd.service/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>
//	0::/docker/<outer id>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<uid>.slice/crio-<id>.scope/container
//
// The outermost pod counts, and without a pod the outermost container: what stands
// below a container may be written by whoever is root in it. Only what is around the
// node itself is passed over, see [aroundNode]: a node may be a container (kind).
//
// Nothing is anchored: what stands around UID and ID differs too much. A
// monitor beside its container (crio-conmon-<id>.scope) is in no container, and
// a process in a pod's cgroup without an ID is a shim at best, so the UID counts
// only together with an ID.
func parseCgroup(data, around string) cgroupRef {
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
		switch ref := parseCgroupPath(path, around); {
		case ref.ContainerID == "":
		case found.ContainerID == "", found.PodUID == "" && ref.PodUID != "" && ref.ContainerID == found.ContainerID:
			found = ref
		case ref.ContainerID != found.ContainerID:
			return cgroupRef{} // one of them is not the runtime's word
		}
	}
	return found
}

func parseCgroupPath(path, around string) cgroupRef {
	var ref, outer cgroupRef // outer is that of the container around the node
	session, before := false, ""
	for end := 0; end < len(path); {
		start := end
		if end = strings.IndexByte(path[start:], '/') + start; end < start {
			end = len(path)
		}
		segment := path[start:end]
		end++
		if len(segment) < idLength/2 { // neither a UID nor an ID
			session, before = session || segment == "user.slice", segment
			continue
		}
		if ref.ContainerID == "" && strings.Contains(segment, "conmon") {
			return cgroupRef{}
		}
		id := containerIDIn(segment)
		if before == "libpod_parent" && segment == id || strings.Contains(segment, "libpod_pod_") {
			id = "" // of a pod of podman's, with either driver
		}
		before = segment
		if ref.PodUID == "" {
			if uid := podUIDIn(segment); uid != "" {
				ref = cgroupRef{PodUID: uid, Nested: session || ref.ContainerID != ""}
			}
		}
		switch {
		case id == "" || id == ref.ContainerID:
		case ref.ContainerID != "":
			ref.Inner = id
		default:
			ref.ContainerID, ref.Nested, ref.place = id, ref.Nested || session, path[:end-1]
			if strings.Contains(around, id) {
				outer, ref, session = ref, cgroupRef{}, false
			}
		}
	}
	if ref.ContainerID == "" {
		return outer
	}
	return ref
}

// aroundNode is the cgroup of the node's first process. The containers in it are around
// the node, and around each of its processes (kind in version 1, or in a pod).
func aroundNode(procRoot string) string {
	_, data, err := readBounded(filepath.Join(procRoot, "1/cgroup"), maxCgroup)
	if err != nil {
		return "" // not to be seen, or gone, as in a test
	}
	return string(data)
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
