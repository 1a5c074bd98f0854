package fetch

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"nsenter-mcp/internal/redact"
)

// secrets are the credentials of a request. Servers echo requests, on debug
// pages above all; what is shown of an answer has them taken out.
type secrets []string

// shortest is the length below which a text is no secret worth finding:
// removing "1" everywhere would spoil an answer and hide nothing.
const shortest = 4

func (s *secrets) add(value string) {
	if len(value) >= shortest {
		*s = append(*s, value)
	}
}

func (s *secrets) addHeader(header http.Header) {
	for name, values := range header {
		if !redact.Name(name) {
			continue
		}
		for _, value := range values {
			s.add(value)
			// "Bearer abc": abc alone is the secret.
			if _, credential, ok := strings.Cut(value, " "); ok {
				s.add(strings.TrimSpace(credential))
			}
			for part := range strings.SplitSeq(value, ";") {
				if _, cookie, ok := strings.Cut(part, "="); ok {
					s.add(strings.TrimSpace(cookie))
				}
			}
		}
	}
}

func (s *secrets) addUser(user *url.Userinfo) {
	if user == nil {
		return
	}
	password, _ := user.Password()
	s.add(password)
	s.add(strings.TrimPrefix(basicAuth(user), "Basic "))
}

// hide takes the secrets out of text.
func (s secrets) hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, redact.Replacement)
	}
	return text
}

// cookieValue matches the value in a Set-Cookie header.
var cookieValue = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([^=;]*=)[^;]*`)
})

// hideHeader makes the value of a header of an answer fit to be shown.
func (s secrets) hideHeader(name, value string) string {
	switch {
	case name == "Set-Cookie":
		return s.hide(cookieValue().ReplaceAllString(value, "${1}"+redact.Replacement))
	case name == "Location", name == "Www-Authenticate", name == "Proxy-Authenticate":
		return s.hide(value) // a challenge holds no credentials
	case redact.Name(name):
		return redact.Replacement
	}
	return s.hide(value)
}

// field makes all values of a header of an answer fit to be shown.
func (s secrets) field(name string, values []string) string {
	clean := make([]string, len(values))
	for i, value := range values {
		clean[i] = s.hideHeader(name, value)
	}
	return strings.Join(clean, ", ")
}

// public is u without credentials, for answers.
func public(u *url.URL) string {
	clean := *u
	clean.User = nil
	return line(redact.URL(clean.String()), maxURL)
}

// WithoutCredentials returns URL and headers of a request as they may be shown,
// and whether anything was left out.
func WithoutCredentials(rawURL string, headers map[string]string) (clean Request, hidden bool) {
	clean.URL = rawURL
	if u, err := parseURL(rawURL); err == nil && u.User != nil {
		u.User = nil
		clean.URL, hidden = u.String(), true
	}
	if shown := redact.URL(clean.URL); shown != clean.URL {
		clean.URL, hidden = shown, true
	}
	for name, value := range headers {
		if redact.Name(name) || redact.Text(value) != value {
			hidden = true
			continue
		}
		if clean.Headers == nil {
			clean.Headers = map[string]string{}
		}
		clean.Headers[name] = value
	}
	return clean, hidden
}
