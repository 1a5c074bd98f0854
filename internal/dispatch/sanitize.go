package dispatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"nsenter-mcp/internal/words"
)

// The bounds of what another server says beside the data of its answer, which
// [Spec.MaxBytes] bounds. No answer of a server of ours comes near.
const (
	maxRemoteText  = 4000      // bytes of one text
	maxRemoteList  = 200       // members of one list or object
	maxRemoteWords = 128 << 10 // bytes of JSON altogether
)

// sanitize makes the words of another server safe to pass on, as escape does with
// those of a container: whoever has got hold of a node writes its answers. What an
// agent may send back, such as the arguments of a next step, stays what it is
// unless it holds what none of ours would.
func sanitize(answer *Envelope) (*Envelope, error) {
	data := answer.Data
	words := *answer
	words.Data = nil
	text, err := sanitizeJSON(&words, maxRemoteText, maxRemoteList)
	if err != nil {
		return nil, err
	}
	if len(text) > maxRemoteWords {
		return nil, tooLarge(len(text), maxRemoteWords)
	}
	sanitized := &Envelope{}
	if err := decodeNumbers(text, sanitized); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	if raw, ok := data.(json.RawMessage); ok {
		if sanitized.Data, err = sanitizeData(raw); err != nil {
			return nil, err
		}
	}
	return sanitized, nil
}

// sanitizeData makes data compact and escapes the strings in it. Data that needs no
// escape, as all of a server of ours, keeps its order.
func sanitizeData(data json.RawMessage) (json.RawMessage, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	if isSanitized(compact.Bytes()) {
		return compact.Bytes(), nil
	}
	var tree any
	if err := decodeNumbers(data, &tree); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	return encodeData(sanitizeTree(tree, 0, 0))
}

// isSanitized looks at each string of valid JSON as it is written: of two fields
// with one name a decoder would show the last.
func isSanitized(text []byte) bool {
	// What escape changes is beyond ASCII or written as an escape sequence.
	if !slices.ContainsFunc(text, func(c byte) bool { return c == '\\' || c >= utf8.RuneSelf || c == 0x7f }) {
		return true
	}
	if !utf8.Valid(text) { // a decoder would replace what is not
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if s, ok := token.(string); ok && words.Escape(s) != s {
			return false
		}
	}
}

// sanitizeJSON writes v anew, each string escaped and cut at limit bytes, each list
// and object at members; 0 is no bound.
func sanitizeJSON(v any, limit, members int) ([]byte, error) {
	text, err := encodeData(v)
	if err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	var tree any
	if err := decodeNumbers(text, &tree); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	return encodeData(sanitizeTree(tree, limit, members))
}

// decodeNumbers keeps numbers as they are written: a cookie does not fit into a
// float64.
func decodeNumbers(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func sanitizeTree(v any, limit, members int) any {
	switch v := v.(type) {
	case string:
		return sanitizeText(v, limit)
	case []any:
		if members > 0 {
			v = v[:min(len(v), members)]
		}
		for i := range v {
			v[i] = sanitizeTree(v[i], limit, members)
		}
		return v
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		if members > 0 {
			names = names[:min(len(names), members)]
		}
		kept := make(map[string]any, len(names))
		for _, name := range names {
			kept[sanitizeText(name, limit)] = sanitizeTree(v[name], limit, members)
		}
		return kept
	}
	return v
}

// sanitizeText cuts before it escapes, and between two characters.
func sanitizeText(s string, limit int) string {
	if limit > 0 && len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return words.Escape(s)
}

// sanitizedProgress passes reports of another server on; nil where nobody wants
// them.
func sanitizedProgress(report func(Progress)) func(Progress) {
	if report == nil {
		return nil
	}
	return func(p Progress) {
		const limit = 200
		p.Message = sanitizeText(p.Message, limit)
		report(p)
	}
}
