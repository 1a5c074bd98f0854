package fetch

import (
	"errors"
	"slices"
	"testing"
)

func TestParseOverride(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]override{
		"a.test:80:10.0.0.1":         {host: "a.test", port: 80},
		"A.test.:443:[::1],10.0.0.1": {host: "a.test", port: 443},
		"*:80:10.0.0.1":              {port: 80},
		"[2001:db8::1]:80:10.0.0.1":  {host: "2001:db8::1", port: 80},
		"127.1:80:10.0.0.1":          {host: "127.0.0.1", port: 80},
	} {
		o, err := parseOverride(text)
		if err != nil || o.host != want.host || o.port != want.port || len(o.addrs) == 0 {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
	}
	o, err := parseOverride("a.test:80:10.0.0.1,[fd00::1],fd00::2")
	if got := texts(o.addrs); err != nil || !slices.Equal(got, []string{"10.0.0.1", "fd00::1", "fd00::2"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "a.test", "a.test:80", "a.test:80:", "a.test:0:10.0.0.1", "a.test:x:10.0.0.1", "a.test:99999:10.0.0.1", "a.test:80:b.test", ":80:10.0.0.1", "a b:80:10.0.0.1"} {
		_, err := parseOverride(text)
		var argument *ArgumentError
		if !errors.As(err, &argument) || argument.Field != "resolve" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseDetour(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]detour{
		"a.test:80:b.test:8080":        {"a.test", 80, "b.test", 8080},
		"::b.test:":                    {"", 0, "b.test", 0},
		"a.test:80::8080":              {"a.test", 80, "", 8080},
		"[fd00::1]:443:[fd00::2]:8443": {"fd00::1", 443, "fd00::2", 8443},
		":::":                          {},
	} {
		d, err := parseDetour(text)
		if err != nil || d != want {
			t.Errorf("%s: %+v, %v; want %+v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "a", "a:80", "a:80:b", "a:x:b:80", "a:80:b:y", "a:80:b:0", "a:80:b c:80", "a:80:b:80:90"} {
		_, err := parseDetour(text)
		var argument *ArgumentError
		if !errors.As(err, &argument) || argument.Field != "connect_to" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzOverrides(f *testing.F) {
	f.Add("a.test:80:10.0.0.1,[::1]")
	f.Add("a.test:80:[b]:8080")
	f.Fuzz(func(t *testing.T, text string) {
		if o, err := parseOverride(text); err == nil && (o.port == 0 || len(o.addrs) == 0) {
			t.Errorf("%q: %+v", text, o)
		}
		_, _ = parseDetour(text)
	})
}
