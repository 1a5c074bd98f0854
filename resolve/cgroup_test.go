package resolve

import (
	"strings"
	"testing"
)

const (
	idA     = "4f2a9c3b5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f701"
	idB     = "b17e0000000000000000000000000000000000000000000000000000000000ff"
	uidA    = "7a1c0d52-3f0e-4b6c-9c1e-2d5b8a9f0e11"
	uidLine = "7a1c0d52_3f0e_4b6c_9c1e_2d5b8a9f0e11"
	uidHash = "0f3e5d7c9b1a2f4e6d8c0b1a3f5e7d9c"
)

func TestParseCgroup(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data string
		want cgroupRef
	}{
		"v2 systemd containerd": {
			"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidLine + ".slice/cri-containerd-" + idA + ".scope\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"v2 systemd guaranteed": {
			"0::/kubepods.slice/kubepods-pod" + uidLine + ".slice/crio-" + idA + ".scope\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"v2 systemd crun": {
			"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidLine + ".slice/crio-" + idA + ".scope/container\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"v2 systemd docker": {
			"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidLine + ".slice/docker-" + idA + ".scope\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"v2 cgroupfs":              {"0::/kubepods/burstable/pod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idA, PodUID: uidA}},
		"v2 cgroupfs guaranteed":   {"0::/kubepods/pod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idA, PodUID: uidA}},
		"v2 static pod":            {"0::/kubepods/burstable/pod" + uidHash + "/" + idA, cgroupRef{ContainerID: idA, PodUID: uidHash}},
		"v2 static pod, systemd":   {"0::/kubepods.slice/kubepods-pod" + uidHash + ".slice/crio-" + idA + ".scope", cgroupRef{ContainerID: idA, PodUID: uidHash}},
		"v2 docker, systemd":       {"0::/system.slice/docker-" + idA + ".scope\n", cgroupRef{ContainerID: idA}},
		"v2 docker, cgroupfs":      {"0::/docker/" + idA + "\n", cgroupRef{ContainerID: idA}},
		"v2 inside of a container": {"0::/docker/" + idA + "/system.slice/nginx.service\n", cgroupRef{ContainerID: idA}},
		"v2 relative":              {"0::/../../kubepods/pod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idA, PodUID: uidA}},
		"v2 podman":                {"0::/machine.slice/libpod-" + idA + ".scope/container\n", cgroupRef{ContainerID: idA}},
		"v1 all controllers": {
			"12:cpuset:/kubepods/besteffort/pod" + uidA + "/" + idA + "\n" +
				"5:cpu,cpuacct:/kubepods/besteffort/pod" + uidA + "/" + idA + "\n" +
				"1:name=systemd:/kubepods/besteffort/pod" + uidA + "/" + idA + "\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"v1 some unmanaged": {
			"9:rdma:/\n8:pids:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "\n0::/system.slice/containerd.service\n",
			cgroupRef{ContainerID: idA},
		},
		"v1 one knows the pod": {
			"8:pids:/" + idA + "\n1:name=systemd:/kubepods/pod" + uidA + "/" + idA + "\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"systemd path taken literally": {
			"5:cpu:/system.slice/containerd.service/kubepods-burstable-pod" + uidLine + ".slice:cri-containerd:" + idA + "\n",
			cgroupRef{ContainerID: idA, PodUID: uidA},
		},
		"kind": {
			"0::/docker/" + idB + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" +
				uidLine + ".slice/cri-containerd-" + idA + ".scope\n",
			cgroupRef{ContainerID: idA, PodUID: uidA, Nested: true},
		},
		"kind, cgroupfs":              {"0::/docker/" + idB + "/kubelet/kubepods/besteffort/pod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idA, PodUID: uidA, Nested: true}},
		"docker in docker":            {"0::/docker/" + idB + "/docker/" + idA + "\n", cgroupRef{ContainerID: idB, Inner: idA}},
		"docker in a pod":             {"0::/kubepods/pod" + uidA + "/" + idB + "/docker/" + idA + "\n", cgroupRef{ContainerID: idB, PodUID: uidA, Inner: idA}},
		"pod in docker in a pod":      {"0::/kubepods/pod" + uidHash + "/" + idB + "/kubepods/pod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idB, PodUID: uidHash, Inner: idA}},
		"pod imitated in a container": {"0::/docker/" + idB + "/kubepods/pod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idA, PodUID: uidA, Nested: true}},
		"pod imitated in a session": {
			"0::/user.slice/user-1000.slice/user@1000.service/kubepods/pod" + uidA + "/" + idA + "\n",
			cgroupRef{ContainerID: idA, PodUID: uidA, Nested: true},
		},
		"rootless podman": {
			"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container\n", cgroupRef{ContainerID: idA, Nested: true},
		},
		"pod imitated, systemd": {
			"0::/kubepods.slice/kubepods-pod" + uidLine + ".slice/crio-" + idA + ".scope/kubepods.slice/kubepods-pod" + uidHash + ".slice/crio-" + idB + ".scope\n",
			cgroupRef{ContainerID: idA, PodUID: uidA, Inner: idB},
		},
		"podman's pod":          {"0::/libpod_parent/" + idB + "/libpod-" + idA + "\n", cgroupRef{ContainerID: idA}},
		"podman's pod, systemd": {"0::/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope/container\n", cgroupRef{ContainerID: idA}},
		"podman's pod imitated": {"0::/docker/" + idB + "/libpod_parent/" + idB[1:] + "0/libpod-" + idA + "\n", cgroupRef{ContainerID: idB, Inner: idA}},
		"monitor imitated":      {"0::/docker/" + idA + "/crio-conmon-" + idB + ".scope\n", cgroupRef{ContainerID: idA, Inner: idB}},
		"hierarchies disagree":  {"2:pids:/kubepods/pod" + uidA + "/" + idA + "\n1:cpu:/docker/" + idB + "\n", cgroupRef{}},
		"monitor of CRI-O": {
			"0::/kubepods.slice/kubepods-pod" + uidLine + ".slice/crio-conmon-" + idA + ".scope\n", cgroupRef{},
		},
		"monitor of podman":       {"0::/machine.slice/libpod-conmon-" + idA + ".scope\n", cgroupRef{}},
		"shim beside the sandbox": {"0::/kubepods/burstable/pod" + uidA + "\n", cgroupRef{}},
		"kata overhead":           {"0::/kubepods/pod" + uidA + "/kata_" + idA + "\n", cgroupRef{ContainerID: idA, PodUID: uidA}},
		"host":                    {"0::/\n", cgroupRef{}},
		"a session":               {"0::/user.slice/user-1000.slice/session-3.scope\n", cgroupRef{}},
		"63 digits":               {"0::/docker/" + idA[1:] + "\n", cgroupRef{}},
		"65 digits":               {"0::/docker/" + idA + "0\n", cgroupRef{}},
		"upper case":              {"0::/docker/" + strings.ToUpper(idA) + "\n", cgroupRef{}},
		"uid too long":            {"0::/kubepods/pod" + uidA + "a/" + idA + "\n", cgroupRef{ContainerID: idA}},
		"uid in a word":           {"0::/kubepods/tripod" + uidA + "/" + idA + "\n", cgroupRef{ContainerID: idA}},
		"colons in the path":      {"0::/a:b:c/" + idA + "\n", cgroupRef{ContainerID: idA}},
		"no path":                 {"0:\n", cgroupRef{}},
		"empty":                   {"", cgroupRef{}},
		"garbage":                 {"\x00\xff\n:::\n", cgroupRef{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := parseCgroup(test.data, ""); !got.same(test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// same compares all but the place.
func (r cgroupRef) same(o cgroupRef) bool {
	r.place, o.place = "", ""
	return r == o
}

// What is around the node is around all its processes, whatever that is called.
func TestParseCgroupAroundNode(t *testing.T) {
	t.Parallel()
	for around, tests := range map[string]map[string]cgroupRef{
		"0::/docker/" + idB + "/init.scope\n": {
			"/docker/" + idB + "/kubelet/kubepods/pod" + uidA + "/" + idA:                      {ContainerID: idA, PodUID: uidA},
			"/docker/" + idB + "/docker/" + idA:                                                {ContainerID: idA},
			"/docker/" + idB + "/system.slice/kubelet.service":                                 {ContainerID: idB},
			"/docker/" + idA + "/docker/" + idB:                                                {ContainerID: idA, Inner: idB},
			"/docker/" + idB + "/docker/" + idA + "/kubepods/pod" + uidA + "/" + idA[1:] + "f": {ContainerID: idA[1:] + "f", PodUID: uidA, Nested: true},
		},
		"4:memory:/kubepods/pod" + uidHash + "/" + idB + "\n0::/\n": {
			"/kubepods/pod" + uidHash + "/" + idB + "/kubepods/pod" + uidA + "/" + idA: {ContainerID: idA, PodUID: uidA},
			"/kubepods/pod" + uidHash + "/" + idB:                                      {ContainerID: idB, PodUID: uidHash},
			"/kubepods/pod" + uidHash + "/" + idA:                                      {ContainerID: idA, PodUID: uidHash},
		},
	} {
		for path, want := range tests {
			if got := parseCgroup("0::"+path+"\n", around); !got.same(want) {
				t.Errorf("%s around %s: got %+v, want %+v", around, path, got, want)
			}
		}
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("0::/kubepods.slice/kubepods-pod" + uidLine + ".slice/crio-" + idA + ".scope/container\n")
	f.Add("5:cpu:/x/kubepods-burstable-pod" + uidLine + ".slice:cri-containerd:" + idA + "\n1:name=systemd:/")
	f.Add("0::/docker/" + idB + "/kubelet/kubepods/pod" + uidHash + "/" + idA)
	f.Fuzz(func(t *testing.T, data string) {
		ref := parseCgroup(data, "")
		if ref.ContainerID != "" && (len(ref.ContainerID) != idLength || !isHex(ref.ContainerID) || !strings.Contains(data, ref.ContainerID)) {
			t.Errorf("container %q is no ID of %q", ref.ContainerID, data)
		}
		if ref.PodUID != "" && !isUUID(ref.PodUID) && (len(ref.PodUID) != 32 || !isHex(ref.PodUID)) {
			t.Errorf("%q is no UID", ref.PodUID)
		}
		if ref.ContainerID == "" && ref != (cgroupRef{}) {
			t.Errorf("a pod without a container: %+v", ref)
		}
	})
}
