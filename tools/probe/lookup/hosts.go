package lookup

import (
	"bytes"
	"iter"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// family says which addresses are wanted.
type family uint8

const (
	anyFamily family = iota
	onlyIPv4
	onlyIPv6
)

// hostsEntry is what the hosts file says of a name.
type hostsEntry struct {
	addresses []netip.Addr
	line      int // the first that names it
}

// maxHostsAddresses bounds what is taken for one name.
const maxHostsAddresses = 256

// hostsLookup looks a name up in the hosts file. Nil means that the file does
// not have it. An entry without addresses means that it has the name, but none of
// the family asked for, and that the library then asks nobody else.
type hostsLookup func(s *Sources, name string, want family) *hostsEntry

// glibcHosts reads the file as glibc does (nss/nss_files/files-hosts.c). Names
// are compared without regard to case and character by character, so a final
// dot matters.
func glibcHosts(s *Sources, name string, want family) *hostsEntry {
	multi := hostConfMulti(s.HostConf)
	var entry *hostsEntry
	for number, fields := range hostsLines(s.Hosts, name, fieldsBy(space)) {
		if !slices.ContainsFunc(fields[1:], func(f string) bool { return strings.EqualFold(f, name) }) {
			continue
		}
		ip, ok := glibcHostsAddress(fields[0], want)
		if !ok {
			continue
		}
		entry = entry.add(ip, number)
		// Without "multi on" in /etc/host.conf the first line is the answer.
		if !multi {
			break
		}
	}
	return entry
}

func glibcHostsAddress(text string, want family) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || want == onlyIPv6 && ip.Is4() {
		return netip.Addr{}, false
	}
	if want == onlyIPv4 && ip == loopback6 {
		return loopback4, true // so that "::1 localhost" is an answer to those who want IPv4
	}
	if want == onlyIPv4 {
		ip = ip.Unmap()
	}
	return ip, want != onlyIPv4 || ip.Is4()
}

// muslHostsLine is how much musl reads of a line at a time. What follows it
// counts as another line, which then begins with no address.
const muslHostsLine = 511

// muslHosts reads the file as musl does (src/network/lookup_name.c): names are
// compared with regard to case, and the last word of a file without a final
// line end is not seen.
func muslHosts(s *Sources, name string, want family) *hostsEntry {
	var entry *hostsEntry
	data := s.Hosts
	if end := bytes.LastIndexByte(data, '\n') + 1; end < len(data) && !bytes.ContainsRune(data[end:], '#') {
		data = bytes.TrimRightFunc(data, func(c rune) bool { return !space(c) })
	}
	split := func(line string) []string {
		if line == "" || space(rune(line[0])) {
			return nil // the address is what stands before the first blank
		}
		return fieldsBy(space)(line[:min(len(line), muslHostsLine)])
	}
	for number, fields := range hostsLines(data, name, split) {
		if !slices.Contains(fields[1:], name) {
			continue
		}
		if ip, ok := addressLiteral(fields[0]); ok {
			entry = entry.add(ip, number)
		}
	}
	return entry.only(want)
}

// goHosts reads the file as Go's resolver does (net/hosts.go): a final dot does
// not matter in a name that has another one.
func goHosts(s *Sources, name string, want family) *hostsEntry {
	var entry *hostsEntry
	for number, fields := range hostsLines(s.Hosts, strings.TrimSuffix(name, "."), fieldsBy(goBlank)) {
		if !slices.ContainsFunc(fields[1:], func(f string) bool { return strings.EqualFold(goAbsolute(f), goAbsolute(name)) }) {
			continue
		}
		if ip, ok := parseAddr(fields[0]); ok {
			entry = entry.add(ip, number)
		}
	}
	return entry.only(want)
}

// goAbsolute is absDomainName of net/dnsclient.go.
func goAbsolute(name string) string {
	if strings.Contains(name, ".") && !strings.HasSuffix(name, ".") {
		return name + "."
	}
	return name
}

// fieldsBy cuts a line up at blanks, up to a comment.
func fieldsBy(blank func(rune) bool) func(string) []string {
	return func(line string) []string {
		line, _, _ = strings.Cut(line, "#")
		return strings.FieldsFunc(line, blank)
	}
}

// hostsLines yields the lines with an address and at least one name in which
// name occurs somewhere, as words.
func hostsLines(data []byte, name string, split func(line string) []string) iter.Seq2[int, []string] {
	return func(yield func(int, []string) bool) {
		for number, line := range lines(data) {
			if !containsFold(line, name) {
				continue // before it is cut up: lists of a million names exist
			}
			if fields := split(line); len(fields) >= 2 && !yield(number, fields) {
				return
			}
		}
	}
}

func (e *hostsEntry) add(ip netip.Addr, line int) *hostsEntry {
	if e == nil {
		e = &hostsEntry{line: line}
	}
	if len(e.addresses) < maxHostsAddresses {
		e.addresses = append(e.addresses, ip)
	}
	return e
}

// only leaves the addresses of one family.
func (e *hostsEntry) only(want family) *hostsEntry {
	if e != nil && want != anyFamily {
		e.addresses = slices.DeleteFunc(e.addresses, func(ip netip.Addr) bool { return ip.Unmap().Is4() != (want == onlyIPv4) })
	}
	return e
}

func containsFold(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// multiLine matches the keyword multi of host.conf(5), with what begins its value.
const multiLine = `(?im)^\s*multi\s+(on|off)`

// hostConfMulti reports whether host.conf(5) asks for all lines of the hosts
// file. Debian's does; without the file it is off (resolv/res_hconf.c).
func hostConfMulti(data []byte) bool {
	found := regexp.MustCompile(multiLine).FindAllSubmatch(data, -1)
	return len(found) > 0 && len(found[len(found)-1][1]) == len("on")
}
