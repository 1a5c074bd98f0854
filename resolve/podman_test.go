package resolve

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// podmanOf serves answers by the end of the path, as podman does.
func podmanOf(t *testing.T, answers map[string]string) *Docker {
	t.Helper()
	return engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Libpod-Api-Version", "4.3.1")
		for end, answer := range answers {
			if strings.HasSuffix(r.URL.Path, end) {
				_, _ = io.WriteString(w, answer)
				return
			}
		}
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"message":"no such container"}`)
		}
	})
}

// listed is a container as podman lists it.
func listed(id, name string) string {
	return `{"Id":"` + id + `","Names":["/` + name + `"],"State":"running","Status":"Up 4 seconds"}`
}

func TestPodmanPods(t *testing.T) {
	t.Parallel()
	infra, app, own, alone := strings.Repeat("1", 64), strings.Repeat("2", 64), strings.Repeat("3", 64), strings.Repeat("4", 64)
	podID := strings.Repeat("5", 64)
	inspected := func(id, name, network string) string {
		return `{"Id":"` + id + `","Name":"/` + name + `","State":{"Status":"running","Pid":12},"HostConfig":{"NetworkMode":"` + network + `"}}`
	}
	pods := func(infra string) string {
		return `[{"Id":"` + podID + `","Name":"shop","InfraId":"` + infra + `","Containers":[{"Id":"` + infra + `"},{"Id":"` + app + `"},{"Id":"` + own + `"}]}]`
	}
	answers := map[string]string{
		"/containers/json":               "[" + listed(infra, "555-infra") + "," + listed(app, "app") + "," + listed(alone, "alone") + "]",
		"/libpod/pods/json":              pods(infra),
		"/containers/" + infra + "/json": inspected(infra, "555-infra", "bridge"),
		"/containers/" + app + "/json":   inspected(app, "app", "container:"+infra),
		"/containers/" + own + "/json":   inspected(own, "own", "bridge"),
		"/containers/app/json":           inspected(app, "app", "container:"+infra),
		"/containers/own/json":           inspected(own, "own", "bridge"),
		"/containers/alone/json":         inspected(alone, "alone", "bridge"),
	}
	d := podmanOf(t, answers)
	check := func(what string, ws []Workload, err error, pod string, containers ...string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		i := slices.IndexFunc(ws, func(w Workload) bool { return w.Pod == pod })
		if i < 0 {
			t.Fatalf("%s: no pod %q in %+v", what, pod, ws)
		}
		w := ws[i]
		if pod != "" && (w.UID != podID || w.Sandbox == nil || w.Sandbox.ID != infra || w.Namespace != "") {
			t.Errorf("%s: %+v, want UID %s, sandbox %s and no namespace", what, w, podID, infra)
		}
		if got := w.containerNames(); !slices.Equal(got, containers) {
			t.Errorf("%s: containers %v, want %v", what, got, containers)
		}
	}
	ws, err := d.List(t.Context())
	check("list", ws, err, "shop", "app")
	check("list", ws, err, "", "alone")
	for range 2 { // the second time from memory
		ws, err = d.Exact(t.Context(), Query{Pod: "shop"})
		check("pod by name", ws, err, "shop", "app")
	}
	ws, err = d.Exact(t.Context(), Query{Pod: podID})
	check("pod by ID", ws, err, "shop", "app")
	for _, describe := range []bool{false, true} {
		ws, err = d.Exact(t.Context(), Query{Container: "app", Describe: describe})
		check("container of a pod", ws, err, "shop", "app")
	}
	ws, err = d.Exact(t.Context(), Query{Container: "own"})
	check("container of a pod with a network of its own", ws, err, "", "own")
	ws, err = d.Exact(t.Context(), Query{Container: "alone"})
	check("container without a pod", ws, err, "", "alone")

	answers["/libpod/pods/json"] = pods("")
	ws, err = podmanOf(t, answers).List(t.Context())
	check("a pod that shares no network", ws, err, "", "555-infra")
	answers["/libpod/pods/json"] = "<html>"
	if _, err = podmanOf(t, answers).List(t.Context()); err == nil || !strings.Contains(err.Error(), "not that of a Docker engine") {
		t.Errorf("pods that are no JSON: %v", err)
	}
}
