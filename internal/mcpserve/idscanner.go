package mcpserve

import "encoding/json"

// maxIDBytes bounds the ids that an idScanner finds.
const maxIDBytes = 256

// idScanner finds the top-level "id" of a JSON object that is too long to be
// held in memory. A client whose request is refused without its id waits until
// its own timeout, and clients write the id first (mcp-go) or last (the
// TypeScript SDK). On text that is no JSON it finds something or nothing, and
// neither does harm: the id is only echoed.
type idScanner struct {
	id json.RawMessage // the id found, nil before

	depth             int
	inString, escaped bool
	key, token        []byte // of the member at depth 1 that is being read
}

// write takes the next bytes of the object.
func (s *idScanner) write(text []byte) {
	for _, b := range text {
		s.step(b)
	}
}

func (s *idScanner) step(b byte) {
	if s.inString {
		s.collect(b)
		switch {
		case s.escaped:
			s.escaped = false
		case b == '\\':
			s.escaped = true
		case b == '"':
			s.inString = false
		}
		return
	}
	switch b {
	case ' ', '\t', '\r', '\n':
	case '"':
		s.inString = true
		s.collect(b)
	case '{', '[':
		s.collect(b) // a member that is no scalar is no id
		s.depth++
	case '}', ']':
		s.endMember()
		s.depth--
	case ':':
		if s.depth == 1 {
			s.key, s.token = s.token, nil
		}
	case ',':
		s.endMember()
	default:
		s.collect(b)
	}
}

// collect adds a byte to the token at depth 1, one byte more than an id may
// have, which tells that it is too long.
func (s *idScanner) collect(b byte) {
	if s.depth == 1 && len(s.token) <= maxIDBytes {
		s.token = append(s.token, b)
	}
}

func (s *idScanner) endMember() {
	if s.depth != 1 {
		return
	}
	if string(s.key) == `"id"` && len(s.token) <= maxIDBytes && json.Valid(s.token) && isID(s.token) {
		s.id = json.RawMessage(s.token)
	}
	s.key, s.token = nil, nil
}
