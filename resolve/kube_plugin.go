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

	"golang.org/x/sync/singleflight"
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
	info   string          // KUBERNETES_EXEC_INFO
	life   context.Context //nolint:containedctx // that of the connection, see stop
	stop   context.CancelFunc
	runs   singleflight.Group
	busy   sync.Mutex // held while the program runs

	mu        sync.Mutex
	last      pluginAnswer
	transport *http.Transport // whose requests carry the credentials
}

// pluginAnswer is what a run of the program has given; zero before the first.
type pluginAnswer struct {
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
type pluginError struct{ error }

func (e *pluginError) Unwrap() error { return e.error }

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
	p := &kubePlugin{config: *config, info: string(info)}
	p.life, p.stop = context.WithCancel(context.Background()) //nolint:forbidigo // it serves all callers, and close ends it
	return p, nil
}

// running reports whether the program is under way.
func (p *kubePlugin) running() bool {
	if p == nil || !p.busy.TryLock() {
		return p != nil
	}
	p.busy.Unlock()
	return false
}

// close ends the program where it runs, and waits for that, which is soon. It is not
// started again.
func (p *kubePlugin) close() {
	if p == nil {
		return
	}
	p.stop()
	p.busy.Lock()
	defer p.busy.Unlock()
}

// get returns credentials that are good now, and runs the program for them where
// it must.
func (p *kubePlugin) get(ctx context.Context) (*kubeCredential, error) {
	// A little early, so that the caller still hears why; and the source is no
	// hung one.
	if deadline, ok := ctx.Deadline(); ok {
		early, cancel := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
		defer cancel()
		ctx = early
	}
	select {
	case a := <-p.runs.DoChan("", p.renewed):
		var failed *pluginError
		switch {
		case errors.As(a.Err, &failed):
			return nil, failed
		case a.Err != nil:
			return nil, &pluginError{a.Err}
		}
		return a.Val.(*kubeCredential), nil //nolint:forcetypeassert // of no other type
	case <-ctx.Done():
		return nil, &pluginError{fmt.Errorf("the kubeconfig's credential plugin %s has not answered yet, and is given %s: call again",
			quote(p.config.Command), pluginLimit)}
	}
}

var errGivenUp = errors.New("the connection to the Kubernetes API was given up: call again")

// renewed is a [*kubeCredential] that is good now, for one caller at a time.
func (p *kubePlugin) renewed() (any, error) {
	last := p.answer()
	if last.counts(time.Now()) {
		return last.credential, last.err
	}
	p.busy.Lock()
	defer p.busy.Unlock()
	if p.life.Err() != nil {
		return nil, errGivenUp
	}
	p.transport.CloseIdleConnections() // they were made with older credentials
	ctx, cancel := context.WithTimeout(p.life, pluginLimit)
	defer cancel()
	last.credential, last.err = p.execute(ctx)
	last.ended = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = last
	return last.credential, last.err
}

func (p *kubePlugin) answer() pluginAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// counts reports whether the program need not run again.
func (a pluginAnswer) counts(now time.Time) bool {
	switch {
	case a.ended.IsZero():
		return false
	case a.err != nil:
		return now.Sub(a.ended) < pluginPause
	}
	return a.credential.expires.IsZero() || now.Add(pluginEarly).Before(a.credential.expires)
}

// refused forgets credentials that the API did not accept.
func (p *kubePlugin) refused(c *kubeCredential) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// One that was refused at once would be refused again.
	if p.last.credential == c && time.Since(p.last.ended) > pluginPause {
		p.last = pluginAnswer{}
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
	case errors.Is(ctx.Err(), context.Canceled): // by close
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s was ended, since %w", name, errGivenUp)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the kubeconfig's credential plugin %s took longer than %s and was ended", name, pluginLimit)
	case err != nil:
		return nil, &pluginError{&SaidError{
			Words: fmt.Sprintf("the kubeconfig's credential plugin %s failed: %v", name, err),
			Text:  complaint.kept.String(), Err: err,
		}}
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
	if err := unmarshalForeign(data, &printed); err != nil {
		return nil, errors.New("the output is no ExecCredential")
	}
	s := printed.Status
	switch {
	case printed.Kind != "ExecCredential":
		return nil, errors.New("the output is no ExecCredential")
	case printed.APIVersion != version:
		return nil, fmt.Errorf("the answer has version %s, the kubeconfig says %s", quote(printed.APIVersion), quote(version))
	case s == nil || s.Token == "" && s.ClientCertificateData == "":
		return nil, errors.New("the output has neither a token nor a certificate")
	}
	c := &kubeCredential{token: s.Token}
	if s.ExpirationTimestamp != nil {
		c.expires = s.ExpirationTimestamp.Time
	}
	if s.ClientCertificateData != "" {
		pair, err := tls.X509KeyPair([]byte(s.ClientCertificateData), []byte(s.ClientKeyData))
		if err != nil {
			return nil, errors.New("the printed certificate cannot be used")
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
		if last := p.answer(); last.err == nil && last.credential != nil && last.credential.certificate != nil {
			return last.credential.certificate, nil
		}
		return &tls.Certificate{}, nil
	}
	p.transport = transport
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
