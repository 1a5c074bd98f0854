package resolve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCRIEndpoint(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"unix:///run/containerd/containerd.sock": "/run/containerd/containerd.sock",
		"/run/crio/crio.sock":                    "/run/crio/crio.sock",
	} {
		if got, err := parseCRIEndpoint(endpoint); err != nil || got != want {
			t.Errorf("%s: got %q, %v", endpoint, got, err)
		}
	}
	for endpoint, says := range map[string]string{
		"tcp://10.0.0.1:1234":       `scheme "tcp"`,
		"npipe:////./pipe/x":        `scheme "npipe"`,
		"http://localhost/":         `scheme "http"`,
		"unix://run/containerd":     "no absolute path",
		"run/containerd.sock":       "no absolute path",
		"unix://":                   "no absolute path",
		"/run/\x1b[31mcontainerd":   "control characters",
		strings.Repeat("/run/", 80): "",
	} {
		_, err := NewCRI(CRIOptions{Endpoint: endpoint})
		if says == "" {
			continue // it is an address, but cannot be connected to
		}
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "give unix:///") {
			t.Errorf("%s: got %v, want %q", endpoint, err, says)
		}
	}
}

func TestCRISockets(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "r")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	all, err := NewCRI(CRIOptions{Root: root})
	if err != nil || len(all) != len(criPlaces) {
		t.Fatalf("got %d sources, %v", len(all), err)
	}
	for i, s := range all {
		if _, err := s.List(t.Context()); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: got %v, want ErrAbsent", s.Name(), err)
		}
		path := filepath.Join(root, criPlaces[i].socket)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		if got, err := s.find(); err != nil || got != path {
			t.Errorf("%s: got %s, %v", s.Name(), got, err)
		}
		named, err := NewCRI(CRIOptions{Root: root, Endpoint: criPlaces[i].socket})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := named[0].find(); err != nil || got != path {
			t.Errorf("named: got %s, %v, want it below the root", got, err)
		}
	}
	named, err := NewCRI(CRIOptions{Root: root, Endpoint: "/nowhere.sock"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := named[0].List(t.Context()); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("got %v: an endpoint that was named and is not there is a failure", err)
	}
}

// endpointOf serves connections in some way; the source is at a usual place, or
// named.
func endpointOf(t *testing.T, named bool, serve func(net.Listener)) *CRI {
	t.Helper()
	l, path := listen(t)
	go serve(l)
	s := &CRI{name: "containerd", root: "/", socket: path, named: named}
	return s
}

func each(serve func(net.Conn)) func(net.Listener) {
	return func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer func() { _ = conn.Close() }(); serve(conn) }()
		}
	}
}

// oldRuntime speaks v1alpha2 only, whose messages are those of v1.
type oldRuntime interface {
	Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error)
}

type oldVersion struct{}

func (oldVersion) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "1.5.0"}, nil
}

func serveOld(l net.Listener) {
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "runtime.v1alpha2.RuntimeService", HandlerType: (*oldRuntime)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Version", Handler: func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := &runtimeapi.VersionRequest{}
			if err := dec(in); err != nil {
				return nil, err
			}
			return srv.(oldRuntime).Version(ctx, in)
		}}},
	}, oldVersion{})
	_ = s.Serve(l)
}

// hugeRuntime lists more than fits into an answer.
type hugeRuntime struct {
	runtimeapi.UnimplementedRuntimeServiceServer
}

func (hugeRuntime) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{Items: []*runtimeapi.PodSandbox{
		{Id: idA, Annotations: map[string]string{"config": strings.Repeat("x", maxCRIAnswer)}},
	}}, nil
}

func (hugeRuntime) ListContainers(context.Context, *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return &runtimeapi.ListContainersResponse{}, nil
}

func TestCRIBadPeers(t *testing.T) {
	t.Parallel()
	empty := func(l net.Listener) { _ = grpc.NewServer().Serve(l) }
	huge := func(l net.Listener) {
		s := grpc.NewServer(grpc.MaxSendMsgSize(2 * maxCRIAnswer))
		runtimeapi.RegisterRuntimeServiceServer(s, hugeRuntime{})
		_ = s.Serve(l)
	}
	web := func(l net.Listener) {
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.NotFoundHandler()}
		_ = s.Serve(l)
	}
	for name, test := range map[string]struct {
		serve  func(net.Listener)
		named  bool
		says   string
		absent bool
	}{
		"v1alpha2":          {serveOld, false, "only version v1alpha2", false},
		"no CRI":            {empty, false, "does not serve CRI", true},
		"no CRI, but named": {empty, true, "does not serve CRI", false},
		"too long":          {huge, false, "longer than 16 MiB", false},
		"a web server":      {web, false, "is no container runtime", false},
		"garbage": {each(func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n\x00\xff\x1b[31m garbage without end, longer than a frame's header")
			_, _ = io.Copy(io.Discard, c)
		}), false, "is no container runtime", false},
		"closes at once": {each(func(net.Conn) {}), false, "broke", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := endpointOf(t, test.named, test.serve)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := s.List(ctx)
			// Who closes what it does not understand may do so before all is written: the connection broke, then, before it said what it is.
			for test.says != "broke" && err != nil && strings.Contains(err.Error(), "broke") && ctx.Err() == nil {
				_, err = s.List(ctx)
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || errors.Is(err, ErrAbsent) != test.absent || !printable(err.Error()) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

func TestCRIDialErrors(t *testing.T) {
	t.Parallel()
	_, path := listen(t)
	for cause, says := range map[error]string{
		syscall.EACCES:       "no permission to use the socket " + path,
		syscall.ECONNREFUSED: "does not run",
		syscall.ENOENT:       "is gone",
		syscall.EINVAL:       "longer than one may be",
		syscall.EMFILE:       "too many open files",
	} {
		if err := explainDial(path, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", cause)}); !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

const sandboxPath = "/var/run/netns/cni-8f1a2b3c-0d4e-4f5a-9b6c-7d8e9f0a1b2c"

func TestParseCRIInfo(t *testing.T) {
	t.Parallel()
	spec := `{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"` + sandboxPath + `"}]},` +
		`"mounts":[{"destination":"/proc","source":"proc"},{"destination":"/etc/resolv.conf","source":"/s/resolv.conf","options":["rbind"]},{"destination":"/etc/hosts","source":"hosts"}]}`
	files := map[string]string{"/etc/resolv.conf": "/s/resolv.conf"}
	for name, test := range map[string]struct {
		info map[string]string
		want criInfo
	}{
		"nothing":     {nil, criInfo{}},
		"containerd":  {map[string]string{"info": `{"pid":42,"netNamespaceClosed":false,"runtimeType":"io.containerd.runc.v2","runtimeSpec":` + spec + `}`}, criInfo{pid: 42, netnsPath: sandboxPath, runtime: "runc", hostFiles: files}},
		"closed":      {map[string]string{"info": `{"pid":0,"netNamespaceClosed":true}`}, criInfo{netnsClosed: true}},
		"metadata":    {map[string]string{"info": `{"sandboxMetadata":{"Version":"v1","Metadata":{"NetNSPath":"` + sandboxPath + `"}},"runtimeSpec":null}`}, criInfo{netnsPath: sandboxPath}},
		"no pause":    {map[string]string{"info": `{"runtimeSpec":` + spec + `}`}, criInfo{netnsPath: sandboxPath, hostFiles: files}},
		"flat":        {map[string]string{"pid": "42", "sandboxID": "abcd", "runtimeSpec": spec}, criInfo{pid: 42, sandboxID: "abcd", netnsPath: sandboxPath, hostFiles: files}},
		"flat quoted": {map[string]string{"pid": `"42"`, "sandboxID": `"abcd"`}, criInfo{pid: 42, sandboxID: "abcd"}},
		"kata":        {map[string]string{"info": `{"pid":"7","runtimeType":"io.containerd.kata-qemu.v2"}`}, criInfo{pid: 7, runtime: "kata-qemu"}},
		"handler":     {map[string]string{"info": `{"pid":7,"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.RuntimeHandler":"kata"}}}`}, criInfo{pid: 7, runtime: "kata"}},
		"no handler":  {map[string]string{"info": `{"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.RuntimeHandler":"k a\u001b[31m"}}}`}, criInfo{}},
		"path of shim": {map[string]string{"info": `{"runtimeType":"/opt/bin/containerd-shim-runsc-v1"}`},
			criInfo{runtime: "containerd-shim-runsc-v1"}},
		"of a process": {map[string]string{"info": `{"pid":7,"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/proc/7/ns/net"}]}}}`}, criInfo{pid: 7}},
		"climbs":       {map[string]string{"info": `{"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/run/../proc/7/ns/net"}]}}}`}, criInfo{}},
		"relative":     {map[string]string{"info": `{"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"run/netns/a"}]}}}`}, criInfo{}},
		"zero":         {map[string]string{"info": `{"pid":0}`}, criInfo{}},
		"negative":     {map[string]string{"info": `{"pid":-1}`}, criInfo{}},
		"huge":         {map[string]string{"info": `{"pid":1e300}`}, criInfo{}},
		"fraction":     {map[string]string{"info": `{"pid":1.5}`}, criInfo{}},
		"odd types":    {map[string]string{"info": `{"pid":{"a":1},"sandboxID":[],"netNamespaceClosed":"yes","runtimeSpec":{"linux":[],"mounts":[{"destination":5},{"destination":"/etc/hosts","source":"/h"}]}}`}, criInfo{}},
		"no JSON":      {map[string]string{"info": `{"pid":42`}, criInfo{}},
		"an array":     {map[string]string{"info": `[1,2]`}, criInfo{}},
		"text in text": {map[string]string{"info": `"{\"pid\":42}"`}, criInfo{pid: 42}},
	} {
		got := parseCRIInfo(test.info)
		if name == "odd types" { // what is readable beside them may be read
			got.sandboxID, got.hostFiles = "", nil
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

// What runtimes have said of real pods. testdata/cri/README.md says who recorded it
// and where.
func TestParseCRIInfoRecorded(t *testing.T) {
	t.Parallel()
	const sandbox16 = "d9a346e8bce296a12ceeda51161cc1f6b807681b7aa682e2d198a0537e31c57b"
	kept16 := "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" + sandbox16
	files16 := map[string]string{"/etc/resolv.conf": kept16 + "/resolv.conf", "/etc/hosts": kept16 + "/hosts", "/etc/hostname": kept16 + "/hostname"}
	const sandbox22 = "ff0a7ef24d2220df25de52947d5168f46d39897fee85440cb03ab9b4f8686a85"
	kept22 := "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" + sandbox22
	files22 := map[string]string{
		"/etc/resolv.conf": kept22 + "/resolv.conf", "/etc/hostname": kept22 + "/hostname",
		"/etc/hosts": "/var/lib/kubelet/pods/a0c18a6d-be7d-4c4c-bfb0-028294f0c6e0/etc-hosts",
	}
	const pauseCRIO = "/var/data/crioruntimestorage/overlay-containers/134b58ab2e0cfd7432a9db818b1b4ec52fdc747333f0ba2c9342860dc2ea7c50/userdata"
	for name, want := range map[string]criInfo{
		"containerd-1.6-sandbox":   {pid: 11094, netnsPath: "/var/run/netns/cni-ab44bb84-e510-5b2e-e9b4-fe20143f69b8", runtime: "runc", hostFiles: map[string]string{"/etc/resolv.conf": kept16 + "/resolv.conf"}},
		"containerd-1.6-container": {pid: 11138, sandboxID: sandbox16, runtime: "runc", hostFiles: files16},
		"containerd-1.6-failed":    {sandboxID: sandbox16, runtime: "runc", hostFiles: files16},
		"containerd-2.2-sandbox":   {pid: 27327, netnsPath: "/var/run/netns/cni-15270460-333a-70cb-9324-c1ba81f98ebe", runtime: "runc", hostFiles: map[string]string{"/etc/resolv.conf": kept22 + "/resolv.conf"}},
		"containerd-2.2-container": {pid: 27360, sandboxID: sandbox22, runtime: "runc", hostFiles: files22},
		"containerd-2.2-failed":    {sandboxID: sandbox22, runtime: "runc", hostFiles: files22},
		// No process: what is entered is the path.
		"crio-dropped-sandbox": {netnsPath: "/var/run/netns/dec735d1-0e86-44c1-94e0-a102173334a4"},
		"crio-container":       {pid: 1835083, sandboxID: "1f04600dc6949359da68eee5fe7c4069706a567c07d1ef89fe3bbfdeac7a6dca"},
		"crio-pause-sandbox": {pid: 38091, netnsPath: "/var/run/netns/9abac4ae-94a6-4853-b299-e4c1c2c508c0",
			hostFiles: map[string]string{"/etc/resolv.conf": pauseCRIO + "/resolv.conf", "/etc/hostname": pauseCRIO + "/hostname"}},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "cri", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := parseCRIInfo(map[string]string{"info": string(data)}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func FuzzParseCRIInfo(f *testing.F) {
	f.Add("info", `{"pid":42,"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/run/netns/a"}]},"mounts":[{"destination":"/etc/hosts","source":"/h"}]}}`)
	f.Add("pid", "42")
	f.Add("runtimeSpec", `{"mounts":[null]}`)
	f.Add("info", `{"sandboxMetadata":{"Metadata":{"NetNSPath":"/x"}},"runtimeType":"io.containerd.kata.v2"}`)
	f.Add("info", `"\"\\\"{}\\\"\""`)
	f.Fuzz(func(t *testing.T, key, value string) {
		got := parseCRIInfo(map[string]string{key: value})
		if got.pid < 0 || got.pid > maxPID {
			t.Errorf("pid %d", got.pid)
		}
		paths := []string{got.netnsPath}
		for _, p := range got.hostFiles {
			paths = append(paths, p)
		}
		for _, p := range paths {
			if p != "" && (!filepath.IsAbs(p) || filepath.Clean(p) != p || !printable(p)) {
				t.Errorf("path %q", p)
			}
		}
		if strings.HasPrefix(got.netnsPath, "/proc/") {
			t.Errorf("path %q of a process", got.netnsPath)
		}
		if text(got.sandboxID) != got.sandboxID || !printable(got.runtime) {
			t.Errorf("got %+v", got)
		}
		status, ok := fromSandboxStatus(&runtimeapi.PodSandboxStatusResponse{
			Status: &runtimeapi.PodSandboxStatus{Id: idA, Metadata: &runtimeapi.PodSandboxMetadata{Name: key, Uid: value}},
			Info:   map[string]string{key: value},
		})
		if !ok || !printable(status.pod.Pod) {
			t.Errorf("got %+v", status)
		}
	})
}

// What a runtime leaves out, or makes up, must not matter.
func TestCRISparseAnswers(t *testing.T) {
	t.Parallel()
	pods := criPods{
		sandboxes: []criSandbox{
			fromPodSandbox(&runtimeapi.PodSandbox{Id: idA}),
			fromPodSandbox(&runtimeapi.PodSandbox{Id: fakeID("evil"), Metadata: &runtimeapi.PodSandboxMetadata{Name: "../../etc", Namespace: "\x1b[31m", Uid: "a b"}}),
			fromPodSandbox(&runtimeapi.PodSandbox{Id: fakeID("crictl"), Metadata: &runtimeapi.PodSandboxMetadata{Name: "web"}}),
		},
		containers: []criContainer{
			fromCRIContainer(&runtimeapi.Container{Id: fakeID("lost")}),
			fromCRIContainer(&runtimeapi.Container{Id: fakeID("app"), PodSandboxId: fakeID("crictl"), Metadata: &runtimeapi.ContainerMetadata{Name: "app"}}),
			fromCRIContainer(&runtimeapi.Container{Id: fakeID("late"), Labels: map[string]string{labelPod: "gone", labelNamespace: "shop"}}),
		},
	}
	ws := pods.workloads()
	var got []string
	for _, w := range ws {
		got = append(got, w.podName())
	}
	want := []string{idA, fakeID("evil"), "default/web", fakeID("lost"), "shop/gone"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
	if c := ws[2].Containers; len(c) != 1 || c[0].Name != "app" {
		t.Errorf("containers of web are %+v", c)
	}
	for _, q := range []Query{{Pod: idA}, {Pod: "web"}, {Container: fakeID("app")}, {Pod: "gone"}} {
		if _, err := choose(q, ws); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, r := range []*runtimeapi.PodSandboxStatusResponse{nil, {}, {Status: &runtimeapi.PodSandboxStatus{Id: "x"}}} {
		if s, ok := fromSandboxStatus(r); ok {
			t.Errorf("got %+v of nothing", s)
		}
	}
	for _, r := range []*runtimeapi.ContainerStatusResponse{nil, {}, {Status: &runtimeapi.ContainerStatus{Id: "x"}}} {
		if c, ok := fromContainerStatus(r); ok {
			t.Errorf("got %+v of nothing", c)
		}
	}
}

func TestCRIConversion(t *testing.T) {
	t.Parallel()
	for want, image := range map[string]*runtimeapi.ContainerStatus{
		"busybox:1.36":        {Image: &runtimeapi.ImageSpec{Image: "busybox:1.36"}, ImageRef: "sha256:11"},
		"nginx":               {Image: &runtimeapi.ImageSpec{Image: "sha256:11", UserSpecifiedImage: "nginx"}},
		"docker.io/a@sha256:": {Image: &runtimeapi.ImageSpec{Image: "sha256:11"}, ImageRef: "docker.io/a@sha256:"},
		"sha256:11":           {Image: &runtimeapi.ImageSpec{Image: "sha256:11"}, ImageRef: "sha256:22"},
		"":                    {},
	} {
		if got := imageName(image.GetImage(), image.GetImageRef()); got != want {
			t.Errorf("got image %q, want %q", got, want)
		}
	}
	// CRI-O tells the number of a process that has ended, and any runtime may tell
	// that of a sandbox that is not ready.
	info := map[string]string{"info": `{"pid":42}`}
	c, ok := fromContainerStatus(&runtimeapi.ContainerStatusResponse{Info: info, Status: &runtimeapi.ContainerStatus{
		Id: idA, State: runtimeapi.ContainerState_CONTAINER_EXITED, ExitCode: 137, Reason: "OOMKilled", FinishedAt: 5e9,
	}})
	if !ok || c.PID != 0 || c.ExitCode == nil || *c.ExitCode != 137 || c.Reason != "OOMKilled" || c.FinishedAt.Unix() != 5 || !c.StartedAt.IsZero() {
		t.Errorf("got %+v", c)
	}
	s, ok := fromSandboxStatus(&runtimeapi.PodSandboxStatusResponse{Info: info, Status: &runtimeapi.PodSandboxStatus{
		Id: idA, State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY, RuntimeHandler: "secure",
	}})
	if !ok || s.PID != 0 || s.State != StateExited || s.Runtime != "secure" {
		t.Errorf("got %+v", s)
	}
	// A handler may have any name; what it runs counts.
	s, _ = fromSandboxStatus(&runtimeapi.PodSandboxStatusResponse{
		Info:   map[string]string{"info": `{"runtimeType":"io.containerd.runsc.v1"}`},
		Status: &runtimeapi.PodSandboxStatus{Id: idA, RuntimeHandler: "secure"},
	})
	if s.Runtime != "runsc" {
		t.Errorf("runtime %q, want runsc", s.Runtime)
	}
	if unixNano(time.Time{}.UnixNano()) != (time.Time{}) || containerState(runtimeapi.ContainerState_CONTAINER_UNKNOWN) != "" {
		t.Error("what has not happened has a time, or what is unknown a state")
	}
}

// Of several places of one sort of runtime, those where none is are not
// mentioned, or once.
// A container that crashes again and again is a new one each time, of whose last end
// only the one before it can tell, or when it was made.
func TestCrashedLatelyOfPods(t *testing.T) {
	t.Parallel()
	now := time.Now()
	attempt := func(n int, state State, created, finished time.Duration) Container {
		c := Container{ID: idA, Name: "app", State: state, Restarts: n, Created: now.Add(-created)}
		if finished > 0 {
			c.FinishedAt = now.Add(-finished)
		}
		return c
	}
	const unknown = 0
	tests := map[string]struct {
		attempts []Container
		lately   bool
		finished time.Duration // unknown: is not said
	}{
		"the first":           {[]Container{attempt(0, StateRunning, time.Minute, unknown)}, false, unknown},
		"restarted":           {[]Container{attempt(1, StateRunning, time.Minute, unknown), attempt(0, StateExited, time.Hour, unknown)}, true, unknown},
		"restarted, end told": {[]Container{attempt(1, StateRunning, time.Minute, unknown), attempt(0, StateExited, time.Hour, 2*time.Minute)}, true, 2 * time.Minute},
		"restarted long ago":  {[]Container{attempt(1, StateRunning, time.Hour, unknown), attempt(0, StateExited, 2*time.Hour, unknown)}, false, unknown},
		"ended long ago":      {[]Container{attempt(1, StateRunning, time.Minute, unknown), attempt(0, StateExited, 2*time.Hour, time.Hour)}, false, time.Hour},
		"ended again":         {[]Container{attempt(1, StateExited, time.Minute, unknown), attempt(0, StateExited, time.Hour, 2*time.Minute)}, false, unknown},
		"both run":            {[]Container{attempt(1, StateRunning, time.Minute, unknown), attempt(0, StateRunning, time.Hour, unknown)}, false, unknown},
		"several": {[]Container{
			attempt(0, StateExited, 3*time.Hour, 2*time.Hour), attempt(2, StateRunning, time.Minute, unknown), attempt(1, StateExited, time.Hour, 3*time.Minute),
		}, true, 3 * time.Minute},
	}
	for name, test := range tests {
		got := latestOf(slices.Clone(test.attempts))
		var finished time.Time
		if test.finished != unknown {
			finished = now.Add(-test.finished)
		}
		if len(got) != 1 || got[0].CrashedLately(now) != test.lately || !got[0].FinishedAt.Equal(finished) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestCRIFamily(t *testing.T) {
	t.Parallel()
	all, err := NewCRI(CRIOptions{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var places []Source
	for _, s := range all {
		places = append(places, s)
	}
	said := func(sources ...Source) (steps, states string) {
		r := New(Config{Home: testHome(t), Root: t.TempDir(), Sources: sources})
		defer r.Close()
		r.limits.source = time.Minute
		reply := r.ask(t.Context(), question{query: Query{Pod: "web"}})
		if len(reply.failed) > 0 {
			t.Errorf("failed: %q", reply.failed)
		}
		for _, s := range reply.steps {
			steps += " " + s.Source + " " + s.Outcome
		}
		found, err := r.Discover(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, s := range found.Sources {
			states += " " + s.Name + " " + s.State
		}
		return steps, states
	}
	if steps, states := said(places...); steps != " cri skipped" || states != " cri absent" {
		t.Errorf("got steps%s and states%s", steps, states)
	}
	here := endpointOf(t, false, func(l net.Listener) {
		s := grpc.NewServer()
		runtimeapi.RegisterRuntimeServiceServer(s, emptyRuntime{})
		_ = s.Serve(l)
	})
	if steps, states := said(append(places, here)...); steps != " containerd none" || states != " containerd ok" {
		t.Errorf("got steps%s and states%s", steps, states)
	}
}

// emptyRuntime has nothing.
type emptyRuntime struct {
	runtimeapi.UnimplementedRuntimeServiceServer
}

func (emptyRuntime) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{}, nil
}

func (emptyRuntime) ListContainers(context.Context, *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return &runtimeapi.ListContainersResponse{}, nil
}
