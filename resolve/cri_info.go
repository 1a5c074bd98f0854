package resolve

import (
	"bytes"
	"encoding/json"
	"math"
	"path"
	"strconv"
	"strings"
)

// criInfo is what is used of the part of an answer that a runtime gives to who
// asks for verbosity. CRI leaves its shape to the runtime; what is of another
// shape than those known counts as not said.
type criInfo struct {
	pid         int    // 0 for none
	sandboxID   string // of a container
	netnsPath   string // where the sandbox's network is pinned, a path of the host
	netnsClosed bool   // the runtime has taken the network down
	runtime     string // "runc", "kata": of containerd's runtimeType, CRI-O's handler
	hostFiles   map[string]string
}

// parseCRIInfo reads the map of an answer: one entry "info" that is an object in
// JSON (containerd, CRI-O since 1.18), or an entry for each field (CRI-O before).
//
//	containerd  {"pid":1,"netNamespaceClosed":false,"runtimeType":"io.containerd.runc.v2","runtimeSpec":{},"sandboxMetadata":{}}
//	CRI-O       {"pid":1,"runtimeSpec":{}}, a sandbox without pause process {"runtimeSpec":{}}
//	cri-dockerd {"sandboxID":"","pid":1}, for a sandbox nothing at all
//
// Kata Containers name one process for a sandbox and all its containers: the
// monitor of the virtual machine, or their shim, which is not in the pod's network.
func parseCRIInfo(info map[string]string) criInfo {
	fields := map[string]json.RawMessage{}
	for key, value := range info {
		if key != "info" {
			fields[key] = json.RawMessage(value)
		}
	}
	decode([]byte(info["info"]), &fields)
	parsed := criInfo{
		pid:       pidIn(fields["pid"]),
		sandboxID: wordIn(fields["sandboxID"]),
		runtime:   runtimeOfType(wordIn(fields["runtimeType"])),
	}
	decode(fields["netNamespaceClosed"], &parsed.netnsClosed)
	var spec criSpec
	decode(fields["runtimeSpec"], &spec)
	var metadata struct {
		Metadata struct{ NetNSPath string }
	}
	decode(fields["sandboxMetadata"], &metadata)
	parsed.netnsPath = pinnedPath(metadata.Metadata.NetNSPath)
	for _, n := range spec.Linux.Namespaces {
		if p := pinnedPath(n.Path); n.Type == "network" && p != "" {
			parsed.netnsPath = p
		}
	}
	parsed.hostFiles = spec.hostFiles()
	if parsed.runtime == "" {
		parsed.runtime = nameIn(spec.Annotations[annotationHandler])
	}
	return parsed
}

// annotationHandler is where CRI-O tells the handler of a sandbox, which is in no
// field of its answers (1.37, internal/annotations/annotations.go). "" is the
// node's default one.
const annotationHandler = "io.kubernetes.cri-o.RuntimeHandler"

// criSpec is the part of an OCI runtime specification (config.json) that tells
// of network and resolver files.
type criSpec struct {
	Linux struct {
		Namespaces []struct{ Type, Path string }
	}
	Mounts      []struct{ Destination, Source string }
	Annotations map[string]string
}

// hostFiles says where the files lie that the runtime or the kubelet mounts.
func (s *criSpec) hostFiles() map[string]string {
	files := map[string]string{}
	for _, m := range s.Mounts {
		destination := path.Clean(m.Destination)
		switch destination {
		case "/etc/resolv.conf", "/etc/hosts", "/etc/hostname":
			if path.IsAbs(m.Source) && printable(m.Source) {
				files[destination] = path.Clean(m.Source) // of two the later one lies above
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	return files
}

// decode reads JSON as far as it fits dst, and into nothing what is no JSON. An
// object may have been put into a string once more.
func decode(data []byte, dst any) {
	data = bytes.TrimSpace(data)
	var inner string
	if len(data) > 0 && data[0] == '"' && unmarshalForeign(data, &inner) == nil {
		data = []byte(inner)
	}
	_ = unmarshalForeign(data, dst) // what is no JSON is left out; a field of another type is left out, the rest is read
}

// pidIn reads a number, be it in quotes; 0 for what cannot be that of a process.
func pidIn(data json.RawMessage) int {
	f, err := strconv.ParseFloat(wordIn(data), 64)
	if err != nil || f < 1 || f > maxPID || f != math.Trunc(f) {
		return 0
	}
	return int(f)
}

// wordIn reads a string, quoted or not.
func wordIn(data json.RawMessage) string {
	s := strings.TrimSpace(string(data))
	var quoted string
	if unmarshalForeign(data, &quoted) == nil {
		s = strings.TrimSpace(quoted)
	}
	return text(s)
}

// pinnedPath accepts the path of a network namespace that outlives the processes
// in it. One below /proc names a process, which is checked before it is entered.
func pinnedPath(p string) string {
	if !path.IsAbs(p) || len(p) > maxPath || !printable(p) {
		return ""
	}
	if p = path.Clean(p); strings.HasPrefix(p, "/proc/") {
		return ""
	}
	return p
}

// runtimeOfType takes the name out of containerd's runtime type:
// "io.containerd.runc.v2" is runc. It may be the path of a shim, too.
func runtimeOfType(t string) string {
	if rest, ours := strings.CutPrefix(t, "io.containerd."); ours {
		name, _, _ := strings.Cut(rest, ".")
		return name
	}
	return t[strings.LastIndexByte(t, '/')+1:]
}
