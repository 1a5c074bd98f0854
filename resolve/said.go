package resolve

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"syscall"
)

// SaidError is a failure in our own words, with what others said of it: an API, a
// runtime, a credential plugin, whoever they quote. A [Source] words its errors so.
type SaidError struct {
	Words string
	Text  string // of others; "" for nothing
	Err   error  // the cause, where there is one
}

func (e *SaidError) Error() string { return e.Words }
func (e *SaidError) Unwrap() error { return e.Err }

// Said is what others said of the cause of err; "" for nothing. It is one line, and
// to be shown as that of a stranger.
func Said(err error) string {
	var said *SaidError
	if errors.As(err, &said) {
		return text(said.Text)
	}
	return ""
}

// wordsOf is what err says where the kernel, or a library about this side alone,
// wrote that; else "", as it may quote whoever answered.
func wordsOf(err error) string {
	var operation *net.OpError
	var errno syscall.Errno
	var said *SaidError
	switch {
	case errors.As(err, &said):
		return said.Words
	case errors.As(err, &operation):
		var cause syscall.Errno
		if errors.As(operation.Err, &cause) || errors.Is(operation.Err, fs.ErrNotExist) || operation.Timeout() {
			return operation.Error()
		}
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err.Error()
	}
	return ""
}

// because appends the cause to words: as a part of them where it is this machine's
// own, and else as what others said.
func because(words string, err error) error {
	if own := wordsOf(err); own != "" {
		return &SaidError{Words: words + ": " + text(own), Text: Said(err), Err: err}
	}
	return &SaidError{Words: words, Text: err.Error(), Err: err}
}
