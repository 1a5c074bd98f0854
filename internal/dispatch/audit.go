package dispatch

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
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

// secret matches JSON members and header lines whose values are credentials.
// It works on text, as arguments that did not even decode are audited too.
var secret = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)((?:proxy-)?authorization"?\s*[:=]\s*|(?:set-)?cookie2?"?\s*[:=]\s*|[\w-]*(?:token|secret|passw(?:or)?d|api-?key)"?\s*[:=]\s*)(\[[^\]]*\]?|"(?:[^"\\]|\\.)*"?|(?:[^"\\\n]|\\.)+)`)
})

// userinfo matches the credentials in a URL. A password may hold an @ that
// nobody has escaped.
var userinfo = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`://[^/\s"]+@`)
})

// cutUserinfo matches what may be credentials at the end of a text that was cut.
var cutUserinfo = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`://[^/\s"@]*$`)
})

// mayHoldSecret reports whether secret or userinfo could match: the expressions
// take longer than many a call, and hardly any call has something for them.
func mayHoldSecret(text string) bool {
	if strings.Contains(text, "://") {
		return true
	}
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{"authorization", "cookie", "token", "secret", "passw", "key"}, func(word string) bool {
		return strings.Contains(text, word)
	})
}

// redact makes arguments fit for a log.
func redact(arguments []byte) string {
	text := arguments
	cut := len(text) > maxAuditBytes
	if cut {
		text = text[:maxAuditBytes]
	}
	clean := strings.ToValidUTF8(string(text), "?")
	if mayHoldSecret(clean) {
		clean = secret().ReplaceAllString(clean, `${1}"REDACTED"`)
		clean = userinfo().ReplaceAllString(clean, "://REDACTED@")
	}
	if cut {
		clean = cutUserinfo().ReplaceAllString(clean, "://REDACTED") + "..."
	}
	return clean
}
