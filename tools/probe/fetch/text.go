package fetch

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"nsenter-mcp/internal/words"
)

// printable writes text that the other side chose so that it reads as what it
// is: control characters, ANSI sequences, invisible characters and those that
// change the direction of reading become visible escapes, bytes that are no
// UTF-8 become \xNN. With lines, line breaks and tabs stay as they are.
//
// At most limit bytes are written; cut says that text goes on.
func printable(text []byte, limit int, lines bool) (out string, cut bool) {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		piece := ""
		switch {
		case r == utf8.RuneError && size == 1:
			piece = fmt.Sprintf(`\x%02x`, text[0])
		case lines && (r == '\n' || r == '\t'):
			piece = string(r)
		case lines && r == '\r' && len(text) > 1 && text[1] == '\n':
			// The end of a line as most protocols write it.
		default:
			piece = words.EscapeRune(r)
		}
		if b.Len()+len(piece) > limit {
			return b.String(), true
		}
		b.WriteString(piece)
		text = text[size:]
	}
	return b.String(), false
}

// line is printable for one line.
func line(text string, limit int) string {
	out, cut := printable([]byte(text), limit, false)
	if cut {
		out += "..."
	}
	return out
}
