package resolve

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseK8sName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name string
		want k8sName
		ok   bool
	}{
		"sandbox":     {"k8s_POD_web-0_shop_" + uidA + "_2", k8sName{"POD", "web-0", "shop", uidA, 2}, true},
		"container":   {"k8s_app_web-0_shop_" + uidA + "_0", k8sName{"app", "web-0", "shop", uidA, 0}, true},
		"with slash":  {"/k8s_app_web_shop_" + uidA + "_0", k8sName{"app", "web", "shop", uidA, 0}, true},
		"random part": {"k8s_POD_web_shop_" + uidA + "_1_4f2a9c3b", k8sName{"POD", "web", "shop", uidA, 1}, true},
		"with a hash": {"k8s_app.4f2a_web_shop_" + uidA + "_7", k8sName{"app", "web", "shop", uidA, 7}, true},
		"pod of dots": {"k8s_app_web.example.org_shop_" + uidHash + "_0", k8sName{"app", "web.example.org", "shop", uidHash, 0}, true},
		"short":       {"k8s_app_web_shop_0", k8sName{}, false},
		"long":        {"k8s_app_web_shop_uid_0_a_b", k8sName{}, false},
		"empty part":  {"k8s_app__shop_uid_0", k8sName{}, false},
		"attempt":     {"k8s_app_web_shop_uid_x", k8sName{}, false},
		"negative":    {"k8s_app_web_shop_uid_-1", k8sName{}, false},
		"huge":        {"k8s_app_web_shop_uid_99999999999", k8sName{}, false},
		"other":       {"web", k8sName{}, false},
		"empty":       {"", k8sName{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := parseK8sName(test.name); got != test.want || ok != test.ok {
				t.Errorf("got %+v, %v, want %+v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

func FuzzParseK8sName(f *testing.F) {
	f.Add("k8s_POD_web-0_shop_" + uidA + "_2")
	f.Add("/k8s_app.4f2a_web_shop_uid_7_random")
	f.Fuzz(func(t *testing.T, name string) {
		n, ok := parseK8sName(name)
		if !ok {
			return
		}
		if n.Pod == "" || n.Namespace == "" || n.UID == "" || n.Attempt < 0 {
			t.Errorf("%q gave %+v", name, n)
		}
		if !strings.Contains(name, fmt.Sprintf("_%s_%s_%s_", n.Pod, n.Namespace, n.UID)) {
			t.Errorf("%+v is not what stands in %q", n, name)
		}
	})
}
