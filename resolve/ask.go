package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nsenter-mcp/internal/words"
)

// question is one query as it is put to the sources.
type question struct {
	query Query
	// wait bounds the whole round; 0 leaves each source the time that it has.
	wait time.Duration
	// patient waits for every source even when one knows the target.
	patient bool
	// lists fetches everything that there is, where nobody knows the target: for
	// prefixes and near misses.
	lists bool
}

// reply is what all sources together said.
type reply struct {
	exact  []Workload // merged; may hold more than what fits
	listed []Workload // merged
	// knowing counts the sources that could answer the question and did.
	knowing int
	// localAnswered and clusterAnswered: all sources of the node that could, and
	// one of the cluster, answered.
	localAnswered, clusterAnswered bool
	// clusterListed: one of the cluster has told all that there is.
	clusterListed bool
	// noCluster: there is no API to ask.
	noCluster bool
	// failed are those that could not, in words; absent ones are not among them.
	failed []string
	// said is what a stranger says of the cause, see [Said].
	said string
	// unlisted are those that could, but did not give a list of all.
	unlisted []string
	steps    []Step
}

// event is one source's answer to one request.
type event struct {
	from      int // index in round.members
	what      request
	workloads []Workload
	err       error
	took      time.Duration
}

// member is one source in a round.
type member struct {
	*guard
	cluster            bool
	asked, answered    bool
	listing, listed    bool
	cannotTell, failed bool // how it answered
	broken             bool // failed, and not for being absent
	absent             bool // failed for that
	exact, all         []Workload
	began              time.Time
}

// round puts one question to all sources and collects what they say. It runs on
// the caller's goroutine; each request has one of its own, whose end the round
// need not wait for.
type round struct {
	resolver *Resolver
	question question
	members  []*member
	caller   context.Context
	events   chan event
	started  time.Time
	matched  time.Time // when the first source knew the target; zero before
	// here: a source of this node knows it. What only the cluster knows may have a
	// namesake here, for which the node's own sources are waited for longer.
	here bool
	// hinted: a source has found, by itself, the only one that the query is the
	// beginning of, as the Docker engine does with IDs. Lists would add nothing,
	// but another source may know the exact one.
	hinted bool
	reply  reply
}

// ask puts the question to the local sources at once, and to those of the
// cluster where they are needed.
func (r *Resolver) ask(ctx context.Context, q question) reply {
	w := &round{resolver: r, question: q, started: time.Now(), caller: ctx}
	for _, g := range r.local {
		w.members = append(w.members, &member{guard: g})
	}
	// The API knows pods, not the containers of a runtime.
	if q.query.Pod != "" {
		for _, g := range r.cluster {
			w.members = append(w.members, &member{guard: g, cluster: true})
		}
	}
	w.events = make(chan event, 2*len(w.members)) // so that no request waits for us
	if q.wait == 0 {
		// A little more than the sources have, so that each is heard out.
		q.wait = r.limits.source + r.limits.grace
	}
	ctx, cancel := context.WithTimeout(ctx, q.wait)
	defer cancel()
	w.run(ctx)
	return w.finish()
}

func (w *round) run(ctx context.Context) {
	w.askExact(func(m *member) bool { return !m.cluster || w.question.query.wantsCluster() })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.widen(time.Since(w.started) >= w.resolver.limits.patience)
		if w.done(time.Now()) {
			return
		}
		timer.Reset(w.nextLook(time.Now()))
		select {
		case e := <-w.events:
			w.take(e)
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// askExact asks the sources that which picks for the one target.
func (w *round) askExact(which func(*member) bool) {
	for i, m := range w.members {
		if m.asked || !which(m) {
			continue
		}
		m.asked = true
		w.request(i, lookUp, func(ctx context.Context) ([]Workload, error) {
			return m.source.Exact(ctx, w.question.query)
		})
	}
}

func (w *round) request(i int, what request, ask func(context.Context) ([]Workload, error)) {
	m, r := w.members[i], w.resolver
	began, asOf := time.Now(), bootTime()
	m.began = began
	go func() {
		ctx, cancel := r.detached(w.caller)
		defer cancel()
		ws, err := r.call(ctx, m.guard, what, ask)
		for j := range ws {
			ws[j].asOf, ws[j].remote = asOf, m.cluster
			if ws[j].Source == "" {
				ws[j].Source = m.source.Name()
			}
		}
		var panicked *panicError
		if errors.As(err, &panicked) {
			r.cfg.Logger.Error("source panicked", "source", m.source.Name(), "panic", panicked.value, "stack", string(panicked.stack))
		}
		w.events <- event{from: i, what: what, workloads: ws, err: err, took: time.Since(began)}
	}()
}

// widen asks further when nobody knows the target: first the cluster, then for
// lists. It waits for those who have not answered yet only as long as patience
// lasts.
func (w *round) widen(impatient bool) {
	if !w.matched.IsZero() || w.hinted {
		return
	}
	if !impatient && w.pending(func(m *member) bool { return m.asked && !m.answered }) {
		return
	}
	w.askExact(func(*member) bool { return true })
	if !impatient && w.pending(func(m *member) bool { return !m.answered }) {
		return
	}
	if !w.question.lists {
		return
	}
	for i, m := range w.members {
		if m.cluster && !w.unknownHere(impatient) {
			continue // thousands of pods need not be listed for one that is here
		}
		if m.answered && !m.failed && !m.listing {
			m.listing = true
			w.request(i, list, m.source.List)
		}
	}
}

// unknownHere reports whether the lists of the local sources hold nothing that
// fits.
func (w *round) unknownHere(impatient bool) bool {
	return !w.pending(func(m *member) bool {
		if m.cluster {
			return false
		}
		return !impatient && m.listing && !m.listed || len(selectAll(w.question.query, m.all)) > 0
	})
}

func (w *round) pending(is func(*member) bool) bool { return slices.ContainsFunc(w.members, is) }

// done reports whether nothing more is worth waiting for.
func (w *round) done(now time.Time) bool {
	if w.matched.IsZero() {
		return !w.pending(func(m *member) bool { return m.asked && !m.answered || m.listing && !m.listed })
	}
	since, limits := now.Sub(w.matched), w.resolver.limits
	return !w.pending(func(m *member) bool {
		switch {
		case !m.asked || m.answered:
			return false
		case m.cluster:
			return w.question.query.wantsCluster() && since < limits.identify
		}
		return w.question.patient || since < limits.grace || !w.here && w.question.query.wantsCluster() && since < limits.identify
	})
}

// nextLook is when time alone may change what done and widen say.
func (w *round) nextLook(now time.Time) time.Duration {
	limits := w.resolver.limits
	next := w.started.Add(limits.patience)
	if !w.matched.IsZero() {
		next = w.matched.Add(limits.grace)
		if !next.After(now) {
			next = w.matched.Add(limits.identify)
		}
	}
	if d := next.Sub(now); d > 0 {
		return d
	}
	return time.Hour // the round's own end comes first
}

func (w *round) take(e event) {
	m := w.members[e.from]
	w.addStep(m, e.what, stepOf(m.guard, e))
	w.reply.said = cmp.Or(w.reply.said, Said(e.err))
	if e.what == list {
		m.listed, m.all = true, e.workloads
		w.reply.clusterListed = w.reply.clusterListed || m.cluster && e.err == nil
		if isFailure(e.err) {
			w.reply.unlisted = append(w.reply.unlisted, said(m, e.err))
		}
		return
	}
	m.answered, m.exact = true, e.workloads
	switch {
	case e.err == nil:
		if m.cluster {
			w.resolver.hasCluster.Store(true)
		}
		if exactly(w.question.query, e.workloads) {
			w.here = w.here || !m.cluster
			if w.matched.IsZero() {
				w.matched = time.Now()
			}
		}
		w.hinted = w.hinted || len(selectAll(w.question.query, e.workloads)) > 0
	case errors.Is(e.err, ErrCannotTell):
		m.cannotTell = true
	default:
		m.failed, m.absent = true, errors.Is(e.err, ErrAbsent)
		if m.broken = isFailure(e.err); m.broken {
			w.reply.failed = append(w.reply.failed, said(m, e.err))
		}
	}
}

// isFailure tells what went wrong from what was not to be expected.
func isFailure(err error) bool {
	return err != nil && !errors.Is(err, ErrAbsent) && !errors.Is(err, ErrCannotTell)
}

func said(m *member, err error) string { return m.source.Name() + ": " + words.OneLine(err.Error()) }

// stepOf writes down one answer of a source.
func stepOf(g *guard, e event) Step {
	s := Step{Source: g.source.Name(), Action: e.what.String(), Outcome: outcomeOK, MS: milliseconds(e.took), of: membershipOf(g.source, e.err)}
	switch {
	case e.err != nil:
		s.Outcome, s.Reason = outcomeFailed, words.OneLine(e.err.Error())
		if !isFailure(e.err) || errors.Is(e.err, errPaused) {
			s.Outcome = outcomeSkipped
		}
	case len(e.workloads) == 0:
		s.Outcome = outcomeNone
	default:
		s.Reason = words.Plural(len(e.workloads), "workload")
	}
	return s
}

// finish sums up, the earlier source first.
func (w *round) finish() reply {
	var exact, listed [][]Workload
	w.reply.localAnswered = !w.pending(func(m *member) bool { return !m.cluster && (!m.answered || m.broken) })
	w.reply.noCluster = !w.pending(func(m *member) bool { return m.cluster && !m.absent })
	for _, m := range w.members {
		exact, listed = append(exact, m.exact), append(listed, m.all)
		if _, listsNames := m.source.(*Bundles); listsNames && len(m.all) > 0 {
			w.reply.knowing++
		}
		if m.answered && !m.failed && !m.cannotTell {
			w.reply.knowing++
			w.reply.clusterAnswered = w.reply.clusterAnswered || m.cluster
		}
		switch {
		case m.asked && !m.answered:
			w.reply.failed = append(w.reply.failed, w.giveUp(m, lookUp))
		case m.listing && !m.listed:
			w.reply.unlisted = append(w.reply.unlisted, w.giveUp(m, list))
		}
	}
	slices.SortStableFunc(w.reply.steps, func(a, b Step) int { return cmp.Compare(a.place, b.place) })
	w.reply.steps = foldFamilies(w.reply.steps,
		func(s *Step) (membership, string) { return s.of, s.Action },
		func(s *Step, family string) { s.Source = family })
	w.reply.exact, w.reply.listed = merge(exact...), merge(listed...)
	return w.reply
}

// giveUp writes down that m was not waited for any longer, and says it.
func (w *round) giveUp(m *member, what request) string {
	waited := time.Since(m.began)
	reason := fmt.Errorf("no answer within %s", waited.Round(time.Millisecond))
	w.addStep(m, what, Step{
		Source: m.source.Name(), Action: what.String(), Outcome: outcomeFailed, Reason: reason.Error(), MS: milliseconds(waited),
	})
	return said(m, reason)
}

// addStep gives a step its place: not that of its answer, which is one of chance.
func (w *round) addStep(m *member, what request, s Step) {
	s.place = int(what)*len(w.members) + slices.Index(w.members, m)
	w.reply.steps = append(w.reply.steps, s)
}
