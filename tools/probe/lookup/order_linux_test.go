package lookup

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

// TestOrderAgainstTheLibraries: addresses come in the order in which each library
// gives them, in pods with one and with two IP versions.
func TestOrderAgainstTheLibraries(t *testing.T) {
	t.Parallel()
	o := findOriginals(t)
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{}, lab.PodSpec{IPv6: true}, lab.PodSpec{Style: lab.Calico, IPv6: true}, lab.PodSpec{Style: lab.Plain})
	records := map[string][]string{
		"service.example.":  {"A 10.96.1.3", "AAAA fd00:10:96::3"},
		"global.example.":   {"A 192.0.2.80", "AAAA 2001:db8::80"},
		"headless.example.": {"A 10.244.7.9", "A 10.244.1.200", "A 10.244.7.8", "A 10.244.1.11", "AAAA fd00:10:244:7::9", "AAAA fd00:10:244:1::77", "AAAA fd00:10:244:1::b"},
		"mixed.example.":    {"A 127.0.0.1", "A 169.254.1.1", "A 10.0.0.1", "AAAA ::1", "AAAA fe80::1", "AAAA 2002:a00:1::1", "AAAA 2001::1", "AAAA fec0::1", "AAAA 2001:db8::1", "AAAA fd00::1"},
		"local.example.":    {"A 127.0.0.9", "A 127.0.0.1", "AAAA ::1"},
	}
	for _, pod := range pods {
		zone(records).serve(t, pod, server1)
		file := conf("nameserver " + server1)
		for name := range records {
			for _, flavour := range o.flavours {
				if o.programs[flavour] == "" {
					continue
				}
				if flavour == Go && pod.Style == lab.Plain {
					continue // what cannot be reached stays as it came, which is chance
				}
				theirs := askOriginal(t, pod, file, o.programs[flavour], name)
				d, err := newDialer(Network{Handle: pod.Handle}, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				// In the order of the zone: which answer comes first does not matter
				// where the rules leave nothing open between IPv4 and IPv6.
				found := predict(t, pod, file, name, flavour).Addresses
				slices.SortStableFunc(found, func(a, b netip.Addr) int {
					return slices.Index(zoneOrder(records[name]), a.String()) - slices.Index(zoneOrder(records[name]), b.String())
				})
				var ours []string
				for _, ip := range d.sourcesFor(t.Context(), found).sorted(flavour, found) {
					ours = append(ours, ip.String())
				}
				if !slices.Equal(ours, theirs.ordered) {
					t.Errorf("%s in a %s pod (IPv6 %v), %s:\n we say %v\n it says %v", name, pod.Style, pod.IP6.IsValid(), flavour, ours, theirs.ordered)
				}
			}
		}
	}
}

// zoneOrder lists the addresses of records.
func zoneOrder(records []string) []string {
	var list []string
	for _, r := range records {
		_, address, _ := strings.Cut(r, " ")
		list = append(list, address)
	}
	return list
}
