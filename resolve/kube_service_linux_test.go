package resolve

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What the cluster knows of a service, by its address, by a port of the node, and by its name.
func TestKubeService(t *testing.T) {
	t.Parallel()
	api := newKubeAPI(t,
		made(t, `{"kind":"Service","metadata":{"name":"api","namespace":"shop"},"spec":{"type":"NodePort","clusterIP":"10.96.0.10","selector":{"app":"api","tier":"back"},"ports":[{"name":"http","port":80,"targetPort":"http","nodePort":30080}]}}`),
		made(t, `{"kind":"Service","metadata":{"name":"api","namespace":"prod"},"spec":{"clusterIP":"10.96.0.11"}}`),
		made(t, `{"kind":"Service","metadata":{"name":"alias","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"db.example.com"}}`),
		made(t, `{"kind":"Service","metadata":{"name":"typo","namespace":"shop"},"spec":{"clusterIP":"10.96.0.12","selector":{"app":"apy"}}}`),
		made(t, `{"kind":"Service","metadata":{"name":"idle","namespace":"shop"},"spec":{"clusterIP":"None","selector":{"app":"idle"}}}`),
		made(t, `{"kind":"ReplicaSet","metadata":{"name":"idle-7d4","namespace":"shop","labels":{"app":"idle"}},"spec":{"replicas":0}}`),
		made(t, `{"kind":"EndpointSlice","metadata":{"name":"api-a","namespace":"shop","labels":{"kubernetes.io/service-name":"api"}},"ports":[{"name":"http","port":8080}],"endpoints":[
			{"addresses":["10.244.1.11"],"conditions":{"ready":false},"targetRef":{"kind":"Pod","name":"sick","namespace":"shop"}},{"addresses":["10.244.1.12"],"targetRef":{"kind":"Pod","name":"well","namespace":"shop"}}]}`),
		made(t, `{"kind":"Pod","metadata":{"name":"well","namespace":"shop","uid":"11111111-1111-1111-1111-111111111111","labels":{"app":"api","tier":"back"}},"spec":{"nodeName":"n1","containers":[{"name":"web","ports":[{"name":"http","containerPort":8080}]}]},"status":{"phase":"Running","podIP":"10.244.1.12","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"name":"web","ready":true,"state":{"running":{}}}]}}`),
		made(t, `{"kind":"Pod","metadata":{"name":"sick","namespace":"shop","uid":"22222222-2222-2222-2222-222222222222","labels":{"app":"api","tier":"back"}},"spec":{"nodeName":"n1","containers":[{"name":"web"}]},"status":{"phase":"Running","podIP":"10.244.1.11","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"web","ready":false,"state":{"running":{}}}]}}`),
		made(t, `{"kind":"Pod","metadata":{"name":"loop","namespace":"shop","uid":"33333333-3333-3333-3333-333333333333","labels":{"app":"api","tier":"back"}},"spec":{"nodeName":"n1","containers":[{"name":"web"}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"web","restartCount":4,"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},"lastState":{"terminated":{"exitCode":3}}}]}}`),
	)
	k := api.source(t, KubeOptions{Config: api.config(t)})
	ask := func(q ServiceQuery) *ServiceState {
		t.Helper()
		s, err := k.Service(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		return s
	}
	for _, q := range []ServiceQuery{{IP: netip.MustParseAddr("10.96.0.10")}, {IP: netip.MustParseAddr("192.0.2.1"), NodePort: 30080}, {Name: "api", Namespace: "shop"}} {
		s := ask(q)
		if s == nil || s.Name != "api" || s.Namespace != "shop" || s.Selector != "app=api,tier=back" || s.ClusterIP != "10.96.0.10" || s.Ready != 1 || s.Total != 2 || s.Denied != "" {
			t.Fatalf("%+v: %+v", q, s)
		}
		if e := s.Endpoints[0]; e.Pod != "well" || !reflect.DeepEqual(e.Ports, map[string]uint16{"http": 8080}) {
			t.Errorf("%+v", e)
		}
		causes := map[string]string{}
		for _, p := range s.Pods {
			causes[p.Name] = p.Cause
			if p.Name == "loop" && (p.Message != "back-off" || !strings.Contains(p.Words, "exit code 3, restarted 4 times")) || p.Name == "well" && !slices.Equal(p.Ports, []string{"http=8080/TCP"}) {
				t.Errorf("%+v", p)
			}
		}
		if want := map[string]string{"well": "", "sick": "probe", "loop": "crash"}; !reflect.DeepEqual(causes, want) || s.Pods[2].Name != "well" {
			t.Errorf("%+v", s.Pods)
		}
	}
	if s := ask(ServiceQuery{IP: netip.MustParseAddr("192.0.2.1")}); s != nil {
		t.Errorf("%+v", s)
	}
	if s := ask(ServiceQuery{Name: "nosuch", Namespace: "shop"}); s != nil {
		t.Errorf("%+v", s)
	}
	if s := ask(ServiceQuery{Name: "api", Namespace: "dev"}); s == nil || !s.Missing || !slices.Equal(s.Elsewhere, []string{"prod", "shop"}) {
		t.Errorf("%+v", s)
	}
	if s := ask(ServiceQuery{Name: "alias", Namespace: "shop"}); s.ExternalName != "db.example.com" {
		t.Errorf("%+v", s)
	}
	if s := ask(ServiceQuery{Name: "typo", Namespace: "shop"}); s.Pods != nil || !slices.Equal(s.Labels, []string{"app=api"}) || s.Workload != "" {
		t.Errorf("%+v", s)
	}
	if s := ask(ServiceQuery{Name: "idle", Namespace: "shop"}); !s.Headless || s.Workload != "ReplicaSet idle-7d4 has such pods, and is to have 0 of them" || s.Labels != nil {
		t.Errorf("%+v", s)
	}
	// What is not allowed is said, and the rest is told.
	api.deny("list pods in shop", "list endpointslices in shop")
	if s := ask(ServiceQuery{Name: "api", Namespace: "shop"}); s.Selector == "" || !strings.Contains(s.Denied, "not allowed to list") || s.Unknown == "" {
		t.Errorf("%+v", s)
	}
	api.deny("list services", "list services in shop")
	if s, err := k.Service(t.Context(), ServiceQuery{Name: "api", Namespace: "shop"}); err == nil || !strings.Contains(err.Error(), "not allowed to list services") {
		t.Errorf("%+v, %v", s, err)
	}
}
