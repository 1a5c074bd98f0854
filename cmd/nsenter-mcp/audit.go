package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"nsenter-mcp/cmd/nsenter-mcp/internal/config"
)

// openAudit opens where the operator's file wants the calls to be recorded, whatever
// the caller's --log-level and standard error are: a line of JSON each. Calls do not wait
// for it: what there is no room for is dropped and counted. The caller calls end once.
func openAudit(where string) (log *slog.Logger, end func() error, err error) {
	var out io.WriteCloser
	if where == config.AuditSyslog {
		out, err = openSyslog()
	} else {
		// A path of the operator's: that is what the key is for.
		out, err = os.OpenFile(where, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("audit: %w", err)
	}
	queue := newLogQueue(eachLine{out}, maxLogQueue)
	end = func() error {
		queue.close(time.Second)
		return out.Close()
	}
	return slog.New(slog.NewJSONHandler(queue, nil)), end, nil
}

// eachLine writes line by line, as syslog takes a message for each write.
type eachLine struct{ out io.Writer }

func (w eachLine) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		if _, err := w.out.Write(line); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}
