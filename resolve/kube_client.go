package resolve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// kubeConn is a client of one cluster. Configuration, TLS and authentication are
// client-go's; requests are made here, into the few fields that are read: its
// typed objects would add 5 MB to the program, and its typed clients 13 MB and
// 7 ms at every start.
type kubeConn struct {
	from      string // what it was made of
	base      *url.URL
	namespace string // of the context; "" is none
	root      string
	plugin    *kubePlugin // nil where there is none
	transport *http.Transport
	client    *http.Client
}

// The groups of the API that are asked, by their paths.
const (
	kubeCore          = "api/v1"
	kubeApps          = "apis/apps/v1"
	kubeBatch         = "apis/batch/v1"
	kubeDiscovery     = "apis/discovery.k8s.io/v1"
	kubeAuthorization = "apis/authorization.k8s.io/v1"
)

const (
	// maxKubeAnswer bounds one answer of the API. A page of 500 large pods is
	// about 10 MB.
	maxKubeAnswer = 64 << 20
	// kubePage is how many objects are asked for at a time, as by kubectl.
	kubePage = 500
	// maxKubePages bounds one list: 20,000 objects.
	maxKubePages = 40
)

func newKubeConn(options KubeOptions, origin *kubeOrigin) (*kubeConn, error) {
	cfg, plugin, namespace, err := options.restConfig(origin)
	if err != nil {
		return nil, err
	}
	c := &kubeConn{from: origin.key(), namespace: namespace, root: options.Root}
	if c.base, _, err = rest.DefaultServerURL(cfg.Host, "", schema.GroupVersion{}, true); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if plugin != nil {
		if c.plugin, err = newKubePlugin(plugin, cfg); err != nil {
			return nil, err
		}
	}
	if err := c.dialer(cfg); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return c, nil
}

// dialer makes the HTTP client. It has a transport of its own: the library
// shares its transports between all clients, so that none could be closed.
func (c *kubeConn) dialer(cfg *rest.Config) error {
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return err
	}
	c.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        4,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  cfg.DisableCompression,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
	if cfg.Proxy != nil {
		c.transport.Proxy = cfg.Proxy
	}
	var base http.RoundTripper = boundBodies{c.transport}
	if c.plugin != nil {
		base = c.plugin.wrap(c.transport, base)
	}
	wrapped, err := rest.HTTPWrappersForConfig(cfg, base)
	if err != nil {
		return err
	}
	c.client = &http.Client{
		Transport: wrapped,
		// The credentials are added to every request, so that whoever could
		// redirect one would be given them.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
	return nil
}

var errRedirect = error(&SaidError{Words: "it redirects elsewhere, which an API does not"})

// close gives the connection up. Nothing of it runs afterwards.
func (c *kubeConn) close() {
	c.transport.CloseIdleConnections()
	c.plugin.close()
}

// boundBodies fails when an answer is longer than maxKubeAnswer.
type boundBodies struct{ next http.RoundTripper }

func (b boundBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxKubeAnswer)
	}
	return response, err
}

// kubeRequest is what is asked for, also in the words of an error.
type kubeRequest struct {
	group     string
	resource  string
	namespace string // "" is all
	name      string // "" lists
	labels    string
	fields    string
}

// url is where the request goes to.
func (r kubeRequest) url(base *url.URL, page int, next string) *url.URL {
	path := []string{r.group}
	if r.namespace != "" {
		path = append(path, "namespaces", r.namespace)
	}
	path = append(path, r.resource)
	if r.name != "" {
		path = append(path, r.name)
	}
	u := base.JoinPath(path...)
	q := url.Values{}
	for key, value := range map[string]string{"labelSelector": r.labels, "fieldSelector": r.fields, "continue": next} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if page > 0 {
		q.Set("limit", strconv.Itoa(page))
	}
	u.RawQuery = q.Encode()
	return u
}

// get asks for one object, or for one page of a list.
func (c *kubeConn) get(ctx context.Context, r kubeRequest, page int, next string, into kubeObject) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(c.base, page, next).String(), nil)
	if err != nil {
		return err
	}
	return c.explain(r, c.do(request, into))
}

// post sends an object and reads what it has become.
func (c *kubeConn) post(ctx context.Context, r kubeRequest, object any, into kubeObject) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url(c.base, 0, "").String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return c.explain(r, c.do(request, into))
}

func (c *kubeConn) do(request *http.Request, into kubeObject) error {
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "nsenter-mcp")
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer func() {
		// What is left, a line end or the rest of a list, has to be read for the
		// connection to be used again; of a long rest a new connection costs less.
		_, _ = io.CopyN(io.Discard, response.Body, 1<<20)
		_ = response.Body.Close()
	}()
	if response.StatusCode/100 != 2 {
		return kubeRefusal(response)
	}
	return readKubeObject(response.Body, into)
}

// one asks for one object; false where there is none.
func (c *kubeConn) one(ctx context.Context, r kubeRequest, into kubeObject) (bool, error) {
	err := c.get(ctx, r, 0, "", into)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
