package ceiling

import "fmt"

// Place is where the server looks for something of the node. Where there is an
// operator's file, that alone says so: whoever started the server could
// otherwise send root elsewhere, and show it a node on which the rest of the
// policy means nothing, or have it run any command for the way to other nodes.
type Place struct {
	path string // of the operator's file
	file bool   // there is one
	key  string // in it
	at   string // "" is the default
	who  string // has said so, "" for the file
}

// Want asks for a place, for who ("--docker-host"); "" asks for nothing.
func (p *Place) Want(who, at string) error {
	switch {
	case at == "" || at == p.at:
		return nil
	case !p.file:
		p.at, p.who = at, who
		return nil
	case p.at == "":
		return fmt.Errorf("%s: where there is %s, that alone says where to look; set %s there, or leave this out", who, p.path, p.key)
	}
	return fmt.Errorf("%s: %s says %s: %s; leave this out", who, p.path, p.key, p.at)
}

// Suggest takes a place from who ("NODE_NAME") where nobody has named one, the file
// included; where somebody has, it has to be the same.
func (p *Place) Suggest(who, at string) error {
	if p.at != "" {
		return p.Want(who, at)
	}
	p.at, p.who = at, who
	return nil
}

// Or returns the place, or otherwise where nobody named one.
func (p *Place) Or(otherwise string) string {
	if p.at == "" {
		return otherwise
	}
	return p.at
}

// Fixed reports whether an operator's file alone says where to look.
func (p *Place) Fixed() bool { return p.file }

// Who says so, for messages: a flag, a variable, or the key of the file.
func (p *Place) Who() string {
	if p.who == "" {
		return p.key + " of " + p.path
	}
	return p.who
}
