package resolve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// explain words in one line what went wrong with a request.
func (c *kubeConn) explain(r kubeRequest, err error) error {
	if err == nil {
		return nil
	}
	said := func(format string, args ...any) error {
		return &SaidError{Words: fmt.Sprintf(format, args...), Text: Said(err), Err: err}
	}
	var plugin *pluginError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var request *url.Error
	var status *kubeStatus
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &plugin):
		return said("%s", plugin)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return said("%s did not answer in time", c.address())
	case errors.As(err, &certificate), errors.As(err, &authority):
		return said("%s has another certificate than the kubeconfig trusts, so the API may be another cluster's", c.address())
	case errors.As(err, &tooLong):
		return said("%s: the answer is longer than %d bytes", c.address(), tooLong.Limit)
	case errors.As(err, &status) && status.code == http.StatusUnauthorized:
		return said("%s does not accept the credentials: they have expired, or are of another cluster", c.address())
	case errors.As(err, &status) && status.Kind == "":
		return said("%s: no Kubernetes API answers there (HTTP status %d)", c.address(), status.code)
	case isForbidden(err):
		return said("not allowed to %s: RBAC does not grant it to the user of this kubeconfig or service account", r)
	case errors.As(err, &status):
		return &SaidError{Words: fmt.Sprintf("%s: cannot %s (HTTP status %d)", c.address(), r, status.code), Text: status.Message, Err: err}
	case errors.As(err, &request):
		return because(c.address()+" cannot be reached", request.Err)
	}
	return because(c.address()+": no Kubernetes API answers there", err)
}

// address is the API's, for messages.
func (c *kubeConn) address() string { return "the Kubernetes API at " + text(c.base.Host) }

// String words a request as kubectl would: "list pods in namespace shop".
func (r kubeRequest) String() string {
	verb, where := "get", ""
	if r.name == "" {
		verb = "list"
	}
	if r.namespace != "" {
		where = " in namespace " + r.namespace
	} else if r.resource != kubeNodes {
		where = " in all namespaces"
	}
	return verb + " " + r.resource + where
}

// isNotFound reports whether the API itself says that there is no such object.
func isNotFound(err error) bool {
	var status *kubeStatus
	return errors.As(err, &status) && status.code == http.StatusNotFound && status.Reason == "NotFound"
}

// isForbidden reports whether the API itself refuses by its rules.
func isForbidden(err error) bool {
	var status *kubeStatus
	return errors.As(err, &status) && status.code == http.StatusForbidden && status.Kind != ""
}

// isCut reports whether a list was longer than what is read of one.
func isCut(err error) bool {
	var cut *cutError
	return errors.As(err, &cut)
}

// isAnswer reports whether the API has answered, so that connection and
// credentials are good.
func isAnswer(err error) bool {
	var status *kubeStatus
	return isCut(err) || errors.As(err, &status) && status.Kind != "" && status.code != http.StatusUnauthorized
}

// reasonWord keeps what the API has for one word of its own; anything else is
// not shown.
func reasonWord(s string) string {
	const limit = 80
	if len(s) > limit || strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_.:/-", c)
	}) {
		return ""
	}
	return s
}
