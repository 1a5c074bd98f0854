package config

import (
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/forward"
)

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"toolset: [inspect]", `line 1: the key "toolset" is unknown; did you mean toolsets?`},
		{"toolsets: [inspect]\ndestinations:\n  alow: []", `line 3: the key "alow" is unknown; did you mean allow? (destinations)`},
		{"audit: log", "line 1: expected syslog or the absolute path of a file (audit)"},
		{"frobnicate: 1", "line 1: the key \"frobnicate\" is unknown; there are allow_exec_plugin, allow_host_loopback, allow_host_network, allow_unsafe_methods, audit, context, destinations,"},
		{"toolsets: [inspect, probes]", `"probes" is none of inspect, probe, capture, exec; did you mean probe? (toolsets)`},
		{"toolsets: inspect", "line 1: expected a list of toolsets"},
		{"toolsets:", "line 1: expected a list of toolsets"},
		{"toolsets: [inspect]\ntoolsets: [exec]", "line 2: toolsets is there twice"},
		{"allow_unsafe_methods: yes", "line 1: expected true or false"},
		{`allow_unsafe_methods: "true"`, "line 1: expected true or false"},
		{"allow_host_network:", "line 1: expected true or false"},
		{"destinations: [10.0.0.0/8]", "line 1: expected a mapping with the keys allow, deny, metadata"},
		{"destinations:\n  deny:\n  - 10.0.0.0/8\n  - 10.0.0.1/8", `line 4: "10.0.0.1/8" has bits behind its prefix; write 10.0.0.0/8`},
		{"destinations: {deny: [example.com]}", `"example.com" is no address and no prefix`},
		{"destinations: {deny: [{a: b}]}", "line 1: expected a word"},
		{"a: &x [1]\ntoolsets: *x", `the key "a" is unknown`},
		{"docker_host: ''", "line 1: expected a word"},
		{"toolsets: [inspect]\n---\ntoolsets: [exec]", "more than one YAML document"},
		{"toolsets: [", "line 1"},
		{"\tx", "cannot start any token"},
		{"- inspect", "line 1: expected a mapping"},
	} {
		_, err := Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// The command that leads to other nodes, as a line and as a list of its words.
func TestViaAsAList(t *testing.T) {
	t.Parallel()
	want := []string{"ssh", "-p", "22", "n-1", "it's", `a "b" \c`, "|", "$x", "nsenter-mcp"}
	for _, text := range []string{
		`via: [ssh, -p, 22, "{node}", "it's", 'a "b" \c', "|", $x, nsenter-mcp]`,
		`via: ssh -p 22 {node} "it's" 'a "b" \c' '|' '$x' nsenter-mcp`,
	} {
		f, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		template, err := forward.ParseTemplate(f.Via)
		if err != nil {
			t.Fatalf("%s: %v", f.Via, err)
		}
		if argv, err := template.Argv("n-1"); err != nil || !slices.Equal(argv, want) {
			t.Errorf("%s: %q, %v", text, argv, err)
		}
	}
	for _, text := range []string{"via: [ssh, {node}]", "via: [ssh, '']", "via: {a: b}"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// What lies there may have been meant for somebody else, and what is said of it
// reaches whoever starts the server.
func TestErrorsQuoteNoSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"root:$y$j9T$secret:19000:0:99999:7:::\ndaemon:*:19000::::::\n",
		"$y$j9T$secret: x\n", "toolsets: [$y$j9T$secret]\n", "allow_host_network: $y$j9T$secret\n", "destinations: $y$j9T$secret\n",
		"-----BEGIN $y$j9T$secret-----\n", "[[$y$j9T$secret", "$y$j9T$secret: $y$j9T$secret: x",
	} {
		_, err := Parse([]byte(text))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "toolsets: [inspect]", "destinations: {allow: [10.0.0.0/8]}", "&a [*a]", "? [a]\n: b", "!!binary x: y", "<<: {toolsets: []}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		for _, set := range file.Toolsets {
			if _, known := parseToolset(string(set)); err == nil && known != nil {
				t.Errorf("%q allows %q", text, set)
			}
		}
	})
}
