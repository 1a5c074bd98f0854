package resolve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// maxJSONDepth bounds how deep JSON of others may be nested. The deepest that is read
// here, a pod with its managed fields, has about 15 levels.
const maxJSONDepth = 32

var errDeep = errors.New("JSON is nested deeper than 32 levels")

// shallow passes on JSON until it is nested deeper than maxJSONDepth.
type shallow struct {
	in              io.Reader
	depth           int
	quoted, escaped bool
}

func (s *shallow) Read(p []byte) (int, error) {
	if s.depth > maxJSONDepth {
		return 0, errDeep // a decoder may read on after an error
	}
	n, err := s.in.Read(p)
	for i, c := range p[:n] {
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted:
			s.escaped, s.quoted = c == '\\', c != '"'
		case c == '"':
			s.quoted = true
		case c == '{', c == '[':
			if s.depth++; s.depth > maxJSONDepth {
				return i, errDeep
			}
		case c == '}', c == ']':
			s.depth--
		}
	}
	return n, err
}

// foreignDecoder reads JSON that somebody else has written. Each such text is read by it.
func foreignDecoder(in io.Reader) *json.Decoder { return json.NewDecoder(&shallow{in: in}) }

// unmarshalForeign is [json.Unmarshal] of such a text.
func unmarshalForeign(data []byte, into any) error {
	if _, err := io.Copy(io.Discard, &shallow{in: bytes.NewReader(data)}); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
