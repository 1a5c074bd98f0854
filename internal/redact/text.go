package redact

import (
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// expressions find credentials in text. They are compiled when first needed,
// which a start without calls does not pay for.
type expressions struct {
	userinfo, looseUserinfo, bareUserinfo, bareToken *regexp.Regexp
	header, pair, scheme, digest, jwt                *regexp.Regexp
	element, part, port                              *regexp.Regexp
	apart, option, below, pem                        *regexp.Regexp
}

var patterns = sync.OnceValue(func() *expressions {
	return &expressions{
		// The credentials in a URL or a reference to one (RFC 3986, 3.2.1).
		userinfo: regexp.MustCompile(`(//)[^/?#\s"]*@`),
		// A password in which nobody has escaped a slash.
		looseUserinfo: regexp.MustCompile(`(//)[^\s/:@?#\[]+:(?:[^\s@\d/?#]|\d+[^\s@\d/?#])[^\s"@]*@`),
		// user:password@host without a scheme.
		bareUserinfo: regexp.MustCompile(`(^|[\s"'=,(])[^\s/:@"'=,(]+:[^\s/@"'][^\s@"']*@`),
		// token@host without a scheme: what has letters and digits is no user's name.
		bareToken: regexp.MustCompile(`(^|[\s"'=,(])((?:[\w~+.-]*\d[\w~+.-]*[A-Za-z_]|[\w~+.-]*[A-Za-z_][\w~+.-]*\d)[\w~+.-]*)@(sha\d+:)?`),
		// A header line, or a member of JSON or YAML that does not decode.
		header: regexp.MustCompile(`(?m)(^|[\s"'{,;(>\\])([\w.%-]+)(\\?["']?[ \t]*:[ \t]*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\r\n]+)`),
		// A parameter of a query, a form, a cookie or a connection string.
		pair: regexp.MustCompile(`(^|[?&;#\s,"'{(])([^\s=&;?#"'{(,]+)(=)("[^"]*"?|'[^']*'?|[^&;#\s"']*)`),
		// A member of a file of settings, and an option of a program, whose value stands
		// apart: password = abc, --password abc.
		apart:  regexp.MustCompile(`(^|[\s"'{,;(])([\w.-]+)([ \t]*(?:=>|:=|=)[ \t]+|[ \t]+=[ \t]*)("[^"]*"?|'[^']*'?|[^\s"']+)`),
		option: regexp.MustCompile(`(^|[\s"'])(--[\w.-]+)([ \t]+)("[^"]*"?|'[^']*'?|[^\s"'-][^\s"']*)`),
		// Lines of YAML, or of a folded header, that go on below a name.
		below: regexp.MustCompile(`(?m)(^|[\s"'{,])([\w.-]+)("?[ \t]*:[ \t]*(?:[|>][^\r\n]*|\w+)?\r?\n)((?:[ \t]+[^\r\n]+(?:\r?\n|$))+|"[^"]*"?)`),
		// A key that is not public (RFC 7468, 10 and 11).
		pem: regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?:-----END|$)`),
		// The credentials of HTTP's schemes, by themselves (RFC 7617, RFC 6750).
		scheme: regexp.MustCompile(`(?i)(\b(?:basic|bearer|negotiate|ntlm)\s+)[^\s"',]+`),
		digest: regexp.MustCompile(`(?i)(\bdigest\s+)username=[^\r\n]*`),
		// A port, behind the name of a host.
		port: regexp.MustCompile(`^\d{1,5}(?:$|[/?#:\s"',;)])`),
		// A JSON Web Token (RFC 7519) names itself by its first letters.
		jwt: regexp.MustCompile(`()eyJ[\w-]+\.[\w-]+\.?[\w-]*`),
		// An element of XML.
		element: regexp.MustCompile(`(<)([\w:.-]+)([^<>]*>)([^<]+)`),
		// A part of a form in multipart/form-data (RFC 7578).
		part: regexp.MustCompile(`(name="?)([^"\s;]+)("?[^\n]*\n(?:[^\r\n]+\n)*\r?\n)([^\r\n]*)`),
	}
})

// Text returns s without credentials: header lines, URLs with or without a
// scheme, parameters, and what HTTP's schemes of authentication are followed by.
func Text(s string) string {
	if !strings.ContainsAny(s, ":=@%<\n\t ") && !strings.Contains(s, "eyJ") {
		return s
	}
	p := patterns()
	s = p.part.ReplaceAllStringFunc(s, named(p.part))
	s = p.pem.ReplaceAllString(s, "${1}"+Replacement)
	s = p.scheme.ReplaceAllString(s, "${1}"+Replacement) // before a pair takes its first word
	s = p.below.ReplaceAllStringFunc(s, named(p.below))
	s = p.apart.ReplaceAllStringFunc(s, named(p.apart))
	s = p.option.ReplaceAllStringFunc(s, named(p.option))
	s = p.element.ReplaceAllStringFunc(s, named(p.element))
	s = p.header.ReplaceAllStringFunc(s, func(match string) string {
		if m := p.header.FindStringSubmatch(match); m[3] == ":" && p.port.MatchString(m[4]) && isHost(m[2]) {
			return m[1] + m[2] + m[3] + Text(m[4])
		}
		return named(p.header)(match)
	})
	s = URL(s)
	s = p.bareUserinfo.ReplaceAllString(s, "${1}"+Replacement+"@")
	s = p.bareToken.ReplaceAllStringFunc(s, func(match string) string {
		const shortest = 8                                                                   // bytes of a token; shorter ones are names of interfaces, units, users
		if m := p.bareToken.FindStringSubmatch(match); len(m[2]) >= shortest && m[3] == "" { // an image has a digest there
			return m[1] + Replacement + "@"
		}
		return match
	})
	s = p.digest.ReplaceAllString(s, "${1}"+Replacement)
	return p.jwt.ReplaceAllString(s, "${1}"+Replacement)
}

// URL returns the text of a URL, or of a reference to one, without its userinfo
// and without the values of parameters that hold credentials.
func URL(s string) string {
	p := patterns()
	s = p.looseUserinfo.ReplaceAllString(s, "${1}"+Replacement+"@")
	s = p.userinfo.ReplaceAllString(s, "${1}"+Replacement+"@")
	return p.pair.ReplaceAllStringFunc(s, func(match string) string {
		m := p.pair.FindStringSubmatch(match)
		// The code of RFC 6749, 4.1.2, stands in a query; others that are called so do not.
		if secretValue(m[2], m[4]) || m[2] == "code" && strings.Contains("?&", m[1]) && m[1] != "" {
			return m[1] + m[2] + m[3] + Replacement
		}
		return match
	})
}

// named replaces the fourth group of a match whose second is a secret name.
func named(e *regexp.Regexp) func(string) string {
	return func(match string) string {
		m := e.FindStringSubmatch(match)
		if !Name(unescape(m[2])) {
			return match
		}
		return m[1] + m[2] + m[3] + Replacement
	}
}

// isHost reports whether a name that may be that of a credential is that of a host: its
// last part is no credential's, as in token-service, or a word that services are called.
func isHost(name string) bool {
	last := name[strings.LastIndexAny(name, "-.")+1:]
	return strings.EqualFold(last, "auth") || !Name(last)
}

// secretValue reports whether a parameter holds credentials: by its name, or
// since its value is a URL, escaped, that holds some.
func secretValue(name, value string) bool {
	if Name(unescape(name)) {
		return value != ""
	}
	plain := unescape(value)
	return plain != value && Text(plain) != plain
}

// unescape undoes percent-encoding, also where it was applied twice.
func unescape(s string) string {
	for range 2 {
		plain, err := url.QueryUnescape(s)
		if err != nil {
			return s
		}
		s = plain
	}
	return s
}
