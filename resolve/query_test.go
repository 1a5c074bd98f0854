package resolve

import (
	"errors"
	"strings"
	"testing"
)

func pid(n int) *int { return &n }

func TestQueryParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query Query
		want  Query
	}{
		"pod":                     {Query{Pod: "web"}, Query{Pod: "web"}},
		"pod with namespace":      {Query{Pod: "web", Namespace: "shop"}, Query{Pod: "web", Namespace: "shop"}},
		"namespace in the pod":    {Query{Pod: "shop/web"}, Query{Pod: "web", Namespace: "shop"}},
		"namespace twice":         {Query{Pod: "shop/web", Namespace: "shop"}, Query{Pod: "web", Namespace: "shop"}},
		"kind":                    {Query{Pod: "deploy/web"}, Query{Pod: "web", kind: ownerDeployment}},
		"kind of kubectl":         {Query{Pod: "StatefulSet.apps/db"}, Query{Pod: "db", kind: ownerStatefulSet}},
		"kind with namespace":     {Query{Pod: "job/x", Namespace: "shop"}, Query{Pod: "x", Namespace: "shop", kind: ownerJob}},
		"kind in a namespace":     {Query{Pod: "shop/cj/x"}, Query{Pod: "x", Namespace: "shop", kind: ownerCronJob}},
		"pod as a kind":           {Query{Pod: "pods/web"}, Query{Pod: "web"}},
		"namespace like a kind":   {Query{Pod: "ds/ds/web"}, Query{Pod: "web", Namespace: "ds", kind: ownerDaemonSet}},
		"no kind of that group":   {Query{Pod: "deploy.batch/web"}, Query{Pod: "web", Namespace: "deploy.batch"}},
		"pod and container":       {Query{Pod: "web", Container: "app"}, Query{Pod: "web", Container: "app"}},
		"container":               {Query{Container: "k8s_POD_web_shop_0_0"}, Query{Container: "k8s_POD_web_shop_0_0"}},
		"container of Kubernetes": {Query{Container: "docker://4f2a"}, Query{Container: "4f2a"}},
		"container as inspected":  {Query{Container: "/web"}, Query{Container: "web"}},
		"pid":                     {Query{PID: pid(1)}, Query{PID: pid(1)}},
		"highest pid":             {Query{PID: pid(1 << 22)}, Query{PID: pid(1 << 22)}},
		"netns name":              {Query{Netns: "blue (id: 0)"}, Query{Netns: "blue (id: 0)"}},
		"netns path":              {Query{Netns: "/run/netns/blue"}, Query{Netns: "/run/netns/blue"}},
		"netns link":              {Query{Netns: "net:[4026531840]"}, Query{Netns: "net:[4026531840]"}},
		"ip":                      {Query{IP: "10.0.0.1"}, Query{IP: "10.0.0.1"}},
		"mapped ip":               {Query{IP: "::ffff:10.0.0.1"}, Query{IP: "10.0.0.1"}},
		"long ip":                 {Query{IP: "fd00:0:0::1"}, Query{IP: "fd00::1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.query.parse(true)
			if err != nil {
				t.Fatal(err)
			}
			if got.PID != nil && test.want.PID != nil && *got.PID == *test.want.PID {
				got.PID, test.want.PID = nil, nil
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestQueryValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query Query
		kind  Kind
		says  string // part of the message
	}{
		"nothing":                    {Query{}, KindBadQuery, "no target was named"},
		"namespace alone":            {Query{Namespace: "shop"}, KindBadQuery, "namespace names no target"},
		"container and pid":          {Query{Container: "web", PID: pid(2)}, KindBadQuery, "container and pid name more than one"},
		"pod and netns":              {Query{Pod: "web", Netns: "blue"}, KindBadQuery, "pod and netns name more than one"},
		"pod, container and pid":     {Query{Pod: "web", Container: "app", PID: pid(2)}, KindBadQuery, "pod and pid"},
		"all":                        {Query{Pod: "a", PID: pid(2), Netns: "b", IP: "10.0.0.1"}, KindBadQuery, "pod and pid and netns and ip"},
		"namespace with pid":         {Query{PID: pid(2), Namespace: "shop"}, KindBadQuery, "namespace goes only with pod, not with pid"},
		"namespace with container":   {Query{Container: "web", Namespace: "shop"}, KindBadQuery, "not with container"},
		"namespaces differ":          {Query{Pod: "shop/web", Namespace: "default"}, KindBadQuery, `"shop"`},
		"three parts":                {Query{Pod: "a/b/c"}, KindBadQuery, "no kind that owns pods"},
		"four parts":                 {Query{Pod: "a/deploy/b/c"}, KindBadQuery, "neither a name nor namespace/name"},
		"kind without a name":        {Query{Pod: "deploy/"}, KindBadQuery, "neither a name nor namespace/name"},
		"kind and two namespaces":    {Query{Pod: "shop/deploy/web", Namespace: "prod"}, KindBadQuery, `"shop"`},
		"kind that owns no pods":     {Query{Pod: "cm/web", Namespace: "shop"}, KindBadQuery, `"cm"`},
		"empty namespace":            {Query{Pod: "/web"}, KindBadQuery, "neither a name nor namespace/name"},
		"empty pod":                  {Query{Pod: "shop/"}, KindBadQuery, "neither a name nor namespace/name"},
		"pod climbs":                 {Query{Pod: "../web"}, KindBadQuery, "namespace"},
		"pod is dots":                {Query{Pod: ".."}, KindBadQuery, "holds '.'"},
		"pod with a space":           {Query{Pod: "web 1"}, KindBadQuery, "holds ' '"},
		"pod with a newline":         {Query{Pod: "web\n"}, KindBadQuery, "control characters"},
		"pod with a NUL":             {Query{Pod: "we\x00b"}, KindBadQuery, "control characters"},
		"pod not UTF-8":              {Query{Pod: "we\xffb"}, KindBadQuery, "control characters"},
		"pod turns text around":      {Query{Pod: "we\u202eb"}, KindBadQuery, "control characters"},
		"pod of 10 kB":               {Query{Pod: strings.Repeat("a", 10<<10)}, KindBadQuery, "longer than 253"},
		"namespace with a slash":     {Query{Pod: "web", Namespace: "a/b"}, KindBadQuery, "namespace"},
		"container with a query":     {Query{Container: "web?size=1"}, KindBadQuery, "holds '?'"},
		"container climbs":           {Query{Container: "../../version"}, KindBadQuery, "container"},
		"container with a percent":   {Query{Container: "%2e%2e"}, KindBadQuery, "holds '%'"},
		"container is a scheme":      {Query{Container: "docker://"}, KindBadQuery, "container is empty"},
		"container of 10 kB":         {Query{Container: strings.Repeat("a", 10<<10)}, KindBadQuery, "longer than 253"},
		"container in pod":           {Query{Pod: "web", Container: "a b"}, KindBadQuery, "container"},
		"pid 0":                      {Query{PID: pid(0)}, KindPIDZero, "pid 0"},
		"pid -1":                     {Query{PID: pid(-1)}, KindPIDNegative, "negative"},
		"pid 2^31":                   {Query{PID: pid(1 << 31)}, KindPIDTooLarge, "larger than any"},
		"pid 2^22 + 1":               {Query{PID: pid(1<<22 + 1)}, KindPIDTooLarge, "larger than any"},
		"netns climbs":               {Query{Netns: "/run/netns/../../etc/passwd"}, KindBadQuery, "climbs"},
		"netns relative":             {Query{Netns: "netns/blue"}, KindBadQuery, "relative"},
		"netns dots":                 {Query{Netns: ".."}, KindBadQuery, "is no name"},
		"netns control":              {Query{Netns: "blue\x1b[31m"}, KindBadQuery, "control characters"},
		"netns of 10 kB":             {Query{Netns: strings.Repeat("a", 10<<10)}, KindBadQuery, "longer than 253"},
		"netns path of 10 kB":        {Query{Netns: "/" + strings.Repeat("a", 10<<10)}, KindBadQuery, "longer than 4096"},
		"ip is a name":               {Query{IP: "web.shop"}, KindBadQuery, "not an IP address"},
		"ip with prefix":             {Query{IP: "10.0.0.1/24"}, KindBadQuery, "not an IP address"},
		"ip with zone":               {Query{IP: "fe80::1%eth0"}, KindBadQuery, "zone"},
		"ip loopback":                {Query{IP: "127.0.0.1"}, KindBadQuery, "belongs to every"},
		"ip unspecified":             {Query{IP: "::"}, KindBadQuery, "belongs to every"},
		"ip multicast":               {Query{IP: "224.0.0.1"}, KindBadQuery, "belongs to every"},
		"ip mapped loopback":         {Query{IP: "::ffff:127.0.0.1"}, KindBadQuery, "belongs to every"},
		"ip and a pod":               {Query{IP: "10.0.0.1", Pod: "web"}, KindBadQuery, "pod and ip"},
		"ip, and it is not an IP %n": {Query{IP: "%n%s"}, KindBadQuery, "not an IP address"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.query.Validate(true)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Kind != test.kind || !strings.Contains(e.Message, test.says) {
				t.Errorf("got %s %q, want %s with %q", e.Kind, e.Message, test.kind, test.says)
			}
			if e.Hint == "" || !strings.HasSuffix(e.Hint, ".") {
				t.Errorf("hint %q is no sentence", e.Hint)
			}
			if len(e.Message) > 400 || !printable(e.Message) {
				t.Errorf("message %q is not fit to print", e.Message)
			}
		})
	}
}

func TestQueryValidateWithoutIP(t *testing.T) {
	t.Parallel()
	err := Query{IP: "10.0.0.1"}.Validate(false)
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindBadQuery || !strings.Contains(e.Hint, "resolve_pod_pid") {
		t.Errorf("got %v, want bad_query that names resolve_pod_pid", err)
	}
	if err := (Query{Pod: "web"}).Validate(false); err != nil {
		t.Error(err)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("shop/web", "", "app", "", "")
	f.Add("", "shop", "docker:///4f2a", "/run/netns/blue", "::ffff:1.2.3.4")
	f.Fuzz(func(t *testing.T, pod, namespace, container, netns, ip string) {
		q := Query{Pod: pod, Namespace: namespace, Container: container, Netns: netns, IP: ip}
		parsed, err := q.parse(true)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Message == "" || e.Hint == "" {
				t.Fatalf("error without message and hint: %#v", err)
			}
			return
		}
		for _, s := range []string{parsed.Pod, parsed.Namespace, parsed.Container} {
			if len(s) > maxName || strings.ContainsAny(s, "/?#%\x00\n") {
				t.Errorf("accepted %q", s)
			}
		}
		// What was accepted once is its own plain form.
		if again, err := parsed.parse(true); err != nil || again != parsed {
			t.Errorf("parsed %+v into %+v, %v", parsed, again, err)
		}
	})
}
