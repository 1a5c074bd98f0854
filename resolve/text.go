package resolve

import (
	"strings"
	"unicode"

	"nsenter-mcp/internal/words"
)

// text makes what somebody else wrote safe to show: one line, at most 200 bytes.
func text(s string) string { return textUpTo(s, 200) }

// textUpTo is text with another limit, in bytes.
func textUpTo(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if !words.Visible(c) || c == unicode.ReplacementChar {
			return ' '
		}
		return c
	}, s[:min(len(s), limit)])
	return strings.TrimSpace(s)
}
