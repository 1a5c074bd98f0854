package dispatch

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"nsenter-mcp/internal/redact"
)

// Record is one call for the audit log.
type Record struct {
	Caller    string
	Tool      string
	Arguments string // redacted and bounded
	Target    *TargetInfo
	Node      string // to which it was forwarded, "" for none
	Start     time.Time
	Duration  time.Duration
	Code      string // error code, "" for success
}

// AuditTo returns an audit hook that writes one line a call to log.
func AuditTo(log *slog.Logger) func(context.Context, Record) {
	return func(ctx context.Context, r Record) {
		outcome := "ok"
		if r.Code != "" {
			outcome = r.Code
		}
		attrs := append(make([]slog.Attr, 0, 7),
			slog.String("caller", r.Caller),
			slog.String("tool", r.Tool),
			slog.String("arguments", r.Arguments),
			slog.Duration("duration", r.Duration),
			slog.String("outcome", outcome),
		)
		if r.Node != "" {
			attrs = append(attrs, slog.String("node", r.Node))
		}
		if t := r.Target; t != nil {
			attrs = append(attrs, slog.GroupAttrs("target",
				slog.String("namespace", t.Namespace), slog.String("pod", t.Pod),
				slog.String("container", t.Container), slog.Int("pid", t.PID),
				slog.Uint64("netns_inode", t.NetnsInode), slog.Uint64("netns_cookie", t.NetnsCookie)))
		}
		log.LogAttrs(ctx, slog.LevelInfo, "call", attrs...)
	}
}

// maxAuditBytes bounds the arguments in an audit record.
const maxAuditBytes = 1024

// auditText makes arguments fit for a log.
func auditText(arguments []byte) string {
	if len(arguments) == 0 {
		return ""
	}
	clean, _ := redact.JSON(arguments)
	if len(clean) > maxAuditBytes {
		return strings.ToValidUTF8(string(clean[:maxAuditBytes]), "") + "..."
	}
	return strings.ToValidUTF8(string(clean), "?")
}
