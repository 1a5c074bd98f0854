package resolve

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"nsenter-mcp/internal/words"
)

// Query names one target. Exactly one of Pod, Container (alone), PID, Netns and
// IP is set; Namespace and Container may come with Pod.
type Query struct {
	// Pod is a pod's name, "namespace/name", or the UID of a pod. In front of the
	// name may stand a kind, as kubectl takes it ("po/web-0", "deploy/web"), which
	// wins over a namespace that is called like one.
	Pod string
	// Namespace is the Kubernetes namespace of Pod; "" searches all.
	Namespace string
	// Container alone is the name that a container runtime has for a container,
	// its ID, or the start of its ID. With Pod it is one of the pod's containers.
	Container string
	// PID is a process as the node numbers them.
	PID *int
	// Netns is a named network namespace, the absolute path of one, its inode
	// number ("4026531840" or "net:[4026531840]"), or "host".
	Netns string
	// IP is an address that a network namespace of this node owns.
	IP string
	// Describe asks for the whole workload, container states included, also
	// where the process is known without asking anybody (PID, Netns, IP).
	Describe bool
	// Here: what no network of this node owns need not be known; the cluster is not
	// asked what an IP is.
	Here bool
	// Everywhere: a pod of another node can be had as well, so that one of this node
	// does not hide its namesake in another Kubernetes namespace: the cluster is asked
	// for a pod that is named without one, too.
	Everywhere bool
	// NoFiles: the target's files are not going to be read, so nobody need find out
	// whose they are.
	NoFiles bool

	// kind makes Pod the name of what owns the pod; "" for a pod itself.
	kind ownerKind
	// brief asks only what a container is called and of which pod it is.
	brief bool
}

// namesakes reports whether pods of several Kubernetes namespaces may be what q
// names.
func (q Query) namesakes() bool { return q.Pod != "" && q.Namespace == "" && !isUUID(q.Pod) }

// wantsCluster reports whether the cluster is asked although a source of this node
// may know the pod.
func (q Query) wantsCluster() bool { return q.Describe || q.Everywhere && q.namesakes() }

// Longest inputs that can name anything: a DNS subdomain (RFC 1123) and
// PATH_MAX of linux/limits.h.
const (
	maxName = 253
	maxPath = 4096
)

// Validate reports as [KindBadQuery], or as a kind of its own for a PID, what
// is wrong with q before anything is looked up. An IP is accepted only where
// allowIP says so.
func (q Query) Validate(allowIP bool) error {
	_, err := q.parse(allowIP)
	return err
}

// parse validates q and brings it into its plain form: namespace split from the
// pod, runtime prefix ("docker://") and leading slash off the container.
func (q Query) parse(allowIP bool) (Query, error) {
	if err := q.exactlyOne(allowIP); err != nil {
		return Query{}, err
	}
	var err error
	switch {
	case q.Pod != "":
		err = q.parsePod()
	case q.Container != "":
		err = q.parseContainer()
	case q.PID != nil:
		err = checkPID(*q.PID)
	case q.Netns != "":
		err = checkNetns(q.Netns)
	default:
		err = q.parseIP()
	}
	if err != nil {
		return Query{}, err
	}
	return q, nil
}

func (q Query) exactlyOne(allowIP bool) error {
	var given []string
	add := func(set bool, name string) {
		if set {
			given = append(given, name)
		}
	}
	add(q.Pod != "", "pod")
	add(q.Container != "" && q.Pod == "", "container")
	add(q.PID != nil, "pid")
	add(q.Netns != "", "netns")
	add(q.IP != "", "ip")
	kinds := "pod, container, pid or netns"
	if allowIP {
		kinds += " (resolve_pod_pid takes ip as well)"
	}
	switch {
	case len(given) == 0 && q.Namespace != "":
		return badQuery("namespace names no target by itself", "Add pod: the namespace says which pod of that name is meant.")
	case len(given) == 0:
		return badQuery("no target was named", "Give exactly one of "+kinds+"; resolve_pod_pid without arguments lists what is here.")
	case len(given) > 1:
		return badQuery(fmt.Sprintf("%s name more than one target", strings.Join(given, " and ")),
			"Give exactly one of "+kinds+". Only container may come together with pod.")
	case q.IP != "" && !allowIP:
		return badQuery("ip does not name a target here", "Call resolve_pod_pid with ip first, then use the returned pid.")
	case q.Namespace != "" && q.Pod == "":
		return badQuery("namespace goes only with pod, not with "+given[0], "Leave namespace out, or name the pod.")
	}
	return nil
}

func (q *Query) parsePod() error {
	parts := strings.Split(q.Pod, "/")
	if slices.Contains(parts, "") || len(parts) > 3 {
		return badQuery(fmt.Sprintf("pod %s is neither a name nor namespace/name nor kind/name", quote(q.Pod)), podForms)
	}
	if len(parts) == 3 || len(parts) == 2 && !isKind(parts[0]) {
		if q.Namespace != "" && q.Namespace != parts[0] {
			return badQuery(fmt.Sprintf("pod says namespace %s but namespace says %s", quote(parts[0]), quote(q.Namespace)),
				"Give the namespace once, either in pod or in namespace. "+podForms)
		}
		q.Namespace, parts = parts[0], parts[1:]
	}
	if len(parts) == 2 {
		if !isKind(parts[0]) {
			return badQuery(fmt.Sprintf("pod %s: %s is no kind that owns pods", quote(q.Pod), quote(parts[0])), podForms)
		}
		q.kind, parts = kindNamed(parts[0]), parts[1:]
	}
	q.Pod = parts[0]
	if err := checkName("pod", q.Pod, "resolve_pod_pid without arguments lists the pods that are here."); err != nil {
		return err
	}
	if q.Namespace != "" {
		if err := checkName("namespace", q.Namespace, "Give the Kubernetes namespace, such as default."); err != nil {
			return err
		}
	}
	if q.Container == "" {
		return nil
	}
	return q.parseContainer()
}

func (q *Query) parseContainer() error {
	name := q.Container
	// The form of containerStatuses[].containerID in the Kubernetes API.
	if _, id, found := strings.Cut(name, "://"); found {
		name = id
	}
	// Docker's own names begin with a slash (docker inspect -f '{{.Name}}').
	q.Container = strings.TrimPrefix(name, "/")
	return checkName("container", q.Container, "Give a container's name or ID; resolve_pod_pid without arguments lists the containers that are here.")
}

func (q *Query) parseIP() error {
	hint := "Give an address of a pod or of this node, such as 10.244.1.10."
	ip, err := netip.ParseAddr(q.IP)
	if err != nil {
		return badQuery(fmt.Sprintf("ip %s is not an IP address", quote(q.IP)), hint)
	}
	ip = ip.Unmap()
	switch {
	case ip.Zone() != "":
		return badQuery(fmt.Sprintf("ip %s has a zone", quote(q.IP)), "Give the address without the part from % on.")
	case ip.IsLoopback(), ip.IsUnspecified(), ip.IsMulticast():
		return badQuery(fmt.Sprintf("ip %s belongs to every network namespace or to none", ip), hint)
	}
	q.IP = ip.String()
	return nil
}

// maxPID is PID_MAX_LIMIT of include/linux/threads.h on 64-bit machines.
const maxPID = 1 << 22

func checkPID(pid int) error {
	hint := "Give the PID of a process as this node sees it, or name the pod or container."
	switch {
	case pid == 0:
		return &Error{
			Kind:    KindPIDZero,
			Message: "pid 0 is no process; runtimes report it for a container that is not running",
			Hint:    "Name the pod or container, to see its state: resolve_pod_pid with pod or container.",
		}
	case pid < 0:
		return &Error{Kind: KindPIDNegative, Message: fmt.Sprintf("pid %d is negative", pid), Hint: hint}
	case pid > maxPID:
		return &Error{
			Kind:    KindPIDTooLarge,
			Message: fmt.Sprintf("pid %d is larger than any that Linux gives (%d)", pid, maxPID),
			Hint:    hint,
		}
	}
	return nil
}

func checkNetns(value string) error {
	hint := "Give the name of a namespace (ip netns list), an absolute path, an inode number such as 4026531840, or host."
	bad := func(what string) error {
		return badQuery(fmt.Sprintf("netns %s %s", quote(value), what), hint)
	}
	if !printable(value) {
		return bad("holds control characters")
	}
	if !strings.Contains(value, "/") {
		switch {
		case len(value) > maxName:
			return bad(fmt.Sprintf("is longer than %d bytes", maxName))
		case value == "." || value == "..":
			return bad("is no name")
		}
		return nil
	}
	switch {
	case len(value) > maxPath:
		return bad(fmt.Sprintf("is longer than %d bytes", maxPath))
	case !path.IsAbs(value):
		return bad("is a relative path")
	}
	for part := range strings.SplitSeq(value, "/") {
		if part == ".." {
			return bad("climbs with ..")
		}
	}
	return nil
}

// checkName accepts what a pod, a Kubernetes namespace or a container can be
// called, and with that nothing that means something else in a path, a URL or a
// pattern: [a-zA-Z0-9][a-zA-Z0-9_.-]* is the rule of the Docker engine
// (daemon/names), and Kubernetes names are a part of it.
func checkName(what, name, hint string) error {
	switch {
	case name == "":
		return badQuery(what+" is empty", hint)
	case len(name) > maxName:
		return badQuery(fmt.Sprintf("%s %s is longer than %d bytes", what, quote(name), maxName), hint)
	case !printable(name):
		return badQuery(fmt.Sprintf("%s %s holds control characters", what, quote(name)), hint)
	}
	for i, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '.' || c == '_'):
		default:
			return badQuery(fmt.Sprintf("%s %s holds %q, which no such name has there", what, quote(name), c), hint)
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !words.Visible(c) })
}

// quote makes untrusted text safe and short enough for a message.
func quote(s string) string {
	const limit = 64
	if len(s) > limit {
		return fmt.Sprintf("%q and %d bytes more", s[:limit], len(s)-limit)
	}
	return fmt.Sprintf("%q", s)
}
