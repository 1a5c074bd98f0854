package resolve

import (
	"strings"
	"testing"
)

func TestParseMonitor(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 32)
	command := func(words ...string) string { return strings.Join(words, "\x00") + "\x00" }
	tests := map[string]struct{ command, id, name, dir string }{
		"podman": {command("/usr/bin/conmon", "--api-version", "1", "-c", id, "-u", id, "-b", "/b", "-n", "web", "--exit-command-arg", "-n"), id, "web", "/b"},
		"CRI-O":  {command("conmon", "--cid", id, "--name", "k8s_app_web_shop_uid_0", "--bundle", "/b"), id, "k8s_app_web_shop_uid_0", "/b"},
		"exec":   {command("conmon", "-c", id, "-n", "web", "-e", "--exec-process-spec", "/p"), "", "", ""},
		"no ID":  {command("conmon", "-c", "web", "-n", "web"), "", "", ""},
		"cut":    {"conmon\x00-c", "", "", ""},
		"empty":  {"", "", "", ""},
	}
	for name, test := range tests {
		if id, n, dir := parseMonitor(test.command); id != test.id || n != test.name || dir != test.dir {
			t.Errorf("%s: got %q %q %q", name, id, n, dir)
		}
	}
}

func TestJoinInfra(t *testing.T) {
	t.Parallel()
	pod, infra, app := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	made := func(id, name, cgroups, network string) bundle {
		b := bundle{dockerContainer: dockerContainer{Container: Container{ID: id, Name: name, State: StateRunning}}}
		b.config.Hostname, b.config.Linux.CgroupsPath = "shop", cgroups
		b.config.Linux.Namespaces = append(b.config.Linux.Namespaces, struct {
			Type string `json:"type"`
		}{network})
		return b
	}
	for name, test := range map[string]struct {
		infra, app, network string
		joined              bool
	}{
		"cgroupfs":       {"/libpod_parent/" + pod + "/libpod-" + infra, "/libpod_parent/" + pod + "/libpod-" + app, "network", true},
		"systemd":        {"machine-libpod_pod_" + pod + ".slice:libpod:" + infra, "machine-libpod_pod_" + pod + ".slice:libpod:" + app, "network", true},
		"host's network": {"/libpod_parent/" + pod + "/libpod-" + infra, "/libpod_parent/" + pod + "/libpod-" + app, "uts", false},
		"no pod":         {"/libpod_parent/libpod-" + infra, "/libpod_parent/libpod-" + app, "network", false},
		"nothing":        {"", "", "network", false},
	} {
		all := []bundle{made(app, "app", test.app, "network"), made(infra, pod[:12]+"-infra", test.infra, test.network)}
		joinInfra(all)
		ws := groupDocker([]dockerContainer{all[0].dockerContainer, all[1].dockerContainer})
		joined := len(ws) == 1 && ws[0].Pod == "shop" && ws[0].UID == pod && ws[0].Sandbox != nil && ws[0].Sandbox.ID == infra
		if joined != test.joined || !joined && len(ws) != 2 {
			t.Errorf("%s: %+v", name, ws)
		}
	}
}

func TestCgroupNamed(t *testing.T) {
	t.Parallel()
	for cgroup, want := range map[string]bool{
		"0::/default/web\n": true, "1:cpu:/\n0::/default/web\n": true, "0::/default/web-2\n": false, "0::/webserver\n": false, "": false,
		"0::/system.slice:ctr:web\n": true, "0::/web/sub\n": true,
		"0::/docker/" + idA + "/default/web\n": false, "0::/docker/" + idB + "/default/web\n": true,
	} {
		if got := cgroupNamed(cgroup, "0::/docker/"+idB+"/init.scope\n", "web"); got != want {
			t.Errorf("%q: %v", cgroup, got)
		}
	}
}
