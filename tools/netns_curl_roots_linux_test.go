package tools

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// TestCurlTrustsTheHost: where the server runs in a container, the host's bundle
// lies below the host's root, and links in it lead nowhere else.
func TestCurlTrustsTheHost(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	_ = server.Listener.Close()
	root := t.TempDir()
	b := newTestbench(t, func(c *dispatch.Config) { c.Env.Root = root })
	pod := b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop"})
	listener, err := pod.Listen("tcp", ":443")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	// example.com is a name of the certificate of package httptest.
	args := map[string]any{"netns": pod.Path, "url": "https://example.com/", "resolve": "example.com:443:" + pod.IP.String()}

	_, data := succeed[fact.Fetch](t, b, "netns_curl", args)
	if data.TLS == nil || data.TLS.Verified || data.TLS.RootsFrom != "embedded" {
		t.Fatalf("without a bundle: %+v", data.TLS)
	}
	for path, file := range map[string]string{
		"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": "/etc/pki/tls/certs/ca-bundle.crt", // behind a link, as on Fedora
		"etc/ssl/ca-bundle.pem":                            "/etc/ssl/ca-bundle.pem",
	} {
		if err := os.RemoveAll(filepath.Join(root, "etc")); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Dir(path), filepath.Dir(file)} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, path), bundle, 0o600); err != nil {
			t.Fatal(err)
		}
		if "/"+path != file {
			if err := os.Symlink("/"+path, filepath.Join(root, file)); err != nil {
				t.Fatal(err)
			}
		}
		_, data = succeed[fact.Fetch](t, b, "netns_curl", args)
		if data.TLS == nil || !data.TLS.Verified || data.TLS.RootsFrom != "host:"+file {
			t.Errorf("%s: %+v %s", path, data.TLS, data.Reason)
		}
	}
}
