package lookup

import (
	"fmt"
	"strings"
	"testing"
)

// shown writes an order with the statuses that stop at each service.
func (o *order) shown() string {
	if o.broken {
		return "broken"
	}
	var words []string
	for _, s := range o.services {
		stops := ""
		for i, stop := range s.stops {
			if stop {
				stops += string("SNUT"[i])
			}
		}
		words = append(words, fmt.Sprintf("%s(%s)", s.name, stops))
	}
	return strings.Join(words, " ")
}

func TestGlibcOrder(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"":                                   "files(S) dns(S)",
		"passwd: files\n":                    "files(S) dns(S)",
		"hosts: files dns\n":                 "files(S) dns(S)",
		"hosts:\tfiles dns myhostname\n":     "files(S) dns(S) myhostname(S)",
		"hosts: dns files":                   "dns(S) files(S)",
		"  hosts : files":                    "files(S)",
		"hosts:\n":                           "",
		"hosts\n":                            "files(S) dns(S)",
		"#hosts: files\n":                    "files(S) dns(S)",
		"hosts: files\nhosts: dns\n":         "dns(S)",
		"hosts: files [NOTFOUND=return] dns": "files(SN) dns(S)",
		"hosts: dns [!UNAVAIL=return] files": "dns(SNT) files(S)",
		"hosts: mdns4_minimal[notfound=RETURN]dns":           "mdns4_minimal(SN) dns(S)",
		"hosts: files [success=continue unavail=return] dns": "files(U) dns(S)",
		"hosts: files [ TRYAGAIN = return ] dns":             "files(ST) dns(S)",
		"hosts: files [SUCCESS=merge] dns":                   "files() dns(S)",
		"hosts: files [FOO=return] dns":                      "broken",
		"hosts: files [NOTFOUND=stop] dns":                   "broken",
		"hosts: files [NOTFOUND] dns":                        "broken",
		"hosts: files [NOTFOUND=return dns":                  "broken",
		"hosts: files [] dns":                                "broken",
		"hosts: files dns\npasswd: files [x=y]\n":            "files(S) dns(S)",
		"hosts: files dns\nsudoers: files [x=y]\n":           "files(S) dns(S)",
		"hosts: [NOTFOUND=return] dns":                       "",
	} {
		o := glibcOrder([]byte(file))
		if got := o.shown(); got != want {
			t.Errorf("%q: %s, want %s", file, got, want)
		}
	}
}

func TestGoOrder(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"":                 "files(S) dns(S)",
		"hosts: files":     "files(S)",
		"hosts: dns files": "dns(S) files(S)",
		"hosts: files mdns4 [NOTFOUND=return] dns": "files(S) dns(S)",
		"hosts: files resolve":                     "files(S) dns(S)",
		"hosts: resolve files":                     "dns(S) files(S)",
		"hosts: files [x=y]":                       "files(S) dns(S)",
	} {
		o := goOrder([]byte(file))
		if got := o.shown(); got != want {
			t.Errorf("%q: %s, want %s", file, got, want)
		}
	}
}

func FuzzOrder(f *testing.F) {
	f.Add("hosts: files mdns4_minimal [NOTFOUND=return] dns\n")
	f.Add("hosts: dns [!UNAVAIL=return success=continue] files\npasswd: x [a=b]\n")
	f.Fuzz(func(t *testing.T, file string) {
		for _, lib := range libraries(Glibc) {
			o := lib.order([]byte(file))
			if o.broken && len(o.services) > 0 || len(o.services) > maxServices {
				t.Fatalf("%s: %+v", lib.flavour, o)
			}
			for _, s := range o.services {
				if s.name == "" || strings.ContainsAny(s.name, " \t\n[") {
					t.Fatalf("%s: service %q", lib.flavour, s.name)
				}
			}
		}
	})
}
