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
	maxFarText  = 4000      // bytes of one text
	maxFarList  = 200       // members of one list or object
	maxFarWords = 128 << 10 // bytes of JSON altogether
)

// temper makes the words of another server safe to pass on, as escape does with
// those of a container: whoever has got hold of a node writes its answers. What an
// agent may send back, such as the arguments of a next step, stays what it is
// unless it holds what none of ours would.
func temper(answer *Envelope) (*Envelope, error) {
	data := answer.Data
	words := *answer
	words.Data = nil
	text, err := temperJSON(&words, maxFarText, maxFarList)
	if err != nil {
		return nil, err
	}
	if len(text) > maxFarWords {
		return nil, tooLarge(len(text), maxFarWords)
	}
	tempered := &Envelope{}
	if err := decodeNumbers(text, tempered); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	if raw, ok := data.(json.RawMessage); ok {
		if tempered.Data, err = temperData(raw); err != nil {
			return nil, err
		}
	}
	return tempered, nil
}

// temperData makes data compact and escapes the strings in it. Data that needs no
// escape, as all of a server of ours, keeps its order.
func temperData(data json.RawMessage) (json.RawMessage, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	if isTempered(compact.Bytes()) {
		return compact.Bytes(), nil
	}
	var tree any
	if err := decodeNumbers(data, &tree); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	return encodeData(temperTree(tree, 0, 0))
}

// isTempered looks at each string of valid JSON as it is written: of two fields
// with one name a decoder would show the last.
func isTempered(text []byte) bool {
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

// temperJSON writes v anew, each string escaped and cut at limit bytes, each list
// and object at members; 0 is no bound.
func temperJSON(v any, limit, members int) ([]byte, error) {
	text, err := encodeData(v)
	if err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	var tree any
	if err := decodeNumbers(text, &tree); err != nil {
		return nil, fmt.Errorf("answer of the other server: %w", err)
	}
	return encodeData(temperTree(tree, limit, members))
}

// decodeNumbers keeps numbers as they are written: a cookie does not fit into a
// float64.
func decodeNumbers(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func temperTree(v any, limit, members int) any {
	switch v := v.(type) {
	case string:
		return temperText(v, limit)
	case []any:
		if members > 0 {
			v = v[:min(len(v), members)]
		}
		for i := range v {
			v[i] = temperTree(v[i], limit, members)
		}
		return v
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		if members > 0 {
			names = names[:min(len(names), members)]
		}
		kept := make(map[string]any, len(names))
		for _, name := range names {
			kept[temperText(name, limit)] = temperTree(v[name], limit, members)
		}
		return kept
	}
	return v
}

// temperText cuts before it escapes, and between two characters.
func temperText(s string, limit int) string {
	if limit > 0 && len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return words.Escape(s)
}

// temperedProgress passes reports of another server on; nil where nobody wants
// them.
func temperedProgress(report func(Progress)) func(Progress) {
	if report == nil {
		return nil
	}
	return func(p Progress) {
		const limit = 200
		p.Message = temperText(p.Message, limit)
		report(p)
	}
}
