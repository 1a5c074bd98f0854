package probe

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable writes a name with every byte but printable ASCII as \xNN, and a
// backslash doubled. The kernel accepts any bytes in the name of an interface
// but '/', ':' and white space (dev_valid_name in net/core/dev.c), and a
// container with CAP_NET_ADMIN chooses them.
func printable(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r < '!' || r > '~' || r == '\\' }) < 0 {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '\\':
			b.WriteString(`\\`)
		case c < '!' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// maxFreeText is above the kernel's own bounds, 255 for an alias (IFALIASZ) and
// 127 for an alternative name (ALTIFNAMSIZ).
const maxFreeText = 256

// freeText bounds a text that somebody else wrote and escapes what could
// change how the text around it is read: control characters, invisible and
// direction-changing ones, bytes that are no UTF-8.
func freeText(text string) string {
	text = text[:min(len(text), maxFreeText)]
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		text = text[size:]
	}
	return b.String()
}
