package main

import (
	"os"
	"slices"
	"strings"
)

// keptVariables count beside an operator's file: who called, where Kubernetes is as
// seen from a pod, this node's name, how text and times are written, and those that
// [options.policy] refuses with a word of its own. PATH is the system's.
var keptVariables = [...]string{
	"HOME", "USER", "LOGNAME", "LANG", "TZ", "TERM", "SUDO_USER", "SUDO_UID", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "NODE_NAME",
	"DOCKER_HOST", "CONTAINER_RUNTIME_ENDPOINT", "SSH_AUTH_SOCK", "SSH_ASKPASS_REQUIRE", "JOURNAL_STREAM", "INVOCATION_ID", "NOTIFY_SOCKET",
}

// systemPath is where root's programs are.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ignoreEnvironment takes the caller's environment away where there is an operator's
// file, which alone says then where to look and through what: libraries obey many
// variables (HTTP_PROXY, SSL_CERT_FILE, XDG_RUNTIME_DIR, KUBECONFIG), and what this
// program starts inherits them. It is called once, before the node is opened, which
// reads such variables.
func ignoreEnvironment() error {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(keptVariables[:], name) || strings.HasPrefix(name, "LC_") {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", systemPath)
}
