package resolve

import (
	"strings"
	"testing"
)

func TestParsePodLog(t *testing.T) {
	t.Parallel()
	tests := map[string]podLog{
		"shop_web-0_" + uidA:                      {Namespace: "shop", Pod: "web-0", UID: uidA},
		"kube-system_etcd-n1_" + uidHash:          {Namespace: "kube-system", Pod: "etcd-n1", UID: uidHash},
		"a_web.example.com_own-uid":               {Namespace: "a", Pod: "web.example.com", UID: "own-uid"},
		"shop_web-0":                              {},
		"shop_web-0_" + uidA + "_x":               {},
		"__" + uidA:                               {},
		"shop_.._" + uidA:                         {},
		"shop_web 0_" + uidA:                      {},
		"shop_web\x1b[2J_" + uidA:                 {},
		"_web-0_":                                 {},
		"shop_" + strings.Repeat("x", 300) + "_1": {},
		uidA: {},
		"":   {},
	}
	for name, want := range tests {
		if got, ok := parsePodLog(name); got != want || ok != (want.Pod != "") {
			t.Errorf("%q: got %+v, %v, want %+v", name, got, ok, want)
		}
	}
}

func TestParseContainerLog(t *testing.T) {
	t.Parallel()
	web := podLog{Namespace: "shop", Pod: "web-0", UID: uidA}
	name, target := "web-0_shop_app-"+idA+".log", "/var/log/pods/shop_web-0_"+uidA+"/app/3.log"
	long := strings.Repeat("x", 250)
	tests := []struct {
		what, name, target string
		want               containerLog
	}{
		{"as the kubelet makes them", name, target, containerLog{pod: web, name: "app", id: idA, restarts: 3}},
		{"another place", name, "/data/logs/shop_web-0_" + uidA + "/app/0.log", containerLog{pod: web, name: "app", id: idA}},
		{"relative", name, "../pods/shop_web-0_" + uidA + "/app/0.log", containerLog{pod: web, name: "app", id: idA}},
		{"a name that was cut", long[:186] + "-" + idA + ".log", "/var/log/pods/shop_" + long + "_" + uidA + "/app/0.log",
			containerLog{pod: podLog{Namespace: "shop", Pod: long, UID: uidA}, name: "app", id: idA}},
		{"no link", name, "", containerLog{}},
		{"a link to elsewhere", name, "/etc/passwd", containerLog{}},
		{"no ID", "web-0_shop_app.log", target, containerLog{}},
		{"a short ID", "web-0_shop_app-" + idA[1:] + ".log", target, containerLog{}},
		{"no number", name, "/var/log/pods/shop_web-0_" + uidA + "/app/x.log", containerLog{}},
		{"a number too large", name, "/var/log/pods/shop_web-0_" + uidA + "/app/99999999999.log", containerLog{}},
		{"climbing", name, "/var/log/pods/shop_web-0_" + uidA + "/../3.log", containerLog{}},
		{"control characters", name, "/var/log/pods/shop_web-0_" + uidA + "/a\x1bpp/3.log", containerLog{}},
	}
	for _, test := range tests {
		if got, ok := parseContainerLog(test.name, test.target); got != test.want || ok != (test.want.id != "") {
			t.Errorf("%s: got %+v, %v, want %+v", test.what, got, ok, test.want)
		}
	}
}

func TestParseRestarts(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]int{"0.log": 0, "17.log": 17, "0.log.20260102-150405": -1, "x.log": -1, "-1.log": -1, ".log": -1, "3": -1, "": -1} {
		n, ok := parseRestarts(file)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: got %d, %v, want %d", file, n, ok, want)
		}
	}
}

func TestPodGroupNames(t *testing.T) {
	t.Parallel()
	escaped := strings.ReplaceAll(uidA, "-", "_")
	tests := map[string][2]string{ // group to the burstable and the guaranteed one
		"kubepods.slice": {"kubepods-burstable.slice/kubepods-burstable-pod" + escaped + ".slice", "kubepods-pod" + escaped + ".slice"},
		"kubepods":       {"burstable/pod" + uidA, "pod" + uidA},
		"kubelet.slice/kubelet-kubepods.slice": {
			"kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + escaped + ".slice", "kubelet-kubepods-pod" + escaped + ".slice",
		},
		"kubelet/kubepods": {"burstable/pod" + uidA, "pod" + uidA},
	}
	for group, want := range tests {
		got := podGroupNames(group, uidA)
		if got[0] != want[0] || got[2] != want[1] {
			t.Errorf("%s: got %q, want %q", group, got, want)
		}
		// What is made here is what the search of all processes would read.
		for _, name := range got {
			if ref := parseCgroup("0::/"+group+"/"+name+"/cri-containerd-"+idA+".scope\n", ""); ref.PodUID != uidA || ref.ContainerID != idA {
				t.Errorf("%s: read as %+v", name, ref)
			}
		}
	}
}

func FuzzParseContainerLog(f *testing.F) {
	f.Add("web-0_shop_app-"+idA+".log", "/var/log/pods/shop_web-0_"+uidA+"/app/3.log")
	f.Add("-.log", "a_b_c/../0.log")
	f.Fuzz(func(t *testing.T, name, target string) {
		l, ok := parseContainerLog(name, target)
		if !ok {
			return
		}
		if again, ok := parsePodLog(l.pod.dir()); !ok || again != l.pod {
			t.Errorf("pod %+v is read again as %+v", l.pod, again)
		}
		for _, s := range []string{l.name, l.pod.Pod, l.pod.Namespace, l.pod.UID} {
			if checkName("", s, "") != nil {
				t.Errorf("%q came through", s)
			}
		}
		if len(l.id) != idLength || !isHex(l.id) || l.restarts < 0 {
			t.Errorf("got %+v", l)
		}
	})
}
