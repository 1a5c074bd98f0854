package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
)

const (
	// ipParallel bounds the namespaces that are looked into at the same time.
	ipParallel = 8
	// maxNetns bounds how many are looked into at all.
	maxNetns = 4096
)

// place is a network namespace to look into: the host's, that of processes, or a
// named one.
type place struct {
	pids []int // those in it, the lowest first
	path string
	net  uint64 // inode, where known
}

func (p place) label() string {
	switch {
	case len(p.pids) > 0:
		return pidLabel(p.pids[0])
	case p.path != "":
		return p.path
	}
	return hostNetns
}

// resolveIP opens the network namespace of this node that owns an address.
func (r *Resolver) resolveIP(ctx context.Context, q Query) (*Target, error) {
	ip, err := netip.ParseAddr(q.IP)
	if err != nil { // parse has checked it
		return nil, enterError("ip "+quote(q.IP), err)
	}
	search := &ipSearch{Resolver: r, ip: ip, began: time.Now()}
	search.run(ctx)
	t, failed := search.result(ctx)
	if failed != nil && failed.Kind == KindNotFound && !q.Here {
		failed = r.notHere(ctx, ip, failed)
	}
	if failed != nil {
		return nil, failed
	}
	t.Query = Query{IP: q.IP, Describe: q.Describe}
	if err := r.checkHost(t); err != nil {
		return nil, t.abort(err)
	}
	switch {
	case t.Process != nil:
		r.identify(ctx, t, q.Describe)
		r.processFiles(t)
	case t.NetnsPath != "":
		r.pathFiles(t)
	}
	return t, nil
}

// notHere asks the cluster what an address is that is not found on this node.
func (r *Resolver) notHere(ctx context.Context, ip netip.Addr, failed *Error) *Error {
	began := time.Now()
	known, said := r.inCluster(ctx, ip)
	switch {
	case ctx.Err() != nil:
		return ended(ctx, failed.Steps)
	case known != nil:
		known.Steps = append(failed.Steps, Step{Source: "kubernetes", Action: "look for " + ip.String(), Outcome: outcomeOK, MS: milliseconds(time.Since(began))})
		return known
	case said != "":
		failed.Message += "; " + said
	}
	return failed
}

// ipSearch looks for one address in all namespaces.
type ipSearch struct {
	*Resolver
	ip    netip.Addr
	began time.Time

	mu      sync.Mutex
	owners  []*Target
	looked  int
	refused []error
}

func (s *ipSearch) run(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(ipParallel)
	for _, p := range s.places(ctx) {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			return s.cfg.Host.Look(ctx, func() error { s.look(ctx, p); return nil })
		})
	}
	_ = g.Wait() // but for the end of ctx, which shows afterwards
}

// places lists each namespace once, by its processes where it has any.
func (r *Resolver) places(ctx context.Context) []place {
	host := r.cfg.Host.Identity().Inode
	all := []place{{net: host}}
	for net, pids := range r.inhabitants(ctx, func(net uint64) bool { return net != host }) {
		all = append(all, place{pids: pids, net: net})
	}
	slices.SortFunc(all[1:], func(a, b place) int { return cmp.Compare(a.pids[0], b.pids[0]) })
	// Most named ones have processes too; those are opened, and then skipped.
	for _, n := range r.namedNetns(ctx) {
		all = append(all, place{path: n.Path})
	}
	return all[:min(len(all), maxNetns)]
}

// look opens one namespace and keeps it if it owns the address.
func (s *ipSearch) look(ctx context.Context, p place) {
	t, owns, err := s.owner(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && owns:
		t = s.keep(t)
	case err == nil:
		s.looked++
	case hasEnded(err):
		// Ended since it was seen, and its network with it.
	case p.path != "" && errors.Is(err, nsexec.ErrNotNetns):
		// What a deleted namespace has left behind owns no address.
	default:
		if !strings.Contains(err.Error(), p.label()) {
			err = fmt.Errorf("%s: %w", p.label(), err)
		}
		s.refused = append(s.refused, err)
	}
	if t != nil {
		_ = t.Close() // was only looked at
	}
}

// keep remembers an owner of the address and returns what need not be
// remembered: the same namespace may be found by a process and by its name, and
// then the process says more.
func (s *ipSearch) keep(t *Target) *Target {
	for i, o := range s.owners {
		if !o.Net.Identity().Same(t.Net.Identity()) {
			continue
		}
		if o.Process == nil && t.Process != nil {
			s.owners[i], t = t, o
		}
		return t
	}
	s.owners = append(s.owners, t)
	return nil
}

func (s *ipSearch) owner(ctx context.Context, p place) (*Target, bool, error) {
	t := &Target{Via: ViaNetns, Node: s.Node()}
	switch {
	case len(p.pids) > 0:
		if err := s.adoptFirst(t, p.pids, p.net); err != nil {
			return t, false, err
		}
	case p.path != "":
		if err := s.adoptPath(ctx, t, p.path); err != nil {
			return nil, false, err
		}
	default:
		s.openHost(t)
	}
	owns, err := ownsAddress(ctx, t.Net, s.ip)
	if owns && len(p.pids) > 1 {
		oldest := &Target{Via: t.Via, Node: t.Node}
		if s.adoptFirst(oldest, s.oldestFirst(p.pids), p.net) == nil {
			t, oldest = oldest, t
		}
		_ = oldest.Close() // was only looked at
	}
	return t, owns, err
}

func hasEnded(err error) bool {
	return errors.Is(err, nsexec.ErrNoProcess) || errors.Is(err, nsexec.ErrZombie) || errors.Is(err, nsexec.ErrGone)
}

// result decides, and closes what is not handed out.
func (s *ipSearch) result(ctx context.Context) (*Target, *Error) {
	step := Step{
		Action: "look for " + s.ip.String(), Outcome: outcomeOK,
		Reason: fmt.Sprintf("%s without it", words.Plural(s.looked, "network namespace")),
		MS:     milliseconds(time.Since(s.began)),
	}
	if t := s.one(ctx); t != nil {
		t.Steps = append(t.Steps, step)
		if n := len(s.refused); n > 0 {
			t.note("not_everywhere", "%s could not be looked into: %v", words.Plural(n, "network namespace"), s.refused[0])
		}
		return t, nil
	}
	err := s.explain(ctx)
	step.Outcome = outcomeNone
	err.Steps = []Step{step}
	for _, t := range s.owners {
		_ = t.Close() // was only looked at
	}
	return nil, err
}

// one returns the network that is meant, nil where that is not known: the only owner,
// or of several the only one that is attached to this node. The others are closed.
func (s *ipSearch) one(ctx context.Context) *Target {
	var here []*Target
	for _, t := range s.owners {
		// Where there is no time left to look, that is not known.
		_ = s.cfg.Host.Look(ctx, func() error { t.Attached = attached(ctx, t.Net, s.cfg.Host, s.ip); return nil })
		if t.Attached {
			here = append(here, t)
		}
	}
	if len(s.owners) == 1 {
		return s.owners[0]
	}
	if len(here) != 1 {
		return nil
	}
	for _, t := range s.owners {
		if t != here[0] {
			_ = t.Close() // was only looked at
		}
	}
	here[0].note("other_owners", "%s of this machine, not attached to this node, have the address too", words.Plural(len(s.owners)-1, "network namespace"))
	return here[0]
}

// elsewhereHint is for an address that nobody here owns.
const elsewhereHint = "The address may be of another node, of a service, or of nothing that runs: kubectl get pods,svc,nodes -A -o wide tells. " +
	"A namespace without a process of this node and without a name is not looked into."

func (s *ipSearch) explain(ctx context.Context) *Error {
	switch {
	case len(s.owners) > 1:
		e := &Error{
			Kind:    KindAmbiguous,
			Message: fmt.Sprintf("%d network namespaces of this node own %s", len(s.owners), s.ip),
			Hint:    "Call again with the pid or netns of one candidate.",
		}
		slices.SortFunc(s.owners, func(a, b *Target) int { return cmp.Compare(a.PID(), b.PID()) })
		for _, t := range s.owners[:min(len(s.owners), maxCandidates)] {
			c := Candidate{PID: t.PID(), Netns: cmp.Or(t.NetnsPath, t.Net.Identity().String())}
			if t.Process != nil {
				s.identify(ctx, t, false)
				c.Source, c.Pod, c.Namespace, c.Container = t.Workload.Source, t.Workload.Pod, t.Workload.Namespace, t.Container
			}
			e.Candidates = append(e.Candidates, c)
		}
		return e
	case ctx.Err() != nil:
		return ended(ctx, nil)
	case len(s.refused) > 0:
		e := enterError("ip "+s.ip.String(), s.refused[0])
		e.Message = fmt.Sprintf("no network namespace that could be looked into owns %s; %d could not (%v)", s.ip, len(s.refused), s.refused[0])
		if e.Kind != KindPermission { // the kind and hint are about that one, not about the address
			e.Kind, e.Hint = KindNotFound, elsewhereHint
		}
		return e
	}
	return &Error{
		Kind:    KindNotFound,
		Message: fmt.Sprintf("no network namespace of this node owns %s (%d looked into)", s.ip, s.looked),
		Hint:    elsewhereHint,
	}
}
