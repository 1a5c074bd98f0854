package config

import (
	"cmp"
	"fmt"
)

// Setting is where the server looks for something of the node, or who leads to other
// nodes. Where there is an operator's file, that alone says so: whoever started the
// server could otherwise send root elsewhere, and show it a node on which the rest of
// the policy means nothing, or have it run any command for the way to other nodes.
type Setting struct {
	path  string // of the operator's file
	file  bool   // there is one
	key   string // in it
	value string // "" is the default
	who   string // has said so, "" for the file
}

// Set asks for a value, for who ("--docker-host"); "" asks for nothing.
func (s *Setting) Set(who, value string) error {
	switch {
	case value == "" || value == s.value:
		return nil
	case !s.file:
		s.value, s.who = value, who
		return nil
	case s.value == "":
		return fmt.Errorf("%s: where there is an operator's file, %s alone says where to look; set %s there, or leave this out", who, s.path, s.key)
	}
	return fmt.Errorf("%s: %s says %s: %s; leave this out", who, s.path, s.key, s.value)
}

// SetDefault takes a value from who ("NODE_NAME") where nobody has given one, the file
// included; where somebody has, it has to be the same.
func (s *Setting) SetDefault(who, value string) error {
	if s.value != "" {
		return s.Set(who, value)
	}
	s.value, s.who = value, who
	return nil
}

// Or returns the value, or otherwise where nobody gave one.
func (s *Setting) Or(otherwise string) string { return cmp.Or(s.value, otherwise) }

// Fixed reports whether an operator's file alone says where to look.
func (s *Setting) Fixed() bool { return s.file }

// Who says so, for messages: a flag, a variable, or the key of the file.
func (s *Setting) Who() string { return cmp.Or(s.who, s.key+" of "+s.path) }
