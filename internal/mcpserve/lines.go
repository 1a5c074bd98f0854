package mcpserve

import (
	"bufio"
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
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line)+len(part) > r.max+1 { // one for the newline
			return nil, r.skip(line, part, err)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			line = line[:len(line)-1]
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil // the next call returns io.EOF
		default:
			return nil, err
		}
	}
}

// skip reads on to the end of the line that begins with line and part, where
// err is what reading part returned.
func (r *lineReader) skip(line, part []byte, err error) error {
	head := slices.Concat(line, part)
	head, tail := head[:min(len(head), maxIDContext)], head
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.in.ReadSlice('\n')
		tail = slices.Concat(tail[max(0, len(tail)-maxIDContext):], part)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return &lineTooLongError{max: r.max, id: idNear(head, tail)}
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
