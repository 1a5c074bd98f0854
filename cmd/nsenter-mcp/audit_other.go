//go:build !unix

package main

import (
	"errors"
	"io"
)

func openSyslog() (io.WriteCloser, error) { return nil, errors.ErrUnsupported }
