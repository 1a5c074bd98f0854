package fact

// TLS is what a handshake showed.
type TLS struct {
	Version string `json:"version,omitempty" jsonschema:"TLS 1.3"`
	Cipher  string `json:"cipher,omitempty" jsonschema:"IANA name"`
	Curve   string `json:"curve,omitempty"`
	ALPN    string `json:"alpn,omitempty" jsonschema:"protocol agreed upon: h2 or http/1.1"`
	SNI     string `json:"sni,omitempty" jsonschema:"server name sent; none is sent for an address"`
	// Verified is false with Insecure, and where verification failed.
	Verified bool `json:"verified"`
	Insecure bool `json:"insecure,omitempty"`
	// RootsFrom is where the trusted certificates came from:
	// "container:/etc/ssl/certs/ca-certificates.crt", "host" (with a path where
	// the host's root is mounted elsewhere) or "embedded".
	RootsFrom string `json:"roots_from,omitempty"`
	// Error is why the handshake failed, or would have failed without insecure.
	Error *TLSError `json:"error,omitempty"`
	// ClientCertRequested: the server asked for a client certificate. None is
	// ever sent.
	ClientCertRequested bool `json:"client_cert_requested,omitempty"`
	// Chain is what the server sent, its own certificate first.
	Chain []Certificate `json:"chain,omitempty" jsonschema:"as sent by the server, its own first"`
	// ChainLength counts certificates that were sent, where more than Chain shows.
	ChainLength int `json:"chain_length,omitempty"`
}

// TLSError is an exact reason.
type TLSError struct {
	// Code is expired, not_yet_valid, unknown_ca, name_mismatch, not_tls,
	// client_cert_required, alert, closed, bad_certificate or protocol.
	Code    string `json:"code"`
	Message string `json:"message" jsonschema:"in our own words"`
	// Alert is the number that the server sent (RFC 8446, section 6).
	Alert int `json:"alert,omitempty" jsonschema:"TLS alert number sent by the server"`
	// Also are further codes that apply to the certificate.
	Also []string `json:"also,omitempty" jsonschema:"further codes that apply too"`
}

// The codes of a [TLSError].
const (
	TLSExpired            = "expired"
	TLSNotYetValid        = "not_yet_valid"
	TLSUnknownCA          = "unknown_ca"
	TLSNameMismatch       = "name_mismatch"
	TLSNotTLS             = "not_tls"
	TLSClientCertRequired = "client_cert_required"
	TLSAlert              = "alert"
	TLSClosed             = "closed"
	TLSBadCertificate     = "bad_certificate"
	TLSProtocol           = "protocol"
)

// Certificate is one certificate of a chain. Names are the server's text.
type Certificate struct {
	NotBefore string `json:"not_before" jsonschema:"RFC 3339"`
	NotAfter  string `json:"not_after" jsonschema:"RFC 3339"`
	// DaysLeft is negative after the end.
	DaysLeft   int    `json:"days_left"`
	Key        string `json:"key" jsonschema:"kind and size of the public key"`
	SelfSigned bool   `json:"self_signed,omitempty"`
	IsCA       bool   `json:"is_ca,omitempty"`
	SHA256     string `json:"sha256,omitempty" jsonschema:"fingerprint"`

	Untrusted CertificateText `json:"untrusted"`
}

// CertificateText is what whoever made the certificate wrote.
type CertificateText struct {
	Subject string   `json:"subject"`
	Issuer  string   `json:"issuer"`
	Names   []string `json:"names,omitempty" jsonschema:"subject alternative names"`
	// NamesTotal counts names, where there are more than Names shows.
	NamesTotal int `json:"names_total,omitempty"`
}
