package resolve

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// pod makes a running pod with the containers named.
func pod(namespace, name string, containers ...string) Workload {
	w := Workload{
		Source: "docker", Pod: name, Namespace: namespace, UID: "uid-" + namespace + "-" + name,
		Sandbox: &Sandbox{ID: fakeID("sandbox " + namespace + "/" + name), Name: "k8s_POD_" + name, State: StateRunning, Created: time.Unix(1000, 0)},
	}
	for _, c := range containers {
		w.Containers = append(w.Containers, Container{
			ID: fakeID(namespace + "/" + name + "/" + c), Name: c, RuntimeName: "k8s_" + c + "_" + name, State: StateRunning,
		})
	}
	return w
}

// bare makes a running container without a pod.
func bare(name, id string) Workload {
	return Workload{Source: "docker", Containers: []Container{{ID: id, Name: name, State: StateRunning}}}
}

// fakeID spreads a name over 64 hexadecimal digits.
func fakeID(name string) string {
	h := uint64(14695981039346656037) // FNV-1a
	var b strings.Builder
	for i := range idLength {
		for _, c := range []byte(name) {
			h = (h ^ uint64(c)) * 1099511628211
		}
		h ^= uint64(i)
		b.WriteByte("0123456789abcdef"[h>>33&15])
	}
	return b.String()
}

func TestChoose(t *testing.T) {
	t.Parallel()
	again := pod("shop", "db-0", "db")
	again.UID, again.Sandbox.ID, again.Sandbox.Created = "uid-new", fakeID("new"), time.Unix(2000, 0)
	dead := pod("shop", "cache-0", "cache")
	dead.UID, dead.Sandbox.ID = "uid-dead", fakeID("dead")
	dead.Sandbox.State, dead.Sandbox.Created, dead.Containers[0].State = StateExited, time.Unix(3000, 0), StateExited

	all := []Workload{
		pod("shop", "web-7d4b9-x2x1z", "app", "app-proxy"),
		pod("shop", "web-10", "app"),
		pod("shop", "api-0", "api"),
		pod("prod", "api-0", "api"),
		pod("shop", "db-0", "db"), again,
		dead, pod("shop", "cache-0", "cache"),
		{Source: "cgroup", UID: uidA, Containers: []Container{{ID: idA, State: StateRunning}, {ID: idB, State: StateRunning}}},
		bare("nginx", "cafe"+idA[4:]),
		bare("nginx-1", "beef"+idA[4:]),
		bare("beef-stew", "cafd"+idA[4:]),
		bare("lonely-7", "caff"+idA[4:]),
		{Source: "podman", Pod: "till", UID: strings.Repeat("7", 64), Containers: []Container{{ID: fakeID("till"), Name: "app", State: StateRunning}}},
	}
	sandboxAPI := all[2].Sandbox.ID
	tests := map[string]struct {
		query Query
		want  string // namespace/pod/container, or a container's name, or a UID
		rank  rank
	}{
		"pod without a namespace":    {Query{Pod: "till"}, "till", byName},
		"the same by its ID":         {Query{Pod: strings.Repeat("7", 64), Namespace: "shop"}, "till", byID},
		"exact pod":                  {Query{Pod: "web-10"}, "shop/web-10", byName},
		"exact pod, namespace":       {Query{Pod: "api-0", Namespace: "prod"}, "prod/api-0", byName},
		"pod by UID":                 {Query{Pod: "uid-shop-web-10"}, "shop/web-10", byID},
		"pod by UID only":            {Query{Pod: uidA}, uidA, byID},
		"pod by sandbox":             {Query{Pod: sandboxAPI}, "shop/api-0", byID},
		"pod by part of sandbox":     {Query{Pod: sandboxAPI[:8]}, "shop/api-0", byPrefix},
		"deployment and its hash":    {Query{Pod: "web-7d4b9"}, "shop/web-7d4b9-x2x1z", byPrefix},
		"up to a dash":               {Query{Pod: "web-7d4b9-"}, "shop/web-7d4b9-x2x1z", byPrefix},
		"re-created pod":             {Query{Pod: "db-0"}, "shop/db-0", byName},
		"container of pod":           {Query{Pod: "web-7d4b9-x2x1z", Container: "app"}, "shop/web-7d4b9-x2x1z/app", byName},
		"container of pod, prefix":   {Query{Pod: "web-10", Container: fakeID("shop/web-10/app")[:6]}, "shop/web-10/app", byPrefix},
		"container of pod, ID":       {Query{Pod: "web-10", Container: fakeID("shop/web-10/app")}, "shop/web-10/app", byID},
		"container of pod, runtime":  {Query{Pod: "web-10", Container: "k8s_app_web-10"}, "shop/web-10/app", byName},
		"bare container":             {Query{Container: "nginx"}, "nginx", byName},
		"bare container, ID":         {Query{Container: "cafe" + idA[4:]}, "nginx", byID},
		"bare container, short ID":   {Query{Container: "cafe"}, "nginx", byPrefix},
		"bare container, prefix":     {Query{Container: "lonely"}, "lonely-7", byPrefix},
		"container of a pod, alone":  {Query{Container: "k8s_app_web-10"}, "shop/web-10/app", byName},
		"sandbox by name":            {Query{Container: "k8s_POD_web-10"}, "shop/web-10", byName},
		"sandbox by ID":              {Query{Container: sandboxAPI}, "shop/api-0", byID},
		"name within its pod":        {Query{Container: "app-proxy"}, "shop/web-7d4b9-x2x1z/app-proxy", byInner},
		"re-created pod's container": {Query{Container: "db"}, "shop/db-0/db", byInner},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := choose(test.query, all)
			if err != nil {
				t.Fatalf("%s: %v", err.Kind, err)
			}
			got := c.workload.podName()
			switch {
			case c.container != whole && got == "":
				got = c.workload.Containers[c.container].Name
			case c.container != whole:
				got += "/" + c.workload.Containers[c.container].Name
			}
			if got != test.want || c.rank != test.rank {
				t.Errorf("got %s by %d, want %s by %d", got, c.rank, test.want, test.rank)
			}
		})
	}

	t.Run("newest sandbox of a re-created pod", func(t *testing.T) {
		t.Parallel()
		c, err := choose(Query{Pod: "db-0"}, all)
		if err != nil || c.workload.UID != "uid-new" || len(c.older) != 1 {
			t.Errorf("got %+v, %v, want uid-new and one older", c.workload, err)
		}
	})
	t.Run("running before newer but dead", func(t *testing.T) {
		t.Parallel()
		c, err := choose(Query{Pod: "cache-0"}, all)
		if err != nil || c.workload.UID == "uid-dead" {
			t.Errorf("got %+v, %v, want the one that runs", c.workload, err)
		}
	})
}

func TestChooseRefuses(t *testing.T) {
	t.Parallel()
	all := []Workload{
		pod("shop", "web-10", "app", "side-1", "side-2"), pod("shop", "web-20", "app"),
		pod("shop", "api-0", "api"), pod("prod", "api-0", "api"), pod("prod", "payments-abc-1", "main"),
		bare("redis-1", "cafe"+idA[4:]), bare("redis-2", "cafe"+idB[4:]), bare("postgres", idB),
		{Source: "podman", Pod: "till", UID: strings.Repeat("7", 64), Containers: []Container{{ID: fakeID("till"), Name: "app", State: StateRunning}}},
	}
	tests := map[string]struct {
		query Query
		kind  Kind
		says  string // part of message or hint
		near  []string
		count int // candidates
	}{
		"web-1 is not web-10":          {Query{Pod: "web-1"}, KindNotFound, `"web-1"`, []string{"shop/web-10"}, 0},
		"typing error":                 {Query{Pod: "paymnets-abc-1"}, KindNotFound, "Did you mean", []string{"prod/payments-abc-1"}, 0},
		"a pod without a namespace":    {Query{Pod: "till", Namespace: "shop"}, KindNotFound, `"till" of namespace "shop"`, nil, 0},
		"unknown":                      {Query{Pod: "zzz"}, KindNotFound, "resolve_pod_pid without arguments", nil, 0},
		"prefix of two":                {Query{Pod: "web"}, KindAmbiguous, "fits 2 targets", nil, 2},
		"two namespaces":               {Query{Pod: "api-0"}, KindAmbiguous, "namespace", nil, 2},
		"wrong namespace":              {Query{Pod: "web-10", Namespace: "prod"}, KindNotFound, "another namespace", []string{"shop/web-10", "shop/web-20"}, 0},
		"short ID of two":              {Query{Container: "cafe"}, KindAmbiguous, "full name or ID", nil, 2},
		"too short an ID":              {Query{Container: "caf"}, KindNotFound, `"caf"`, nil, 0},
		"name prefix of two":           {Query{Container: "redis"}, KindAmbiguous, "fits 2 targets", nil, 2},
		"container of many pods":       {Query{Container: "api"}, KindAmbiguous, "together with container", nil, 2},
		"pod that is a container":      {Query{Pod: "postgres"}, KindNotFound, `container "postgres"`, nil, 0},
		"container that is a pod":      {Query{Container: "web-20"}, KindNotFound, `pod "web-20"`, nil, 0},
		"container that is not there":  {Query{Pod: "web-10", Container: "nope"}, KindNotFound, "app, side-1, side-2", []string{"app", "side-1", "side-2"}, 0},
		"containers of a pod":          {Query{Pod: "web-10", Container: "side"}, KindAmbiguous, "2 containers of pod shop/web-10", nil, 2},
		"container, typing error":      {Query{Container: "postgers"}, KindNotFound, "Did you mean postgres", []string{"postgres"}, 0},
		"pod and container, no pod":    {Query{Pod: "nope", Container: "app"}, KindNotFound, `no pod "nope"`, nil, 0},
		"pod, half a word":             {Query{Pod: "pay"}, KindNotFound, "Did you mean prod/payments-abc-1", []string{"prod/payments-abc-1"}, 0},
		"pod, namespace of no pod":     {Query{Pod: "web-10", Namespace: "nope"}, KindNotFound, `of namespace "nope"`, []string{"shop/web-10", "shop/web-20"}, 0},
		"pod, prefix, other namespace": {Query{Pod: "web", Namespace: "prod"}, KindNotFound, `"web"`, []string{"shop/web-10", "shop/web-20"}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := choose(test.query, all)
			if err == nil {
				t.Fatal("got a workload, want an error")
			}
			if err.Kind != test.kind || !strings.Contains(err.Message+" "+err.Hint, test.says) {
				t.Errorf("got %s %q %q, want %s with %q", err.Kind, err.Message, err.Hint, test.kind, test.says)
			}
			if len(err.Candidates) != test.count {
				t.Errorf("got %d candidates, want %d", len(err.Candidates), test.count)
			}
			if test.near != nil && !slices.Equal(err.NearMisses, test.near) {
				t.Errorf("near misses %q, want %q", err.NearMisses, test.near)
			}
		})
	}
}

func TestAmbiguousIsBounded(t *testing.T) {
	t.Parallel()
	var all []Workload
	for _, c := range "abcdefghijklmnopqrst" {
		all = append(all, pod("shop", "web-"+string(c)))
	}
	all[7].Sandbox.State = StateExited
	_, err := choose(Query{Pod: "web"}, all)
	if err == nil || len(err.Candidates) != maxCandidates || !strings.Contains(err.Message, "20 targets, of which 10") {
		t.Fatalf("got %v with %d candidates", err, len(err.Candidates))
	}
	for _, c := range err.Candidates {
		if c.State != StateRunning {
			t.Errorf("candidate %+v comes before those that run", c)
		}
	}
}
