package fetch

import (
	"bytes"
	"errors"

	"golang.org/x/net/http2"

	"nsenter-mcp/tools/fact"
)

// refusal is what an HTTP/2 server says when it ends a request by itself, with
// RST_STREAM or GOAWAY (RFC 9113, sections 6.4 and 6.8).
type refusal struct {
	frame string
	code  http2.ErrCode
	debug []byte // the server's text, of GOAWAY alone
}

// refusalIn returns what the frames in heard, the beginning of an answer, end the
// request with; ok is false where they do not. settings says whether the server
// began to speak HTTP/2 at all.
func refusalIn(heard []byte) (r refusal, settings, ok bool) {
	framer := http2.NewFramer(nil, bytes.NewReader(heard))
	for {
		frame, err := framer.ReadFrame()
		var stream http2.StreamError
		switch {
		case errors.As(err, &stream):
			continue // what follows is in order
		case err != nil:
			return r, settings, ok
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			settings = true
		case *http2.GoAwayFrame:
			r, ok = refusal{"GOAWAY", f.ErrCode, bytes.Clone(f.DebugData())}, true
		case *http2.RSTStreamFrame:
			return refusal{frame: "RST_STREAM", code: f.ErrCode}, settings, true
		}
	}
}

// words are the reason, and what kind of reason that is.
func (r refusal) words() (code, reason string) {
	reason = "the server ended the request with " + r.frame + " " + r.code.String()
	switch {
	case r.code == http2.ErrCodeHTTP11Required:
		return fact.ReasonHTTP11Required, reason + ": it wants HTTP/1.1 for this request"
	case r.code == http2.ErrCodeRefusedStream:
		return fact.ReasonRetry, reason + ": it has not processed the request, which may be sent again"
	case r.code == http2.ErrCodeNo && r.frame == "GOAWAY":
		return fact.ReasonRetry, reason + ": it closes this connection in an orderly way, as before a shutdown; the request may be sent again"
	case r.code == http2.ErrCodeEnhanceYourCalm:
		return fact.ReasonHTTP2Error, reason + ": it finds the load that this client makes excessive"
	}
	return fact.ReasonHTTP2Error, reason
}

// refused ends the request with the server's own word.
func (s *step) refused(stage fact.Stage, r refusal) {
	s.answer.Outcome = fact.OutcomeHTTPError
	code, reason := r.words()
	s.say(stage, code, reason)
	if len(r.debug) > 0 {
		s.text().Error = line(s.secrets.hide(string(r.debug)), 200)
	}
}
