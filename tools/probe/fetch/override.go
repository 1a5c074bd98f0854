package fetch

import (
	"net/netip"
	"strconv"
	"strings"
)

// An override replaces the lookup of a name: curl's --resolve,
// "host:port:addr[,addr]...", with * for any host.
type override struct {
	host  string // "" for any
	port  uint16
	addrs []netip.Addr
}

func parseOverrides(texts []string) ([]override, error) {
	var list []override
	for _, text := range texts {
		o, err := parseOverride(text)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

func parseOverride(text string) (override, error) {
	const form = `must be "host:port:address[,address]"`
	name, rest, ok := cutHost(text)
	portText, addresses, found := strings.Cut(rest, ":")
	port, err := strconv.ParseUint(portText, 10, 16)
	if !ok || !found || err != nil || port == 0 {
		return override{}, badArgument("resolve", "%q %s", text, form)
	}
	o := override{port: uint16(port)}
	if name != "*" {
		h, err := parseHost(name)
		if err != nil {
			return override{}, badArgument("resolve", "%q: %v", text, err)
		}
		o.host = h.String()
	}
	for part := range strings.SplitSeq(addresses, ",") {
		h, err := parseHost(strings.Trim(part, "[]"))
		if err != nil || !h.addr.IsValid() {
			return override{}, badArgument("resolve", "%q is no address; %q %s", part, text, form)
		}
		o.addrs = append(o.addrs, h.addr)
	}
	return o, nil
}

// A detour connects to another place than the URL says: curl's --connect-to,
// "host1:port1:host2:port2", with nothing for any on the left and for the same
// on the right.
type detour struct {
	host   string // "" for any
	port   uint16 // 0 for any
	toHost string // "" for the same
	toPort uint16 // 0 for the same
}

func parseDetours(texts []string) ([]detour, error) {
	var list []detour
	for _, text := range texts {
		d, err := parseDetour(text)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

func parseDetour(text string) (detour, error) {
	const form = `must be "host1:port1:host2:port2"; each may be empty`
	var d detour
	host1, rest, ok1 := cutHost(text)
	port1, rest, ok2 := strings.Cut(rest, ":")
	host2, port2, ok3 := cutHost(rest)
	if !ok1 || !ok2 || !ok3 {
		return d, badArgument("connect_to", "%q %s", text, form)
	}
	for _, part := range [...]struct {
		text string
		into *string
	}{{host1, &d.host}, {host2, &d.toHost}} {
		if part.text == "" {
			continue
		}
		h, err := parseHost(part.text)
		if err != nil {
			return d, badArgument("connect_to", "%q: %v", text, err)
		}
		*part.into = h.String()
	}
	for _, part := range [...]struct {
		text string
		into *uint16
	}{{port1, &d.port}, {port2, &d.toPort}} {
		if part.text == "" {
			continue
		}
		n, err := strconv.ParseUint(part.text, 10, 16)
		if err != nil || n == 0 {
			return d, badArgument("connect_to", "%q %s", text, form)
		}
		*part.into = uint16(n)
	}
	return d, nil
}

// cutHost splits text after a host and its colon. An IPv6 address stands in
// brackets.
func cutHost(text string) (name, rest string, ok bool) {
	if strings.HasPrefix(text, "[") {
		name, rest, ok = strings.Cut(text[1:], "]")
		rest, colon := strings.CutPrefix(rest, ":")
		return name, rest, ok && colon
	}
	return strings.Cut(text, ":")
}

// matches compares a host of an override or a detour.
func matches(pattern string, h host) bool { return pattern == "" || pattern == h.String() }
