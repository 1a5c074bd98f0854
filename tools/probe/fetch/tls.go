package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"time"

	"nsenter-mcp/tools/fact"
)

// errUntrusted stops a handshake whose certificate was judged and not accepted.
var errUntrusted = errors.New("certificate not accepted")

// handshake is one TLS handshake and what it showed.
type handshake struct {
	fact  fact.TLS
	conn  *tls.Conn
	roots Roots
	name  string // host, verified against
	now   func() time.Time
}

// suites are those that a client with OpenSSL's defaults offers: Go's secure
// ones and the ones with RSA key exchange, which old servers still need. They
// decide up to TLS 1.2 only.
func suites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return append(ids,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
}

// do performs the handshake over conn. The name is verified here and not by
// package tls, which stops at the first reason and leaves the rest unsaid; a
// chain that is not accepted ends the handshake with an alert all the same.
func (h *handshake) do(ctx context.Context, conn net.Conn, protocols []string) error {
	config := &tls.Config{
		ServerName:         h.name,
		NextProtos:         protocols,
		MinVersion:         tls.VersionTLS12,
		CipherSuites:       suites(),
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies
		VerifyConnection:   h.verify,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.fact.ClientCertRequested = true
			return &tls.Certificate{}, nil // none
		},
	}
	if net.ParseIP(h.name) == nil {
		h.fact.SNI = h.name
	}
	h.conn = tls.Client(conn, config)
	err := h.conn.HandshakeContext(ctx)
	if err != nil && h.fact.Error == nil {
		h.fact.Error = h.explain(err)
	}
	if err == nil {
		h.describe(h.conn.ConnectionState())
	}
	return err
}

func (h *handshake) verify(state tls.ConnectionState) error {
	h.describe(state)
	h.fact.RootsFrom = h.roots.From
	h.fact.Error = verify(state.PeerCertificates, h.roots.Pool, h.name, h.now())
	h.fact.Verified = h.fact.Error == nil
	if !h.fact.Verified && !h.fact.Insecure {
		return errUntrusted
	}
	return nil
}

func (h *handshake) describe(state tls.ConnectionState) {
	h.fact.Version = tls.VersionName(state.Version)
	h.fact.Cipher = tls.CipherSuiteName(state.CipherSuite)
	h.fact.ALPN = line(state.NegotiatedProtocol, 32)
	if state.CurveID != 0 {
		h.fact.Curve = state.CurveID.String()
	}
	h.fact.Chain, h.fact.ChainLength = nil, 0
	h.addChain(state.PeerCertificates)
}

func (h *handshake) addChain(chain []*x509.Certificate) {
	if len(chain) > maxChain {
		h.fact.ChainLength = len(chain)
		chain = chain[:maxChain]
	}
	for _, c := range chain {
		h.fact.Chain = append(h.fact.Chain, describe(c, h.now()))
	}
}

// explain finds the exact reason of a handshake that failed for another reason
// than the certificate; nil where it is the connection's own (a timeout, a
// reset).
func (h *handshake) explain(err error) *fact.TLSError {
	var header tls.RecordHeaderError
	alert, alerted := alertOf(err)
	switch {
	case errors.As(err, &header):
		return notTLS(header.RecordHeader[:])
	case alerted:
		return h.alert(alert)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &fact.TLSError{Code: fact.TLSClosed, Message: "the server closed the connection during the handshake"}
	case isTimeout(err), isReset(err):
		return nil
	}
	return &fact.TLSError{Code: fact.TLSProtocol, Message: "the server's bytes break the rules of TLS (untrusted.error)"}
}

func notTLS(head []byte) *fact.TLSError {
	if string(head) == "HTTP/" {
		return &fact.TLSError{Code: fact.TLSNotTLS, Message: "the port speaks plain HTTP, not TLS: use http://"}
	}
	return &fact.TLSError{Code: fact.TLSNotTLS, Message: "the answer is no TLS (untrusted.first_bytes)"}
}

// The alerts that mean something particular here (RFC 8446, section 6).
const (
	alertHandshakeFailure     = 40
	alertBadCertificate       = 42
	alertCertificateUnknown   = 46
	alertUnknownCA            = 48
	alertProtocolVersion      = 70
	alertUnrecognizedName     = 112
	alertCertificateRequired  = 116
	alertNoApplicationProto   = 120
	alertInsufficientSecurity = 71
)

// alert words an alert that the server sent.
func (h *handshake) alert(number uint8) *fact.TLSError {
	e := &fact.TLSError{Code: fact.TLSAlert, Alert: int(number)}
	name := tls.AlertError(number).Error() // "tls: handshake failure"
	switch {
	case number == alertCertificateRequired,
		h.fact.ClientCertRequested && (number == alertHandshakeFailure || number == alertBadCertificate || number == alertCertificateUnknown || number == alertUnknownCA):
		e.Code = fact.TLSClientCertRequired
		e.Message = "the server asks for a client certificate and refuses without one (mutual TLS)"
	case number == alertProtocolVersion:
		e.Message = "the server accepts neither TLS 1.2 nor TLS 1.3"
	case number == alertHandshakeFailure, number == alertInsufficientSecurity:
		e.Message = "the server found no cipher, curve or certificate in common, or does not serve this name"
	case number == alertUnrecognizedName:
		e.Message = fmt.Sprintf("the server does not serve the name %s", h.name)
	case number == alertNoApplicationProto:
		e.Message = "the server speaks none of the HTTP versions offered (ALPN)"
	default:
		e.Message = fmt.Sprintf("the server sent the alert %d (%s)", number, name)
	}
	return e
}

// alertOf returns the number of an alert that the other side sent. Package tls
// wraps it in an error of Op "remote error" whose own type, a byte, it does not
// export.
func alertOf(err error) (number uint8, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	value := reflect.ValueOf(op.Err)
	if value.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(value.Uint()), true //nolint:gosec // of kind uint8
}
