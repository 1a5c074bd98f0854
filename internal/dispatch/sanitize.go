package dispatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

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
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, fmt.Errorf("answer of the other server: %w", err)
		}
		sanitized.Data = json.RawMessage(compact.Bytes())
	}
	return sanitized, nil
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
