// Package redact takes credentials out of what is logged or shown. It decodes
// first and judges names and values as their reader will see them: escapes,
// upper case, hyphens and JSON inside a string hide nothing.
//
// It imports nothing of ours, and all functions may be called by any goroutine.
package redact

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// Replacement stands for each value that was taken out.
const Replacement = "REDACTED"

// maxDepth bounds how deep JSON is looked at; what lies deeper is taken out.
const maxDepth = 32

// Name reports whether values of that name are credentials. Case and separators
// do not count: x-api-key, X_Api_Key and apiKey are one name.
func Name(name string) bool {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	for _, part := range [...]string{
		"authorization", "cookie", "token", "secret", "passw", "passphrase", "passcode", "passwd", "pwd", "session",
		"sessid", "credential", "signature", "apikey", "privatekey", "accesskey", "keydata", "bearer", "jwt", "assertion", "saml",
		"csrf", "xsrf", "hmac", "verifier", "webhook", "authentication", "authn", "authdata", "keymaterial", "privkey", "ticket",
	} {
		if strings.Contains(plain, part) {
			return true
		}
	}
	plain = strings.TrimRight(plain, "0123456789") // pass1, key2
	switch plain {
	case "sig", "pw", "sid", "otp", "totp", "pin", "seed", "keys", "pem", "cred", "creds":
		return true
	}
	return strings.HasSuffix(plain, "key") || strings.HasSuffix(plain, "auth") || strings.HasSuffix(plain, "pass")
}

// JSON returns raw without credentials, and whether something was taken out; if
// not, it is raw as it came. What is no JSON is taken out as a whole.
func JSON(raw []byte) (clean []byte, hidden bool) {
	tree, ok := decode(raw)
	if !ok {
		return []byte(`"` + Replacement + `"`), true
	}
	tree, hidden = value(tree, 0)
	if !hidden {
		return raw, false
	}
	return encode(tree), true
}

func decode(raw []byte) (tree any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&tree) != nil {
		return nil, false
	}
	_, err := d.Token()
	return tree, err == io.EOF
}

func encode(tree any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(tree) != nil {
		return []byte(`"` + Replacement + `"`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// value redacts one value of a decoded tree, in place where it has members.
func value(v any, depth int) (clean any, hidden bool) {
	if depth > maxDepth {
		return Replacement, true
	}
	switch v := v.(type) {
	case string:
		clean, hidden := text(v, depth)
		return clean, hidden
	case []any:
		return list(v, depth)
	case map[string]any:
		return object(v, depth)
	}
	return v, false
}

// list redacts the elements; one that follows a secret name is its value, as in
// ["Authorization", "Bearer abc"] and ["--token", "abc"].
func list(all []any, depth int) (clean any, hidden bool) {
	for i, v := range all {
		before, _ := element(all, i-1).(string)
		before = strings.TrimRight(before, ": ")
		changed := true
		if Name(before) && !strings.ContainsAny(before, ":=") {
			all[i] = Replacement
		} else {
			all[i], changed = value(v, depth+1)
		}
		hidden = hidden || changed
	}
	return all, hidden
}

func element(all []any, i int) any {
	if i < 0 {
		return nil
	}
	return all[i]
}

// object redacts the members, and all values of one that is an entry of a list
// of headers, as in {"name": "Cookie", "value": "a=b"}.
func object(all map[string]any, depth int) (clean any, hidden bool) {
	entry := false
	for name, v := range all {
		named, isText := v.(string)
		label := slices.Contains([]string{"name", "key", "header", "field", "k", "param"}, strings.ToLower(name))
		entry = entry || isText && label && len(all) > 1 && Name(named)
	}
	result := make(map[string]any, len(all))
	for name, v := range all {
		shown, changed := text(name, depth)
		label, isText := v.(string)
		switch {
		case entry && isText && Name(label) && !strings.ContainsAny(label, ":= "):
			result[shown] = v // the name itself
		case entry || Name(name):
			result[shown], hidden = Replacement, true
		default:
			var inside bool
			if isText && isReference(name) && !strings.Contains(label, "//") {
				v = strings.TrimPrefix(URL("//"+label), "//") // what stands before an @ is no name there
				changed = changed || v != label
			}
			result[shown], inside = value(v, depth+1)
			hidden = hidden || inside
		}
		hidden = hidden || changed
	}
	return result, hidden
}

// isReference reports whether values of that name are URLs, with or without a scheme.
func isReference(name string) bool {
	return slices.Contains([]string{"url", "proxy", "uri", "location"}, strings.ToLower(name))
}

// text redacts a string, which may be JSON itself.
func text(s string, depth int) (clean string, hidden bool) {
	if trimmed := strings.TrimSpace(s); trimmed != "" && strings.ContainsRune(`{["`, rune(trimmed[0])) {
		if tree, ok := decode([]byte(trimmed)); ok {
			tree, hidden := value(tree, depth+1)
			if !hidden {
				return s, false
			}
			return string(encode(tree)), true
		}
	}
	clean = Text(s)
	return clean, clean != s
}
