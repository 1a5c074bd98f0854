package fetch

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"nsenter-mcp/tools/fact"
)

const (
	// maxBodyRead is how much of a body is received: enough to tell a path that
	// carries only small packets, little enough for a busy server.
	maxBodyRead = 1 << 20
	// bodyTime bounds how long a body is waited for beyond its header.
	bodyTime = 4 * time.Second
	// quiet is after how long without a byte a body has stopped coming.
	quiet = 2 * time.Second
	// streamTime is how long a stream without an end is listened to.
	streamTime = 500 * time.Millisecond
)

// body is what was received of one.
type body struct {
	kept     []byte // the beginning
	received int64
	complete bool
	last     time.Time // when the last byte came
	err      error     // why it ended, nil for its end and for our own bounds
}

// readBody receives a body until its end, its bounds, or the end of ctx. It
// keeps the first keep bytes.
func readBody(ctx context.Context, response *http.Response, keep int) body {
	wait := bodyTime
	if isStream(response.Header) {
		wait = streamTime
	}
	// Closing is what ends a read of package net/http from outside.
	timer := time.AfterFunc(wait, func() { _ = response.Body.Close() })
	defer timer.Stop()
	started := time.Now()
	b := body{last: started}
	buffer := make([]byte, 16<<10)
	for b.received < maxBodyRead {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			b.last = time.Now()
			b.kept = append(b.kept, buffer[:min(n, keep-len(b.kept))]...)
			b.received += int64(n)
		}
		if errors.Is(err, io.EOF) {
			b.complete = true
			break
		}
		if err != nil {
			b.err = err
			if ctx.Err() != nil || time.Since(started) >= wait {
				b.err = errPatience
			}
			break
		}
	}
	return b
}

// errPatience: the body was not waited for any longer.
var errPatience = errors.New("the body did not end in time")

// stopped reports whether the other side had nothing more to send, in contrast
// to one that sends slowly.
func (b *body) stopped(now time.Time) bool {
	return errors.Is(b.err, errPatience) && now.Sub(b.last) >= quiet
}

func isStream(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (kind == "text/event-stream" || strings.HasPrefix(kind, "multipart/x-mixed-replace"))
}

// show writes the beginning of a body down, unpacked where it is packed.
func (b *body) show(f *fact.Fetch, header http.Header, hide secrets, limit int) {
	text, packed := b.unpack(header.Get("Content-Encoding"), limit)
	f.BodyEncoding = packed
	shown, cut := printable([]byte(hide.hide(string(text))), limit, true)
	f.Untrusted.Body = shown
	f.Untrusted.BodyTruncated = cut || packed == "" && int64(len(b.kept)) < b.received || !b.complete
}

// unpack undoes a content coding as far as limit bytes. What cannot be unpacked
// is returned as it came.
func (b *body) unpack(encoding string, limit int) (text []byte, packed string) {
	var reader io.Reader
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "gzip", "x-gzip":
		packed = "gzip"
		reader, err = gzip.NewReader(bytes.NewReader(b.kept))
	case "deflate":
		packed = "deflate"
		// RFC 9110 means zlib; some servers send bare deflate.
		if reader, err = zlib.NewReader(bytes.NewReader(b.kept)); err != nil {
			reader, err = flate.NewReader(bytes.NewReader(b.kept)), nil
		}
	default:
		return b.kept, ""
	}
	if err != nil {
		return b.kept, ""
	}
	// An error is the end of what was kept, or of what is well-formed.
	text, _ = io.ReadAll(io.LimitReader(reader, int64(limit)+1))
	if len(text) == 0 && len(b.kept) > 0 {
		return b.kept, ""
	}
	return text, packed
}

// bounds of what is shown of a header.
type bounds struct {
	fields, name, value, bytes int
}

func headerBounds(details bool) bounds {
	if details {
		return bounds{fields: 100, name: 64, value: 1 << 10, bytes: 8 << 10}
	}
	return bounds{fields: 12, name: 64, value: 160, bytes: 800}
}

// showHeader writes the header of an answer down.
func showHeader(text *fact.HTTPText, header http.Header, hide secrets, most bounds) {
	text.Headers = map[string]string{}
	size := 0
	for _, name := range sortedFields(header) {
		shown := line(hide.field(name, header[name]), most.value)
		size += len(name) + len(shown)
		if len(text.Headers) == most.fields || size > most.bytes {
			text.HeadersTotal = len(header)
			break
		}
		text.Headers[line(name, most.name)] = shown
	}
}
