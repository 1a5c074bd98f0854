package words

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible reports whether a reader sees r: it is printable, does not change the
// reading direction, and is no default-ignorable code point, which programs draw
// as nothing (Unicode Standard, section 5.21). The space is visible; line ends and
// the other blanks are not.
func Visible(r rune) bool {
	const brailleBlank = 0x2800 // a symbol without dots: no property tells it from the others
	return unicode.IsPrint(r) && r != brailleBlank && !unicode.In(r,
		unicode.Bidi_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// Escape makes free text of a container or a network fit to be shown: whatever is
// not [Visible] becomes an escape as in Go's source, but for line feeds and tabs,
// and bytes that are no UTF-8 become \xNN. To escape twice changes nothing.
func Escape(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && (r < ' ' || r > '~') }) {
		return text // as nearly all is
	}
	var b strings.Builder
	for i, r := range text {
		switch r {
		case utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				fmt.Fprintf(&b, `\x%02x`, text[i])
				continue
			}
			b.WriteRune(r)
		case '\n', '\t':
			b.WriteRune(r)
		default:
			b.WriteString(EscapeRune(r))
		}
	}
	return b.String()
}

// EscapeRune returns r itself where it is [Visible], else an escape as in Go's
// source.
func EscapeRune(r rune) string {
	if Visible(r) {
		return string(r)
	}
	quoted := fmt.Sprintf("%+q", string(r))
	return quoted[1 : len(quoted)-1]
}
