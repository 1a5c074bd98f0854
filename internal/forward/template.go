package forward

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"

	"nsenter-mcp/tools"
)

// Template is a command in which {node} stands for a node's name.
type Template struct {
	words []string
}

// nodePlaceholder is what the name takes the place of.
const nodePlaceholder = "{node}"

// placeholder matches whatever looks like one.
var placeholder = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_.-]*\}`)
})

// ParseTemplate splits a command line into words as a POSIX shell does, quotes
// included. No shell ever runs it: what only a shell could carry out (variables,
// pipes, substitutions) is an error.
func ParseTemplate(line string) (Template, error) {
	words, err := split(line)
	if err != nil {
		return Template{}, err
	}
	named := false
	for i, word := range words {
		for _, p := range placeholder().FindAllString(word, -1) {
			if p != nodePlaceholder {
				return Template{}, fmt.Errorf("%s is no placeholder; there is %s alone", p, nodePlaceholder)
			}
			if i == 0 {
				return Template{}, fmt.Errorf("%s cannot be part of the command's own name", nodePlaceholder)
			}
			named = true
		}
	}
	switch {
	case len(words) == 0:
		return Template{}, errors.New("the command is empty")
	case words[0] == "":
		return Template{}, errors.New("the command's name is empty")
	case !named:
		return Template{}, fmt.Errorf("%s is missing, so that every node would be the same", nodePlaceholder)
	}
	return Template{words}, nil
}

// Command is the name of the program.
func (t Template) Command() string { return t.words[0] }

// Argv returns the command for a node. A name that no node can have never comes
// to stand in it.
func (t Template) Argv(node string) ([]string, error) {
	if err := tools.CheckNode(node); err != nil {
		return nil, fmt.Errorf("node %q %w", node, err)
	}
	argv := make([]string, len(t.words))
	for i, word := range t.words {
		argv[i] = strings.ReplaceAll(word, nodePlaceholder, node)
	}
	return argv, nil
}

// split is the word splitting and quote removal of a POSIX shell (XCU 2.2, 2.6.7).
func split(line string) ([]string, error) {
	if strings.ContainsRune(line, 0) {
		return nil, errors.New("the command holds a NUL")
	}
	var words []string
	for w, err := range syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).WordsSeq(strings.NewReader(line)) {
		var wrong syntax.ParseError
		switch {
		case errors.As(err, &wrong):
			return nil, fmt.Errorf("column %d: %s; no shell runs the command", wrong.Pos.Col(), wrong.Text)
		case err != nil:
			return nil, err
		}
		word, err := literal(w.Parts)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", w.Pos().Col(), err)
		}
		words = append(words, word)
	}
	return words, nil
}

// literal is the text of a word once its quotes are taken away.
func literal(parts []syntax.WordPart) (string, error) {
	var b strings.Builder
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value, ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, inner := range p.Parts {
				l, ok := inner.(*syntax.Lit)
				if !ok {
					return "", errShell
				}
				b.WriteString(unescape(l.Value, "$`\"\\\n"))
			}
		default:
			return "", errShell
		}
	}
	return b.String(), nil
}

// errShell is said of what only a shell can do.
var errShell = errors.New("no shell runs the command, so variables and substitutions have no value; quote them with '' to pass them on")

// unescape takes backslashes away before the characters of special, before all
// where it is empty. One before the end of a line takes that away too.
func unescape(s, special string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (special == "" || strings.IndexByte(special, s[i+1]) >= 0) {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
