package forward

import (
	"slices"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want []string // for node n-1
		says string   // of the error
	}{
		{line: `ssh -T {node} sudo -n nsenter-mcp`, want: []string{"ssh", "-T", "n-1", "sudo", "-n", "nsenter-mcp"}},
		{line: `kubectl exec -i -n kube-system nsenter-mcp-{node} -- nsenter-mcp --host-root /host`,
			want: []string{"kubectl", "exec", "-i", "-n", "kube-system", "nsenter-mcp-n-1", "--", "nsenter-mcp", "--host-root", "/host"}},
		{line: `  ssh	-o 'ProxyCommand=nc %h "22"' "sre@{node}" a\ b "" '{node}' `,
			want: []string{"ssh", "-o", `ProxyCommand=nc %h "22"`, "sre@n-1", "a b", "", "n-1"}},
		{line: `c "a\"b\\c" 'a\b' \$x '$x' e"f"'g' {node}`, want: []string{"c", `a"b\c`, `a\b`, "$x", "$x", "efg", "n-1"}},
		{line: `c 'it'\''s' '#' {node} # x`, want: []string{"c", "it's", "#", "n-1", "#", "x"}},
		{line: `ssh $USER@{node} 'a | b' "c; d" '(e)' "$(f)"`, want: []string{"ssh", "$USER@n-1", "a | b", "c; d", "(e)", "$(f)"}},
		{line: `c -o jsonpath={.items[0]} '{{.Name}}' {node}.{node} ~/x *`, want: []string{"c", "-o", "jsonpath={.items[0]}", "{{.Name}}", "n-1.n-1", "~/x", "*"}},
		{line: `cmd {node} größe`, want: []string{"cmd", "n-1", "größe"}},
		{line: ``, says: "empty"},
		{line: `"" {node}`, says: "empty"},
		{line: `ssh node`, says: "{node} is missing"},
		{line: `{node} x`, says: "own name"},
		{line: `ssh {node} {pod}`, says: "{pod} is no placeholder"},
		{line: `ssh {Node}`, says: "{Node} is no placeholder"},
		{line: `ssh {node} | tee log`, says: "no shell"},
		{line: `ssh {node}; id`, says: "no shell"},
		{line: `ssh {node} && id`, says: "no shell"},
		{line: `ssh {node} > log`, says: "no shell"},
		{line: `ssh {node} 2>log`, says: "no shell"},
		{line: `ssh {node} &`, says: "no shell"},
		{line: `(ssh {node})`, says: "bracket"},
		{line: `ssh 'node {node}`, says: "quote"},
		{line: "ssh {node} \x00", says: "NUL"},
	} {
		template, err := ParseTemplate(c.line)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q: %v, want %q", c.line, err, c.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		if argv, err := template.Argv("n-1"); err != nil || !slices.Equal(argv, c.want) {
			t.Errorf("%q: %q, %v", c.line, argv, err)
		}
	}
}

// What a caller names can only ever be a word within words, never an option.
func FuzzArgv(f *testing.F) {
	for _, node := range []string{"n", "-oProxyCommand=x", "a b", "n.1-2", "{node}", "$(id)", "a\n", ""} {
		f.Add(node)
	}
	template, err := ParseTemplate("ssh -T {node} 'x {node}'")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, node string) {
		argv, err := template.Argv(node)
		if err != nil {
			return
		}
		if len(argv) != 4 || argv[2] != node || strings.HasPrefix(node, "-") || strings.ContainsAny(node, " \t\n/$`'\"{}*?\\;|&<>%@:") {
			t.Errorf("%q became %q", node, argv)
		}
	})
}

func FuzzParseTemplate(f *testing.F) {
	for _, line := range []string{"ssh {node}", `a "b {node}" 'c'`, `a \`, `a $'x'`, `a "$(b {node})`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		template, err := ParseTemplate(line)
		if err != nil {
			return
		}
		if argv, err := template.Argv("n"); err != nil || len(argv) < 2 || strings.Contains(strings.Join(argv, " "), nodePlaceholder) {
			t.Errorf("%q became %q, %v", line, argv, err)
		}
	})
}

func TestExecNamespace(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"ssh -T {node} sudo -n nsenter-mcp":                      "",
		"/opt/deploy/on-node {node}":                             "nsenter-mcp",
		"kubectl -n mine exec -i p-{node} -- /nsenter-mcp -n x":  "mine",
		"kubectl exec --namespace=a -i p-{node} -- /nsenter-mcp": "a",
		"kubectl exec --namespace a -i p-{node} -- /nsenter-mcp": "a",
		"kubectl exec -i p-{node} -- /nsenter-mcp":               "default",
		"kubectl debug node/{node} -- /nsenter-mcp":              "",
	} {
		template, err := ParseTemplate(line)
		if err != nil {
			t.Fatal(err)
		}
		if got := template.ExecNamespace(); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
