package resolve

import "testing"

func TestPodsNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind     ownerKind
		pod      string
		isOfThat bool
	}{
		{ownerDeployment, "web-7d4b9c6f5-x2x5z", true},
		{ownerDeployment, "web-7d4b9c6f5", false},
		{ownerDeployment, "web-api-7d4b9c6f5-x2x5z", false},
		{ownerDeployment, "other-7d4b9c6f5-x2x5z", false},
		{ownerReplicaSet, "web-x2x5z", true},
		{ownerDaemonSet, "web-x2x5z", true},
		{ownerDaemonSet, "web-apple", false}, // no vowels
		{ownerStatefulSet, "web-0", true},
		{ownerStatefulSet, "web-12", true},
		{ownerStatefulSet, "web-db", false},
		{ownerJob, "web-x2x5z", true},
		{ownerJob, "web-3-x2x5z", true},
		{ownerCronJob, "web-29384756-x2x5z", true},
		{ownerCronJob, "web-x2x5z", false},
	}
	for _, test := range tests {
		if got := podsNamed(test.kind, "web").MatchString(test.pod); got != test.isOfThat {
			t.Errorf("%s web, pod %s: got %v", test.kind, test.pod, got)
		}
	}
}

// Whatever is accepted can go into a path or a selector as it is.
func FuzzPodForms(f *testing.F) {
	for _, s := range []string{"web", "shop/web", "deploy/web", "shop/sts.apps/db", "po/a/b", "//", "ds/..", "cj/\u202e"} {
		f.Add(s, "")
		f.Add(s, "shop")
	}
	f.Fuzz(func(t *testing.T, pod, namespace string) {
		q, err := Query{Pod: pod, Namespace: namespace}.parse(false)
		if err != nil || pod == "" {
			return
		}
		if checkName("pod", q.Pod, "") != nil || q.Namespace != "" && checkName("namespace", q.Namespace, "") != nil {
			t.Errorf("%q and %q became %+v", pod, namespace, q)
		}
		if q.kind != "" {
			podsNamed(q.kind, q.Pod)
		}
	})
}
