package fetch

import (
	"errors"
	"net/netip"
	"regexp"
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

// The forms of an override and a detour; an IPv6 address stands in brackets. They are
// compiled at use: most starts of the program never need them.
const (
	overrideForm = `^(\[[^\]]*\]|[^:]+):([0-9]+):(.+)$`
	detourForm   = `^(\[[^\]]*\]|[^:]*):([0-9]*):(\[[^\]]*\]|[^:]*):([0-9]*)$`
)

func parseOverride(text string) (override, error) {
	const form = `must be "host:port:address[,address]"`
	part := regexp.MustCompile(overrideForm).FindStringSubmatch(text)
	if part == nil {
		return override{}, badArgument("resolve", "%q %s", text, form)
	}
	var o override
	var err error
	if o.port, err = parsePort(part[2]); err != nil || o.port == 0 {
		return override{}, badArgument("resolve", "%q %s", text, form)
	}
	if part[1] != "*" {
		if o.host, err = parsePattern(part[1]); err != nil {
			return override{}, badArgument("resolve", "%q: %v", text, err)
		}
	}
	for address := range strings.SplitSeq(part[3], ",") {
		h, err := parseHost(strings.Trim(address, "[]"))
		if err != nil || !h.addr.IsValid() {
			return override{}, badArgument("resolve", "%q is no address; %q %s", address, text, form)
		}
		o.addrs = append(o.addrs, h.addr)
	}
	return o, nil
}

// parsePattern reads the host of an override or a detour; "" stays so.
func parsePattern(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	h, err := parseHost(strings.Trim(text, "[]"))
	return h.String(), err
}

// parsePort reads digits; none are 0.
func parsePort(text string) (uint16, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return uint16(n), err
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

func parseDetour(text string) (detour, error) {
	const form = `must be "host1:port1:host2:port2"; each may be empty`
	part := regexp.MustCompile(detourForm).FindStringSubmatch(text)
	if part == nil {
		return detour{}, badArgument("connect_to", "%q %s", text, form)
	}
	var d detour
	var errs [4]error
	d.host, errs[0] = parsePattern(part[1])
	d.port, errs[1] = parsePort(part[2])
	d.toHost, errs[2] = parsePattern(part[3])
	d.toPort, errs[3] = parsePort(part[4])
	if err := errors.Join(errs[0], errs[2]); err != nil {
		return detour{}, badArgument("connect_to", "%q: %v", text, err)
	}
	if errs[1] != nil || errs[3] != nil {
		return detour{}, badArgument("connect_to", "%q %s", text, form)
	}
	return d, nil
}

// matches compares a host of an override or a detour.
func matches(pattern string, h host) bool { return pattern == "" || pattern == h.String() }
