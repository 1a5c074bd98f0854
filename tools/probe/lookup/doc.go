// Package lookup finds out what an application in a network namespace would get
// if it asked for a name, and why.
//
// It has three layers. Parsers read resolv.conf, hosts and nsswitch.conf as a
// resolver library reads them, quirks included. The wire asks name servers from
// inside the namespace. The walk, a pure function, plays a library over what
// the servers said: which names it would have tried at which server, where it
// would have stopped, what it would have returned and after how long.
//
// So nothing is waited for that an application would wait for: servers and
// names are asked side by side, once, and the waiting is computed. Three
// libraries are known as a [Flavour] each: glibc 2.26 and later, musl 1.2.4 and
// later, and the resolver of Go's package net. Their sources are what the
// comments cite.
//
// Names are kept in presentation form (RFC 1035, section 5.1): every byte that
// is no printable ASCII is written \DDD, so a name can be printed as it is.
package lookup
