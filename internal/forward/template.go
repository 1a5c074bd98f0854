package forward

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"nsenter-mcp/internal/dispatch"

	"github.com/mattn/go-shellwords"
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

// ParseTemplate splits a command line into words as a shell does, quotes included. No
// shell ever runs it: what combines commands or redirects (| & ; < >) is an error, and
// a $ stands for itself.
func ParseTemplate(line string) (Template, error) {
	if strings.ContainsRune(line, 0) {
		return Template{}, errors.New("the command holds a NUL")
	}
	parser := shellwords.NewParser()
	words, err := parser.Parse(line)
	switch {
	case err != nil:
		return Template{}, errors.New("the command cannot be split into words: a quote is not closed, or a bracket is not quoted")
	case parser.Position >= 0:
		return Template{}, fmt.Errorf("no shell runs the command, so | & ; < > outside of quotes have no meaning (after %q)", strings.Join(words, " "))
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

// ExecNamespace is the Kubernetes namespace into whose pods the command goes by kubectl
// exec, as deploy/on-node does; "" for another command, or one that is not known to.
func (t Template) ExecNamespace() string {
	switch filepath.Base(t.words[0]) {
	case "on-node":
		return "nsenter-mcp"
	case "kubectl", "kubectl.exe":
	default:
		return ""
	}
	namespace, exec := "default", false
	for i, word := range t.words {
		value, given := strings.CutPrefix(word, "--namespace=")
		switch {
		case word == "--": // what follows is the command in the pod
			if exec {
				return namespace
			}
			return ""
		case word == "exec":
			exec = true
		case given:
			namespace = value
		case (word == "-n" || word == "--namespace") && i+1 < len(t.words):
			namespace = t.words[i+1]
		}
	}
	return ""
}

// Argv returns the command for a node. A name that no node can have never comes
// to stand in it.
func (t Template) Argv(node string) ([]string, error) {
	if err := dispatch.CheckNode(node); err != nil {
		return nil, fmt.Errorf("node %q %w", node, err)
	}
	argv := make([]string, len(t.words))
	for i, word := range t.words {
		argv[i] = strings.ReplaceAll(word, nodePlaceholder, node)
	}
	return argv, nil
}
