package lookup

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
)

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// glibcConf reads resolv.conf as glibc does (resolv/res_init.c, res_vinit_1).
func glibcConf(s *Sources) Conf {
	options := func(c *Conf, value string) { c.glibcOptions(value, s.GlibcMinor) }
	d := dialect{blank: blank, server: glibcServer, options: options, defaults: []netip.Addr{loopback4}}
	c := d.read(s.ResolvConf)
	if s.LocalDomain != nil { // it overrides the file
		line, _, _ := strings.Cut(*s.LocalDomain, "\n")
		c.Search = strings.FieldsFunc(line, blank)
	} else {
		c.searchHostname(s.Hostname)
	}
	if s.ResOptions != nil {
		options(&c, *s.ResOptions)
	}
	return c
}

// glibcServer reads the address on a nameserver line. A carriage return, from a
// file with DOS line ends, makes it no address.
func glibcServer(value string) (netip.Addr, bool) {
	ip, ok := addressLiteral(value)
	if address, zone, found := strings.Cut(value, "%"); found && !words.IsZone(zone) {
		ip, ok = addressLiteral(address) // likewise
	}
	if zone := ip.Zone(); ok && !isLinkScoped(ip) && !isNumber(zone) {
		ip = ip.WithZone("") // an unknown interface would be no error, but no zone
	}
	return ip, ok
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// glibcFlags are the options without a value. glibc compares prefixes, in this order,
// so "rotate-no" is rotate, too.
var glibcFlags = [...]struct {
	prefix, flag string
	// since is the minor version of glibc 2 that brought it; older ones ignore it.
	since int
}{
	{rotate, rotate, 0},
	{edns0, edns0, 0},
	{singleRequestReopen, singleRequestReopen, 0},
	{singleRequest, singleRequest, 0},
	{"no_tld_query", noTLDQuery, 0},
	{noTLDQuery, noTLDQuery, 0},
	{useVC, useVC, 0},
	{trustAD, trustAD, 31},
	{noAAAA, noAAAA, 36},
	{strictError, strictError, 41},
}

// glibcMinus is the minor version from which a minus takes an option back.
const glibcMinus = 42

// glibcOptions reads one options line, or RES_OPTIONS (res_setoptions). Lines add
// up. version is the minor one of glibc 2; 0 is unknown and taken for the newest.
func (c *Conf) glibcOptions(value string, version int) {
	known := func(since int) bool { return version == 0 || version >= since }
	for value = strings.TrimLeftFunc(value, blank); value != ""; value = strings.TrimLeftFunc(value, blank) {
		// The number may stand after blanks (atoi), and is then a word of its own, too.
		if n, ok := strings.CutPrefix(value, "ndots:"); ok {
			// Kept in four bits, so -1 is 15.
			c.Ndots = min(strtol(n), maxNdots) & 0xf
		}
		if n, ok := strings.CutPrefix(value, "timeout:"); ok {
			// 0 and less mean 1 when it comes to waiting (send_dg), which is of no
			// use to tell apart.
			c.Timeout = time.Duration(max(min(strtol(n), 30), 1)) * time.Second
		}
		if n, ok := strings.CutPrefix(value, "attempts:"); ok {
			c.Attempts = max(min(strtol(n), 5), 0)
		}
		end := strings.IndexFunc(value, blank)
		if end < 0 {
			end = len(value)
		}
		name, negated := value[:end], false
		if known(glibcMinus) {
			name, negated = strings.CutPrefix(name, "-")
		}
		for _, option := range glibcFlags {
			if known(option.since) && strings.HasPrefix(name, option.prefix) {
				c.Flags[option.flag] = !negated
				break
			}
		}
		value = value[end:]
	}
}
