package mcpserve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// The length of a token: 32 characters of hexadecimal digits are 128 bits.
const (
	minToken = 32
	maxToken = 4096
)

// Token is a secret that opens an HTTP server.
type Token struct {
	name string
	hash [sha256.Size]byte
}

// NewToken returns the token with that secret, which name stands for in the
// audit log.
func NewToken(name, secret string) (Token, error) {
	switch {
	case name == "" || strings.ContainsFunc(name, unprintable):
		return Token{}, fmt.Errorf("token name %q is empty or has characters that a log cannot show", name)
	case len(secret) < minToken:
		return Token{}, fmt.Errorf("the token has %d characters, at least %d are needed; 'openssl rand -hex 32' makes a good one", len(secret), minToken)
	case len(secret) > maxToken:
		return Token{}, fmt.Errorf("the token has more than %d characters", maxToken)
	case strings.ContainsFunc(secret, unprintable):
		return Token{}, errors.New("the token has spaces, line breaks or characters that an HTTP header cannot carry")
	}
	return Token{name, sha256.Sum256([]byte(secret))}, nil
}

// Name returns what stands for the token in the audit log.
func (t Token) Name() string { return t.name }

// unprintable reports what is not a visible ASCII character (RFC 9110, VCHAR).
func unprintable(r rune) bool { return r <= ' ' || r > '~' }

// ReadToken reads a token from a file that only its owner can read. The file's
// name without extensions names the token.
func ReadToken(path string) (_ Token, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("token file %s: %w", path, err)
		}
	}()
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO would wait
	if err != nil {
		return Token{}, reason(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return Token{}, reason(err)
	}
	if !info.Mode().IsRegular() {
		return Token{}, fmt.Errorf("it is no regular file but %s", info.Mode().Type())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return Token{}, fmt.Errorf("others than its owner have access to it (mode %04o); 'chmod 600' it", mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return Token{}, err
	}
	name, _, _ := strings.Cut(strings.TrimLeft(filepath.Base(path), "."), ".")
	return NewToken(name, strings.TrimRight(string(text), "\r\n"))
}

// match returns the name of the token that an Authorization header shows. The
// time it takes says nothing about the tokens.
func match(tokens []Token, header string) (name string, ok bool) {
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		secret = ""
	}
	hash := sha256.Sum256([]byte(secret))
	for _, t := range tokens {
		if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 {
			name, ok = t.name, true
		}
	}
	return name, ok
}
