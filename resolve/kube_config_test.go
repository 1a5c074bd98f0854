package resolve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"nsenter-mcp/internal/lab"
)

// Which settings count, and what is said of those that do not work. The
// environment is one for the process, so that nothing runs beside this.
func TestKubeconfig(t *testing.T) {
	api := newKubeAPI(t, recorded(t, "running"))
	good := api.config(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	nowhere := filepath.Join(home, "nowhere")
	users := writeFile(t, "users", "apiVersion: v1\nkind: Config\nusers:\n- name: test\n  user: {token: of-the-first-file}\n")
	exec := api.configFor(t, "exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, interactiveMode: Never}")
	tests := []struct {
		name    string
		env     string
		options KubeOptions
		says    string // "" works
	}{
		{"nothing", "", KubeOptions{}, ErrAbsent.Error()},
		{"flag", "", KubeOptions{Config: good}, ""},
		{"flag wins", nowhere, KubeOptions{Config: good}, ""},
		{"flag names nothing", good, KubeOptions{Config: nowhere}, "--kubeconfig names"},
		{"environment", good, KubeOptions{}, ""},
		{"environment names nothing", nowhere, KubeOptions{}, "KUBECONFIG names"},
		{"environment does not count", good, KubeOptions{Operator: true}, ErrAbsent.Error()},
		{"several", nowhere + ":" + good, KubeOptions{}, ""},
		{"the first of several counts", users + ":" + good, KubeOptions{}, "does not accept the credentials"},
		{"the first of several counts, otherwise", good + ":" + users, KubeOptions{}, ""},
		{"another context", "", KubeOptions{Config: good, Context: "other"}, "does not accept the credentials"},
		{"no such context", "", KubeOptions{Config: good, Context: "prod"}, `no context "prod"; it has "other", "test"`},
		{"context without a file", "", KubeOptions{Context: "prod"}, ErrAbsent.Error()},
		{"no context at all", "", KubeOptions{Config: users}, "no current context"},
		{"a directory", "", KubeOptions{Config: home}, "no regular file"},
		{"something else", "", KubeOptions{Config: writeFile(t, "x", "secret: [token")}, "no valid YAML"},
		{"too long", "", KubeOptions{Config: writeFile(t, "x", strings.Repeat("#", maxKubeconfig+1))}, "longer than"},
	}
	if isRoot() {
		open := api.config(t)
		if err := os.Chmod(open, 0o666); err != nil {
			t.Fatal(err)
		}
		shared := api.config(t)
		if err := os.Chmod(shared, 0o660); err != nil {
			t.Fatal(err)
		}
		tests = append(tests, []struct {
			name    string
			env     string
			options KubeOptions
			says    string
		}{
			{"of everybody", "", KubeOptions{Config: open}, "written by others than root (mode 0666)"},
			{"of a group", "", KubeOptions{Config: shared}, "written by others than root (mode 0660)"},
			{"a program, as root", "", KubeOptions{Config: exec}, "--allow-exec-plugin"},
		}...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(clientcmd.RecommendedConfigPathEnvVar, test.env)
			_, err := api.source(t, test.options).List(t.Context())
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret")):
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
	t.Run("of another user", func(t *testing.T) {
		if !isRoot() {
			t.Skip("only root follows none of others")
		}
		lab.OtherUsers(t)
		theirs := api.config(t)
		if err := os.Chown(theirs, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		_, err := api.source(t, KubeOptions{Config: theirs}).List(t.Context())
		if err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("in a pod without its account", func(t *testing.T) {
		t.Setenv(clientcmd.RecommendedConfigPathEnvVar, "")
		t.Setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
		t.Setenv("KUBERNETES_SERVICE_PORT", "443")
		_, err := api.source(t, KubeOptions{}).List(t.Context())
		if err == nil || !strings.Contains(err.Error(), "service account of this pod") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("home", func(t *testing.T) {
		t.Setenv(clientcmd.RecommendedConfigPathEnvVar, "")
		k := api.source(t, KubeOptions{})
		if _, err := k.List(t.Context()); !errors.Is(err, ErrAbsent) {
			t.Fatalf("got %v", err)
		}
		data, err := os.ReadFile(good)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(home, ".kube"), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(home, ".kube", "config")
		if err := os.WriteFile(path, []byte(strings.Replace(string(data), kubeKnock, "old", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := k.List(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials") {
			t.Fatalf("got %v", err)
		}
		// A login that renews the file is seen by the server that runs already.
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if ws, err := k.List(t.Context()); err != nil || len(ws) != 1 {
			t.Errorf("got %d pods, %v", len(ws), err)
		}
	})
}

// pluginAPI is an API whose kubeconfig gets its token by a program.
func pluginAPI(t *testing.T, script string) *kubeAPI {
	t.Helper()
	api := newKubeAPI(t, recorded(t, "running"))
	path := writeProgram(t, "get-token", []byte("#!/bin/sh\n"+script))
	user := fmt.Sprintf("exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, interactiveMode: IfAvailable, provideClusterInfo: true, env: [{name: WHO, value: me}]}", path)
	api.kube = api.source(t, KubeOptions{Config: api.configFor(t, user), AllowPlugin: true})
	return api
}

// credential is what a plugin prints.
func credential(rest string) string {
	return `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{` + rest + `}}'` + "\n"
}

func TestKubePlugin(t *testing.T) {
	t.Parallel()
	good := credential(`"token":"` + kubeKnock + `"`)
	tests := map[string]struct {
		script string
		says   string
	}{
		"works":             {`[ "$WHO" = me ] && case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ` + good + ` ;; esac`, ""},
		"knows the cluster": {`case "$KUBERNETES_EXEC_INFO" in *'"server":"https://127.0.0.1'*certificate-authority-data*) ` + good + ` ;; esac`, ""},
		"reads nothing":     {"read line; " + good, ""},
		"wrong token":       {credential(`"token":"x"`), "does not accept the credentials"},
		"fails":             {`echo "secret \033[31m" >&2; exit 3`, "failed: exit status 3"},
		"prints nothing":    {"true", "no ExecCredential"},
		"prints no JSON":    {"echo secret", "no ExecCredential"},
		"no credentials":    {credential(``), "neither a token nor a certificate"},
		"bad certificate":   {credential(`"clientCertificateData":"secret"`), "cannot be used"},
		"another version":   {strings.Replace(good, "/v1", "/v1beta1", 1), "the answer has version"},
		"prints for ever":   {"yes secret | head -c 3000000", "printed more than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pluginAPI(t, test.script).kube.List(t.Context())
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") || !printable(err.Error())):
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
	t.Run("not installed", func(t *testing.T) {
		t.Parallel()
		api := newKubeAPI(t)
		k := api.source(t, KubeOptions{AllowPlugin: true, Config: api.configFor(t, "exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-program, interactiveMode: Never}")})
		if says := failing(t, k, Query{Pod: "web"}); !strings.Contains(says, `"no-such-program" is not installed`) {
			t.Errorf("says %q", says)
		}
	})
	t.Run("wants a person", func(t *testing.T) {
		t.Parallel()
		api := newKubeAPI(t)
		k := api.source(t, KubeOptions{AllowPlugin: true, Config: api.configFor(t, "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}")})
		if says := failing(t, k, Query{Pod: "web"}); !strings.Contains(says, "interactiveMode Always") {
			t.Errorf("says %q", says)
		}
	})
}

// A plugin that takes longer than a call is not started again by the next one,
// which has its credentials; one that is not waited for any more ends.
func TestKubePluginSlow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gate, count := filepath.Join(dir, "gate"), filepath.Join(dir, "count")
	api := pluginAPI(t, fmt.Sprintf("echo run >>%s\nuntil [ -e %s ]; do sleep 0.05; done\n", count, gate)+credential(`"token":"`+kubeKnock+`"`))
	for range 2 {
		ctx, cancel := contextFor(t, 300*time.Millisecond)
		_, err := api.kube.List(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "has not answered yet") {
			t.Fatalf("got %v", err)
		}
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := api.kube.List(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if runs, err := os.ReadFile(count); err != nil || string(runs) != "run\n" {
		t.Errorf("it ran: %q, %v", runs, err)
	}
}

func TestKubePluginEnds(t *testing.T) {
	t.Parallel()
	api := pluginAPI(t, "sleep 1000 &\nwait\n")
	ctx, cancel := contextFor(t, 300*time.Millisecond)
	defer cancel()
	if _, err := api.kube.List(ctx); err == nil {
		t.Fatal("got a list")
	}
	plugin := api.kube.conn.plugin
	if !plugin.running() {
		t.Fatal("it does not run")
	}
	if err := api.kube.Close(); err != nil {
		t.Fatal(err)
	}
	if plugin.running() {
		t.Error("it runs on after Close")
	}
	// Who had the connection before does not start it again, and learns why.
	if _, err := plugin.get(t.Context()); err == nil || !strings.Contains(err.Error(), "was ended, since the connection to the Kubernetes API was given up") || plugin.running() {
		t.Errorf("got %v of a connection that was given up", err)
	}
}

// What a plugin writes reaches nobody as a word of ours.
func TestKubePluginSays(t *testing.T) {
	t.Parallel()
	api := pluginAPI(t, `echo "log in again \033[31m" >&2; exit 1`)
	r := New(Config{Cluster: []Source{api.kube}})
	t.Cleanup(r.Close)
	r.limits.source = time.Minute
	_, err := r.Resolve(t.Context(), Query{Pod: "web"})
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindSource || strings.Contains(e.Message, "log in") || !strings.Contains(e.Message, "exit status 1") || e.Said != "log in again  [31m" {
		t.Errorf("got %+v", err)
	}
	for _, s := range e.Steps {
		if strings.Contains(s.Reason, "log in") {
			t.Errorf("step %+v", s)
		}
	}
}

// Credentials are renewed before they end, and not before.
func TestKubePluginRenews(t *testing.T) {
	t.Parallel()
	now := time.Now()
	answer := func(err error, ended, expires time.Time) pluginAnswer {
		return pluginAnswer{err: err, ended: ended, credential: &kubeCredential{expires: expires}}
	}
	failed := errors.New("failed")
	tests := map[string]struct {
		last   pluginAnswer
		counts bool
	}{
		"none yet":       {pluginAnswer{}, false},
		"for ever":       {answer(nil, now.Add(-time.Hour), time.Time{}), true},
		"good":           {answer(nil, now, now.Add(time.Minute)), true},
		"about to end":   {answer(nil, now, now.Add(time.Second)), false},
		"ended":          {answer(nil, now, now.Add(-time.Second)), false},
		"failed":         {answer(failed, now, time.Time{}), true},
		"failed earlier": {answer(failed, now.Add(-time.Minute), time.Time{}), false},
	}
	for name, test := range tests {
		if got := test.last.counts(now); got != test.counts {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
