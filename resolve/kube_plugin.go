package resolve

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientauthentication "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubePlugin gets credentials from the program that a kubeconfig names
// (client-go credential plugins). The library would do so, too, but would wait for
// the program without end, and let it write to standard error and read standard
// input, which belong to the log and to the protocol.
//
// The program runs once for all who need it. Who cannot wait leaves, and finds
// the credentials the next time.
type kubePlugin struct {
	config clientcmdapi.ExecConfig
	info   string // KUBERNETES_EXEC_INFO

	mu      sync.Mutex
	run     *pluginRun // the last one, under way or not; nil before the first
	stopped bool       // nobody is to wait for it any more
	expired func()     // ends connections that were made with older credentials
}

// pluginRun is one run of the program. credential and err are set before done is
// closed.
type pluginRun struct {
	done       chan struct{}
	cancel     context.CancelFunc
	credential *kubeCredential
	err        error
	ended      time.Time
}

// kubeCredential is what a plugin gives out.
type kubeCredential struct {
	token       string
	certificate *tls.Certificate
	expires     time.Time // zero is never
}

const (
	// pluginLimit is how long a plugin may take. Some ask a cloud, or a person in a
	// browser, who will not be there.
	pluginLimit = 30 * time.Second
	// pluginPause is how long a failure counts before the program is run again.
	pluginPause = 10 * time.Second
	// maxPluginAnswer bounds what a plugin may print.
	maxPluginAnswer = 1 << 20
	// pluginEarly is how long before their end credentials are renewed.
	pluginEarly = 10 * time.Second
)

// pluginError says why there are no credentials.
type pluginError struct {
	err error
	// said is what the program wrote, which is no word of ours: it may quote whoever
	// it has asked.
	said string
}

func (e *pluginError) Error() string { return e.err.Error() }
func (e *pluginError) Unwrap() error { return e.err }

// Said is what somebody else has said about the cause of err, beyond its message;
// "" for nothing. It is one line, and to be shown as that of a stranger.
func Said(err error) string {
	var plugin *pluginError
	if errors.As(err, &plugin) {
		return plugin.said
	}
	return ""
}

func newKubePlugin(config *clientcmdapi.ExecConfig, cfg *rest.Config) (*kubePlugin, error) {
	if config.InteractiveMode == clientcmdapi.AlwaysExecInteractiveMode {
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s wants to ask a person (interactiveMode Always): use other credentials", quote(config.Command))
	}
	credential := clientauthentication.ExecCredential{}
	credential.APIVersion, credential.Kind = config.APIVersion, "ExecCredential"
	if config.ProvideClusterInfo {
		with := rest.CopyConfig(cfg)
		with.ExecProvider = config
		cluster, err := rest.ConfigToExecCluster(with)
		if err != nil {
			return nil, fmt.Errorf("credential plugin: %w", err)
		}
		credential.Spec.Cluster = &clientauthentication.Cluster{
			Server: cluster.Server, TLSServerName: cluster.TLSServerName, InsecureSkipTLSVerify: cluster.InsecureSkipTLSVerify,
			CertificateAuthorityData: cluster.CertificateAuthorityData, ProxyURL: cluster.ProxyURL,
			DisableCompression: cluster.DisableCompression, Config: runtime.RawExtension{Object: cluster.Config},
		}
	}
	info, err := json.Marshal(credential)
	if err != nil {
		return nil, fmt.Errorf("credential plugin: %w", err)
	}
	return &kubePlugin{config: *config, info: string(info)}, nil
}

// running reports whether the program is under way.
func (p *kubePlugin) running() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run != nil && !isClosed(p.run.done)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// stop ends the program where it runs. What it returns is closed when the program
// has ended; nil where none runs. It is not started again.
func (p *kubePlugin) stop() <-chan struct{} {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.run == nil || isClosed(p.run.done) {
		return nil
	}
	p.run.cancel()
	return p.run.done
}

// get returns credentials that are good now, and runs the program for them where
// it must.
func (p *kubePlugin) get(ctx context.Context) (*kubeCredential, error) {
	run := p.current()
	// A little early, so that the caller still hears why; and the source is no
	// hung one.
	if deadline, ok := ctx.Deadline(); ok {
		early, cancel := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
		defer cancel()
		ctx = early
	}
	select {
	case <-run.done:
		var failed *pluginError
		switch {
		case errors.As(run.err, &failed):
			return nil, failed
		case run.err != nil:
			return nil, &pluginError{err: run.err}
		}
		return run.credential, nil
	case <-ctx.Done():
		return nil, &pluginError{err: fmt.Errorf("the kubeconfig's credential plugin %s has not answered yet, and is given %s: call again",
			quote(p.config.Command), pluginLimit)}
	}
}

var errGivenUp = errors.New("the connection to the Kubernetes API was given up: call again")

// current is the run whose outcome counts now.
func (p *kubePlugin) current() *pluginRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && p.run.counts(time.Now()) {
		return p.run
	}
	if p.run != nil && p.expired != nil {
		p.expired()
	}
	if p.stopped {
		run := &pluginRun{done: make(chan struct{}), err: errGivenUp}
		close(run.done)
		return run
	}
	ctx, cancel := context.WithTimeout(context.Background(), pluginLimit) //nolint:forbidigo // it serves all callers, and close ends it
	run := &pluginRun{done: make(chan struct{}), cancel: cancel}
	p.run = run
	go func() {
		defer cancel()
		defer close(run.done)
		run.credential, run.err = p.execute(ctx)
		run.ended = time.Now()
	}()
	return run
}

func (r *pluginRun) counts(now time.Time) bool {
	switch {
	case !isClosed(r.done):
		return true
	case r.err != nil:
		return now.Sub(r.ended) < pluginPause
	}
	return r.credential.expires.IsZero() || now.Add(pluginEarly).Before(r.credential.expires)
}

// refused forgets credentials that the API did not accept.
func (p *kubePlugin) refused(c *kubeCredential) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// One that was refused at once would be refused again.
	if p.run != nil && isClosed(p.run.done) && p.run.credential == c && time.Since(p.run.ended) > pluginPause {
		p.run = nil
	}
}

// execute runs the program.
func (p *kubePlugin) execute(ctx context.Context) (*kubeCredential, error) {
	name := quote(p.config.Command)
	// The operator's kubeconfig names it: that is what a credential plugin is. As
	// root it needs a flag, see [KubeOptions].
	cmd := exec.CommandContext(ctx, p.config.Command, p.config.Args...) //nolint:gosec // see above
	killWhole(cmd)
	cmd.WaitDelay = time.Second // for pipes that a child of it holds open
	cmd.Env = os.Environ()
	for _, e := range p.config.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
	}
	cmd.Env = append(cmd.Env, "KUBERNETES_EXEC_INFO="+p.info)
	out, complaint := &bounded{limit: maxPluginAnswer}, &bounded{limit: 512}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s is not installed here", name)
	case errors.Is(ctx.Err(), context.Canceled): // by stop
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s was ended, since %w", name, errGivenUp)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s took longer than %s and was ended", name, pluginLimit)
	case err != nil:
		return nil, &pluginError{
			err:  fmt.Errorf("the kubeconfig's credential plugin %s failed: %w", name, err),
			said: text(complaint.kept.String()),
		}
	case out.cut:
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s printed more than %d bytes", name, maxPluginAnswer)
	}
	c, err := parseCredential(out.kept.Bytes(), p.config.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s: %w", name, err)
	}
	return c, nil
}

// parseCredential reads what a plugin printed. No error quotes it: it is secret.
func parseCredential(data []byte, version string) (*kubeCredential, error) {
	var printed clientauthentication.ExecCredential
	if err := json.Unmarshal(data, &printed); err != nil {
		return nil, errors.New("what it printed is no ExecCredential")
	}
	s := printed.Status
	switch {
	case printed.Kind != "ExecCredential":
		return nil, errors.New("what it printed is no ExecCredential")
	case printed.APIVersion != version:
		return nil, fmt.Errorf("it answers in version %s, the kubeconfig says %s", quote(printed.APIVersion), quote(version))
	case s == nil || s.Token == "" && s.ClientCertificateData == "":
		return nil, errors.New("it printed neither a token nor a certificate")
	}
	c := &kubeCredential{token: s.Token}
	if s.ExpirationTimestamp != nil {
		c.expires = s.ExpirationTimestamp.Time
	}
	if s.ClientCertificateData != "" {
		pair, err := tls.X509KeyPair([]byte(s.ClientCertificateData), []byte(s.ClientKeyData))
		if err != nil {
			return nil, errors.New("the certificate that it printed cannot be used")
		}
		c.certificate = &pair
	}
	return c, nil
}

// wrap makes requests carry the credentials.
func (p *kubePlugin) wrap(transport *http.Transport, next http.RoundTripper) http.RoundTripper {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.run == nil || !isClosed(p.run.done) || p.run.err != nil || p.run.credential.certificate == nil {
			return &tls.Certificate{}, nil
		}
		return p.run.credential.certificate, nil
	}
	p.expired = transport.CloseIdleConnections
	return &pluginTransport{plugin: p, next: next}
}

type pluginTransport struct {
	plugin *kubePlugin
	next   http.RoundTripper
}

func (t *pluginTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := t.plugin.get(r.Context())
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := t.next.RoundTrip(r)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		t.plugin.refused(c)
	}
	return response, err
}

// bounded keeps the first bytes that are written to it. It does not embed the
// buffer, whose ReadFrom would take everything.
type bounded struct {
	kept  bytes.Buffer
	limit int
	cut   bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.limit - b.kept.Len(); len(p) > room {
		b.cut = true
		b.kept.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return b.kept.Write(p)
}
