package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Authority is a certificate authority for servers of the lab.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority whose certificate is valid today.
func NewAuthority() (*Authority, error) {
	template := newTemplate("lab root")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	cert, key, err := sign(template, nil)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return &Authority{cert, key}, nil
}

// PEM is the authority's certificate, for a CA bundle ([FileSpec.Extra]).
func (a *Authority) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// Issue makes a server certificate for names and addresses that is valid for
// an hour. change, where it is not nil, may alter it before it is signed.
func (a *Authority) Issue(change func(*x509.Certificate), names ...string) (tls.Certificate, error) {
	template := newTemplate("server")
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if change != nil {
		change(template)
	}
	cert, key, err := sign(template, a)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
}

func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(time.Now().UnixNano())}
}

// sign signs template by an authority, nil for the certificate itself.
func sign(template *x509.Certificate, by *Authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = &Authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// ServeTLS is [Netns.Serve] for HTTPS.
func (n *Netns) ServeTLS(address string, config *tls.Config, handler http.Handler) (netip.AddrPort, error) {
	return n.serve(address, handler, func(s *http.Server, ln net.Listener) error {
		s.TLSConfig = config
		// Clients that do not like the certificate are what such a server is for.
		s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		return s.ServeTLS(ln, "", "")
	})
}

// ServeConns accepts connections inside the namespace and lets handle speak on
// each, until the pod or the lab ends. The connection is closed after it.
func (n *Netns) ServeConns(address string, handle func(net.Conn)) (netip.AddrPort, error) {
	ln, err := n.Listen("tcp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // that one client went away
			}
			go func() {
				defer func() { _ = conn.Close() }() // both ends may have done so
				handle(conn)
			}()
		}
	}()
	return n.at(ln), nil
}
