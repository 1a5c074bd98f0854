package mcpserve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// lineReader cuts a stream into lines and bounds them. A longer line is read
// to its end and thrown away, so that the next one can still be served.
type lineReader struct {
	in  *bufio.Reader
	max int // bytes, without the newline
}

// lineTooLongError stands for a line that was skipped.
type lineTooLongError struct {
	max int
	id  json.RawMessage // the id of the request in it; nil: none found
}

func (e *lineTooLongError) Error() string {
	return fmt.Sprintf("invalid request: the message is longer than %d bytes", e.max)
}

func newLineReader(in io.Reader, maxBytes int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 64<<10), max: maxBytes}
}

// next returns the next line, which the caller then owns, without its newline.
// The last line needs none. At the end it returns io.EOF; after a
// *lineTooLongError the following line can be read.
func (r *lineReader) next() ([]byte, error) {
	var line, excess []byte // excess is the end of what there is no room for
	for {
		part, err := r.in.ReadSlice('\n')
		if excess == nil && len(line)+len(part) <= r.max+1 { // one for the newline
			line = append(line, part...)
		} else {
			excess = slices.Concat(excess[max(0, len(excess)-maxIDContext):], part)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line)+len(excess) == 0):
			return nil, err
		case excess == nil:
			return bytes.TrimSuffix(line, []byte{'\n'}), nil
		}
		head, tail := line[:min(len(line), maxIDContext)], line[max(0, len(line)-maxIDContext):]
		return nil, &lineTooLongError{max: r.max, id: idNear(head, slices.Concat(tail, excess))}
	}
}

// maxIDContext is how much of the beginning and the end of a line is searched for an id.
const maxIDContext = 1 << 10

// The id of an object before its first member that is no string, and its last member
// or the last but jsonrpc.
const (
	idPattern  = `"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*)`
	headOfID   = `^\s*\{\s*(?:"[a-z]*"\s*:\s*"[^"\\]*"\s*,\s*)*` + idPattern + `\s*[,}]`
	tailWithID = `,\s*` + idPattern + `\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$`
)

// idNear finds the id of a request that is too long to be held in memory, where
// clients write it: first (mcp-go) or last (the TypeScript SDK). A client whose
// request is refused without its id waits until its own timeout. On text that is no
// JSON it finds something or nothing, and neither does harm: the id is only echoed.
func idNear(head, tail []byte) json.RawMessage {
	for _, where := range []struct {
		pattern string
		text    []byte
	}{{headOfID, head}, {tailWithID, tail}} {
		found := regexp.MustCompile(where.pattern).FindSubmatch(where.text)
		if found != nil && json.Valid(found[1]) {
			return found[1]
		}
	}
	return nil
}
