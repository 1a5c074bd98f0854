package dispatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"nsenter-mcp/internal/words"
)

// untrusted is the key below which text of others stands, and the only one.
const untrusted = "untrusted"

// The bounds of an answer: bytes of one string, and how deep it is.
const (
	maxSentence = 2000
	maxForeign  = 128 << 10
	maxURL      = 16 << 10
	maxDepth    = 32
)

// grammars are those of keys that hold more, or less, than one word. All else
// outside of untrusted is held against words.IsToken, in every answer, so that no
// tool has to remember what others can choose.
var grammars = map[string]func(string) bool{
	"image":  words.IsImage,
	"ifname": words.IsInterface, "link": words.IsInterface, "master": words.IsInterface, "dev": words.IsInterface,
	"bridge": words.IsInterface, "valid": words.IsInterface,
	"aliases": words.IsDNSName, "deciding_name": words.IsDNSName, "found_as": words.IsDNSName,
	"search": words.IsDNSName, "search_domain": words.IsDNSName, "zone": words.IsDNSName,
	"url": isURL, "version": words.IsVersion,
}

// isURL: in a path and a query any printable ASCII may stand.
func isURL(s string) bool {
	return len(s) <= maxURL && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// IsSentence reports whether sentences may stand below a key.
func IsSentence(key string) bool { return slices.Contains(sentences[:], key) }

// sentences are the keys of what this program has written, in one line. What others
// chose stands in it by words.Printable and the like. A test of package tools lists
// where they occur.
var sentences = [...]string{
	"action", "app_error", "data", "detail", "endpoints_unknown", "error", "exempt_range", "fact", "files_from", "from", "hint", "hops", "icmp", "key",
	"library", "mermaid", "message", "order", "reason", "rule", "shell", "source", "summary", "trail", "why",
}

// isFree reports whether anything may stand below a key, if it is escaped: text of
// others, and the arguments of a next step, most of which are the caller's own.
func isFree(key string) bool { return key == untrusted || key == "arguments" }

func isEscaped(s string) bool { return len(s) <= maxForeign && words.Escape(s) == s }

// fits reports whether a string may stand below a key.
func fits(key, s string) bool {
	switch holds := grammars[key]; {
	case s == "" || s == words.Hidden:
		return true
	case holds != nil:
		return holds(s)
	case IsSentence(key):
		return len(s) <= maxSentence && !strings.ContainsFunc(s, func(r rune) bool { return !words.Visible(r) })
	}
	return words.IsToken(s)
}

// isIsolated reports whether each string of valid JSON stands where it may. It looks
// at the text: of two members with one name a decoder would show the last. Every answer
// is read here, so no decoder reads it, which would take as long as a short call.
func isIsolated(text string) bool {
	type level struct {
		object, named, free bool // named: the name of a member was read, its value is next
		key                 string
	}
	if !utf8.ValidString(text) { // a decoder would replace what is not
		return false
	}
	at := make([]level, 1, maxDepth)
	for i := 0; i < len(text); i++ {
		top := &at[len(at)-1]
		switch text[i] {
		case ',':
			top.named = false
		case ':':
			top.named = true
		case '}', ']':
			at = at[:len(at)-1]
		case '{', '[':
			if len(at) == maxDepth {
				return false
			}
			at = append(at, level{object: text[i] == '{', key: top.key, free: top.free || isFree(top.key)})
		case '"':
			s, end, ok := stringAt(text, i)
			if !ok {
				return false
			}
			i = end - 1
			if top.object && !top.named {
				if top.free && !isEscaped(s) || !top.free && !words.IsToken(s) {
					return false
				}
				top.key = s
				continue
			}
			if free := top.free || isFree(top.key); free && !isEscaped(s) || !free && !fits(top.key, s) {
				return false
			}
		}
	}
	return true
}

// stringAt decodes the string that begins at text[start], and returns where it ends.
func stringAt(text string, start int) (s string, end int, ok bool) {
	plain := true
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			plain = false
			i++
		case '"':
			if plain {
				return text[start+1 : i], i + 1, true
			}
			err := json.Unmarshal([]byte(text[start:i+1]), &s)
			return s, i + 1, err == nil
		}
	}
	return "", len(text), false
}

// isolate moves what others may have written to where it may stand: a string that
// does not fit its key becomes words.Hidden, and stands escaped below a key untrusted
// beside it. Sentences are escaped where they are.
func isolate(text json.RawMessage) (json.RawMessage, error) {
	if isIsolated(string(text)) {
		return text, nil
	}
	var tree any
	if err := decodeNumbers(text, &tree); err != nil {
		return nil, fmt.Errorf("decode an answer: %w", err)
	}
	if depthOf(tree) > maxDepth {
		return nil, fmt.Errorf("an answer is deeper than %d levels", maxDepth)
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, errors.New("an answer is no JSON object")
	}
	isolateObject(object)
	return encodeData(object)
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			deepest = max(deepest, depthOf(member))
		}
	case []any:
		for _, member := range v {
			deepest = max(deepest, depthOf(member))
		}
	}
	return deepest + 1
}

// isolateValue returns what may stand in place of v below key, and tells foreign of
// each text that may not.
func isolateValue(key string, v any, foreign func(string)) any {
	switch v := v.(type) {
	case map[string]any:
		isolateObject(v)
	case []any:
		for i := range v {
			v[i] = isolateValue(key, v[i], foreign)
		}
	case string:
		switch {
		case fits(key, v):
		case IsSentence(key):
			return sanitizeText(words.OneLine(v), maxSentence)
		default:
			foreign(sanitizeText(v, maxSentence))
			return words.Hidden
		}
	}
	return v
}

func isolateObject(o map[string]any) {
	moved := map[string][]any{}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		switch {
		case isFree(key):
			o[key] = sanitizeTree(o[key], maxForeign, 0)
		case words.IsToken(key):
			o[key] = isolateValue(key, o[key], func(text string) { moved[key] = append(moved[key], text) })
		default:
			shown := sanitizeText(key, maxSentence)
			moved[shown] = append(moved[shown], sanitizeTree(o[key], maxSentence, 0))
			delete(o, key)
		}
	}
	if len(moved) == 0 {
		return
	}
	there, isObject := o[untrusted].(map[string]any)
	if !isObject { // another server's may be anything
		there = map[string]any{}
		if o[untrusted] != nil {
			there[untrusted] = o[untrusted]
		}
	}
	for key, list := range moved {
		if before, ok := there[key]; ok {
			list = append([]any{before}, list...)
		}
		there[key] = list
		if len(list) == 1 {
			there[key] = list[0]
		}
	}
	o[untrusted] = there
}

// isolate holds the whole answer, one of this server or of another, to what may
// stand where. A next step that would have to be changed for that is left out: it is
// not what the caller should send.
func (e *Envelope) isolate() error {
	e.Next = slices.DeleteFunc(e.Next, func(n Next) bool {
		arguments, err := encodeData(n)
		return err != nil || !isIsolated(string(arguments)) || bytes.Contains(arguments, []byte(words.Hidden))
	})
	text, err := encodeData(e)
	if err != nil {
		return err
	}
	if e.text, err = isolate(text); err != nil || bytes.Equal(e.text, text) {
		return err
	}
	var data json.RawMessage // stays as it is written
	clean := Envelope{Data: &data}
	if err := decodeNumbers(e.text, &clean); err != nil {
		return err
	}
	if clean.Data = nil; data != nil {
		clean.Data = data
	}
	*e = clean
	e.text, err = encodeData(e)
	return err
}
