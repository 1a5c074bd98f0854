package diagnose

import "nsenter-mcp/tools/fact"

// handshake judges TLS. A certificate that insecure has accepted is no fault of this
// request.
func handshake(f *fact.Fetch) []fact.Finding {
	if f.TLS == nil || f.TLS.Insecure && f.Stage != fact.StageTLS {
		return nil
	}
	e := f.TLS.Error
	if e == nil {
		if f.Stage == fact.StageTLS && f.Outcome == fact.OutcomeTimeout {
			return finding(TLSHandshakeFailed, "%s", f.Reason)
		}
		return nil
	}
	findings := finding(tlsCode(e.Code), "%s", e.Message)
	for _, also := range e.Also {
		findings = append(findings, finding(tlsCode(also), "%s", alsoText(also))...)
	}
	return findings
}

func tlsCode(code string) fact.Code {
	switch code {
	case fact.TLSExpired, fact.TLSNotYetValid, fact.TLSUnknownCA, fact.TLSNameMismatch, fact.TLSNotTLS, fact.TLSClientCertRequired, fact.TLSBadCertificate:
		return fact.Code("tls." + code)
	}
	return TLSHandshakeFailed
}

func alsoText(code string) string {
	switch code {
	case fact.TLSUnknownCA:
		return "besides, no trusted certificate has issued the chain"
	case fact.TLSNameMismatch:
		return "besides, the certificate is not for the name that was asked for"
	}
	return "besides, the certificate itself breaks a rule (data.tls)"
}
