package probe

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// parseAddrs turns the messages of one RTM_GETADDR dump into facts by the index
// of their interface, in the kernel's order. uptime is the monotonic clock at
// the time of the dump, from which ages are counted. It is pure.
func parseAddrs(messages [][]byte, uptime time.Duration) (map[int][]fact.Addr, error) {
	addresses := make(map[int][]fact.Addr)
	for _, b := range messages {
		// struct ifaddrmsg: family, prefix length, flags, scope, index.
		if len(b) < unix.SizeofIfAddrmsg {
			return nil, errShortMessage
		}
		if family := b[0]; family != unix.AF_INET && family != unix.AF_INET6 {
			continue
		}
		index := int(binary.NativeEndian.Uint32(b[4:]))
		addresses[index] = append(addresses[index], parseAddr(b, uptime))
	}
	return addresses, nil
}

func parseAddr(b []byte, uptime time.Duration) fact.Addr {
	tb := parseAttributes(b[unix.SizeofIfAddrmsg:], unix.IFA_RT_PRIORITY)
	addr := fact.Addr{Family: "inet", PrefixLen: int(b[1]), Scope: scopeName(b[3])}
	if b[0] == unix.AF_INET6 {
		addr.Family = "inet6"
	}
	local, other := tb[unix.IFA_LOCAL], tb[unix.IFA_ADDRESS]
	if local == nil {
		local = other
	}
	addr.Local = ipAddress(local)
	if other != nil && !bytes.Equal(local, other) {
		addr.Address = ipAddress(other)
	}
	flags := uint32(b[2])
	if long, ok := tb.uint(unix.IFA_FLAGS); ok {
		flags = uint32(long) //nolint:gosec // the attribute has 32 bits
	}
	addrFlags(&addr, flags)
	addr.Metric = tb.number(unix.IFA_RT_PRIORITY)
	addr.Broadcast = ipAddress(tb[unix.IFA_BROADCAST])
	addr.Anycast = ipAddress(tb[unix.IFA_ANYCAST])
	addr.Label = tb.text(unix.IFA_LABEL)
	addr.Age = -1
	// struct ifa_cacheinfo: preferred, valid (s), created, updated (1/100 s).
	if cache := tb[unix.IFA_CACHEINFO]; len(cache) >= 16 {
		addr.PreferredLifeTime = new(int(binary.NativeEndian.Uint32(cache)))
		if addr.Deprecated {
			// iproute2 prints this one signed.
			addr.PreferredLifeTime = preferredOfDeprecated(binary.NativeEndian.Uint32(cache))
		}
		addr.ValidLifeTime = new(int(binary.NativeEndian.Uint32(cache[4:])))
		addr.Age = age(binary.NativeEndian.Uint32(cache[8:]), uptime)
	}
	return addr
}

// preferredOfDeprecated follows iproute2, which prints the time that is left
// as a signed number once it is over, unless it is infinite.
func preferredOfDeprecated(left uint32) *int {
	const forever = ^uint32(0)
	if left == forever {
		return new(int(left))
	}
	return new(signed(left))
}

// age is the time since created, the kernel's uptime in 1/100 s, which wraps
// after 497 days.
func age(created uint32, uptime time.Duration) time.Duration {
	const unit = 10 * time.Millisecond
	now := uint32(uptime / unit) //nolint:gosec // wraps as the kernel's does
	passed := now - created
	if passed > 1<<31 { // the kernel's clock ticks behind the one read here
		return 0
	}
	return time.Duration(passed) * unit
}

// addrFlags sets what IFA_F_* of linux/if_addr.h say, under iproute2's names.
func addrFlags(addr *fact.Addr, flags uint32) {
	take := func(bit uint32) bool {
		set := flags&bit != 0
		flags &^= bit
		return set
	}
	// One bit, and two meanings by family.
	if second := take(unix.IFA_F_SECONDARY); addr.Family == "inet6" {
		addr.Temporary = second
	} else {
		addr.Secondary = second
	}
	addr.NoDAD = take(unix.IFA_F_NODAD)
	addr.Optimistic = take(unix.IFA_F_OPTIMISTIC)
	addr.DADFailed = take(unix.IFA_F_DADFAILED)
	addr.Home = take(unix.IFA_F_HOMEADDRESS)
	addr.Deprecated = take(unix.IFA_F_DEPRECATED)
	addr.Tentative = take(unix.IFA_F_TENTATIVE)
	addr.Dynamic = !take(unix.IFA_F_PERMANENT)
	addr.MngTmpAddr = take(unix.IFA_F_MANAGETEMPADDR)
	addr.NoPrefixRoute = take(unix.IFA_F_NOPREFIXROUTE)
	addr.AutoJoin = take(unix.IFA_F_MCAUTOJOIN)
	addr.StablePrivacy = take(unix.IFA_F_STABLE_PRIVACY)
	if flags != 0 {
		addr.OtherFlags = strconv.FormatUint(uint64(flags), 16)
	}
}
