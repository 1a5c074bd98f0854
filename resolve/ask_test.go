package resolve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nsenter-mcp/nsexec"

	"nsenter-mcp/internal/words"
)

func isError(err, want error) bool { return errors.Is(err, want) }

// fake is a source that answers as it is told. Without a function it knows
// nothing.
type fake struct {
	name   string
	exact  func(context.Context, Query) ([]Workload, error)
	list   func(context.Context) ([]Workload, error)
	exacts atomic.Int64
	lists  atomic.Int64
}

func (f *fake) Name() string { return f.name }

func (f *fake) Exact(ctx context.Context, q Query) ([]Workload, error) {
	f.exacts.Add(1)
	if f.exact == nil {
		return nil, nil
	}
	return f.exact(ctx, q)
}

func (f *fake) List(ctx context.Context) ([]Workload, error) {
	f.lists.Add(1)
	if f.list == nil {
		return nil, nil
	}
	return f.list(ctx)
}

// knows makes a source that knows workloads, and answers after a while.
func knows(name string, after time.Duration, ws ...Workload) *fake {
	wait := func(ctx context.Context) error {
		select {
		case <-time.After(after):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return &fake{
		name: name,
		exact: func(ctx context.Context, q Query) ([]Workload, error) {
			if err := wait(ctx); err != nil {
				return nil, err
			}
			var fit []Workload
			for _, w := range ws {
				if exactly(q, []Workload{w}) {
					fit = append(fit, w)
				}
			}
			return fit, nil
		},
		list: func(ctx context.Context) ([]Workload, error) { return slices.Clone(ws), wait(ctx) },
	}
}

// hangs makes a source that answers only when its context ends, or with deaf
// not even then.
func hangs(name string, deaf bool) *fake {
	wait := func(ctx context.Context) ([]Workload, error) {
		if deaf {
			time.Sleep(time.Hour)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &fake{name: name, list: wait, exact: func(ctx context.Context, _ Query) ([]Workload, error) { return wait(ctx) }}
}

func fails(name string, err error) *fake {
	return &fake{
		name:  name,
		exact: func(context.Context, Query) ([]Workload, error) { return nil, err },
		list:  func(context.Context) ([]Workload, error) { return nil, err },
	}
}

func sources(fakes ...*fake) []Source {
	var s []Source
	for _, f := range fakes {
		s = append(s, f)
	}
	return s
}

// found puts a question and decides.
func (r *Resolver) found(ctx context.Context, q Query) (choice, *Error, reply) {
	reply := r.ask(ctx, question{query: q, lists: true})
	c, err := r.pick(ctx, q, &reply)
	return c, err, reply
}

// The times below are those of a fake clock, so they are exact.
func TestAsk(t *testing.T) {
	t.Parallel()
	web, other := pod("shop", "web-0", "app"), pod("shop", "other", "app")
	tests := map[string]struct {
		local, cluster []*fake
		query          Query
		want           string // pod found
		kind           Kind
		says           string // in message or hint
		took           time.Duration
		failed         string // part of what did not answer
	}{
		"one knows it": {
			local: []*fake{knows("docker", 3*time.Millisecond, web)}, query: Query{Pod: "web-0"},
			want: "shop/web-0", took: 3 * time.Millisecond,
		},
		"the other knows it": {
			local: []*fake{knows("docker", 0, other), knows("cri", 20*time.Millisecond, web)}, query: Query{Pod: "web-0"},
			want: "shop/web-0", took: 20 * time.Millisecond,
		},
		"a slow one is not waited for": {
			local: []*fake{knows("docker", time.Second, other), knows("cri", time.Millisecond, web)}, query: Query{Pod: "web-0"},
			want: "shop/web-0", took: 51 * time.Millisecond, failed: "docker: no answer within",
		},
		"a hung one is not waited for": {
			local: []*fake{hangs("docker", false), knows("cri", time.Millisecond, web)}, query: Query{Pod: "web-0"},
			want: "shop/web-0", took: 51 * time.Millisecond, failed: "docker: no answer within",
		},
		"a dead one does not matter": {
			local: []*fake{fails("docker", errors.New("connection refused")), knows("cri", time.Millisecond, web)}, query: Query{Pod: "web-0"},
			want: "shop/web-0", took: time.Millisecond, failed: "docker: connection refused",
		},
		"two know different ones": {
			local: []*fake{knows("docker", time.Millisecond, pod("a", "web-0")), knows("cri", 2*time.Millisecond, pod("b", "web-0"))},
			query: Query{Pod: "web-0"}, kind: KindAmbiguous, says: "fits 2", took: 2 * time.Millisecond,
		},
		"a prefix": {
			local: []*fake{knows("docker", 2*time.Millisecond, web)}, query: Query{Pod: "web"},
			want: "shop/web-0", took: 6 * time.Millisecond, // exact, list, exact again
		},
		"a prefix, but another knows the exact one": {
			local: []*fake{knows("docker", time.Millisecond, web), knows("cri", time.Second, pod("shop", "web"))}, query: Query{Pod: "web"},
			want: "shop/web", took: time.Second,
		},
		"a prefix, and one hangs": {
			local: []*fake{knows("docker", time.Millisecond, web), hangs("cri", false)}, query: Query{Pod: "web"},
			want: "shop/web-0", took: 1701 * time.Millisecond, failed: "cri: did not answer in time",
		},
		"nobody knows it": {
			local: []*fake{knows("docker", time.Millisecond, web), knows("cri", 2*time.Millisecond, other)}, query: Query{Pod: "wep-0"},
			kind: KindNotFound, says: "Did you mean shop/web-0", took: 4 * time.Millisecond,
		},
		"nobody knows it, and one hangs": {
			local: []*fake{knows("docker", time.Millisecond, web), hangs("cri", false)}, query: Query{Pod: "wep-0"},
			kind: KindSource, says: "cri: did not answer", took: 1700 * time.Millisecond,
		},
		"all hang": {
			local: []*fake{hangs("docker", true), hangs("cri", false)}, query: Query{Pod: "web-0"},
			kind: KindSource, says: "docker: ", took: 1700 * time.Millisecond,
		},
		"all dead": {
			local: []*fake{fails("docker", errors.New("connection refused"))}, query: Query{Pod: "web-0"},
			kind: KindSource, says: "docker: connection refused", took: 0,
		},
		"none here": {
			local: []*fake{fails("docker", ErrAbsent), fails("cgroup", ErrCannotTell)}, query: Query{Pod: "web-0"},
			kind: KindSource, says: "no container runtime was found", took: 0,
		},
		"one cannot tell": {
			local: []*fake{knows("docker", time.Millisecond, other), fails("cgroup", ErrCannotTell)}, query: Query{Pod: "web-0"},
			kind: KindNotFound, says: `no pod "web-0" is known`, took: 2 * time.Millisecond,
		},
		"known, but the list hangs": {
			local: []*fake{{name: "docker", list: hangs("", false).list}}, query: Query{Pod: "web"},
			kind: KindNotFound, says: "could not be listed (docker: did not answer in time", took: 1700 * time.Millisecond,
		},
		"one panics": {
			local: []*fake{{name: "cri", exact: func(context.Context, Query) ([]Workload, error) { panic("boom") }}, knows("docker", 0, web)},
			query: Query{Pod: "web-0"}, want: "shop/web-0", took: 0, failed: "cri: panic: boom",
		},
		"the cluster is not asked": {
			local: []*fake{knows("docker", 0, web)}, cluster: []*fake{fails("kubernetes", errors.New("asked"))},
			query: Query{Pod: "web-0"}, want: "shop/web-0", took: 0,
		},
		"only the cluster knows it": {
			local: []*fake{knows("docker", time.Millisecond, other)}, cluster: []*fake{knows("kubernetes", 30*time.Millisecond, web)},
			query: Query{Pod: "web-0"}, want: "shop/web-0", took: 31 * time.Millisecond,
		},
		"only the cluster knows it, and one hangs": {
			local: []*fake{hangs("docker", false)}, cluster: []*fake{knows("kubernetes", 30*time.Millisecond, web)},
			query: Query{Pod: "web-0"}, want: "shop/web-0", took: 330 * time.Millisecond, failed: "docker: no answer",
		},
		"the cluster describes": {
			local: []*fake{knows("docker", time.Millisecond, web)}, cluster: []*fake{knows("kubernetes", 200*time.Millisecond, web)},
			query: Query{Pod: "web-0", Describe: true}, want: "shop/web-0", took: 200 * time.Millisecond,
		},
		"the cluster would describe, but hangs": {
			local: []*fake{knows("docker", time.Millisecond, web)}, cluster: []*fake{hangs("kubernetes", false)},
			query: Query{Pod: "web-0", Describe: true}, want: "shop/web-0", took: 501 * time.Millisecond, failed: "kubernetes: no answer",
		},
		"the cluster knows another one, which can be had as well": {
			local: []*fake{knows("docker", time.Millisecond, web)}, cluster: []*fake{knows("kubernetes", 200*time.Millisecond, pod("other", "web-0"))},
			query: Query{Pod: "web-0", Everywhere: true}, kind: KindAmbiguous, says: "fits 2", took: 200 * time.Millisecond,
		},
		"the cluster is faster": {
			local: []*fake{knows("docker", 200*time.Millisecond, web)}, cluster: []*fake{knows("kubernetes", time.Millisecond, pod("other", "web-0"))},
			query: Query{Pod: "web-0", Everywhere: true}, kind: KindAmbiguous, says: "fits 2", took: 200 * time.Millisecond,
		},
		"the cluster knows the same one": {
			local: []*fake{knows("docker", time.Millisecond, web)}, cluster: []*fake{knows("kubernetes", 200*time.Millisecond, web)},
			query: Query{Pod: "web-0", Everywhere: true}, want: "shop/web-0", took: 200 * time.Millisecond,
		},
		"the cluster might know another one, but hangs": {
			local: []*fake{knows("docker", time.Millisecond, web)}, cluster: []*fake{hangs("kubernetes", false)},
			query: Query{Pod: "web-0", Everywhere: true}, want: "shop/web-0", took: 501 * time.Millisecond, failed: "kubernetes: no answer",
		},
		"the cluster need not be asked where the namespace is known": {
			local: []*fake{knows("docker", 0, web)}, cluster: []*fake{fails("kubernetes", errors.New("asked"))},
			query: Query{Pod: "web-0", Namespace: "shop", Everywhere: true}, want: "shop/web-0", took: 0,
		},
		"the cluster knows no containers of a runtime": {
			local: []*fake{knows("docker", 0, other)}, cluster: []*fake{fails("kubernetes", errors.New("asked"))},
			query: Query{Container: "nginx"}, kind: KindNotFound, says: "nginx", took: 0,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := New(Config{Sources: sources(test.local...), Cluster: sources(test.cluster...), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
				defer r.Close()
				began := time.Now()
				c, err, reply := r.found(t.Context(), test.query)
				if took := time.Since(began); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				switch {
				case err != nil && test.want != "":
					t.Fatalf("got %s: %v", err.Kind, err)
				case err != nil:
					if err.Kind != test.kind || !strings.Contains(err.Message+" "+err.Hint, test.says) {
						t.Errorf("got %s %q %q, want %s with %q", err.Kind, err.Message, err.Hint, test.kind, test.says)
					}
				case c.workload.podName() != test.want:
					t.Errorf("got %s, want %q %s", c.workload.podName(), test.want, test.kind)
				}
				if failed := strings.Join(reply.failed, "; "); err == nil && (!strings.Contains(failed, test.failed) || test.failed == "" && failed != "") {
					t.Errorf("failed: %q, want %q", failed, test.failed)
				}
				for _, s := range reply.steps {
					if s.Source == "" || s.Action == "" || s.Outcome == "" || s.Outcome == outcomeFailed && s.Reason == "" {
						t.Errorf("step %+v does not say what happened", s)
					}
				}
				time.Sleep(2 * time.Hour) // until a deaf source has come back
			})
		})
	}
}

func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Sources: sources(hangs("docker", false))})
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := r.resolveNamed(ctx, Query{Pod: "web"})
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTimeout || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("got %v after %s, want timeout after 100ms", err, time.Since(began))
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err = r.resolveNamed(ctx, Query{Pod: "web"}); !errors.As(err, &e) || e.Kind != KindCanceled {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

// A source that hangs is left alone for 10 s, then tried again.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web := pod("shop", "web-0")
		hung := hangs("docker", false)
		r := New(Config{Sources: sources(hung, knows("cri", 0, web))})
		defer r.Close()
		ask := func(q Query) (time.Duration, []string) {
			began := time.Now()
			_, _, reply := r.found(t.Context(), q)
			return time.Since(began), reply.failed
		}
		ask(Query{Pod: "web-0"})
		time.Sleep(r.limits.source) // the request goes on behind the answer
		if took, failed := ask(Query{Pod: "web-0"}); took != 0 || len(failed) != 1 || !strings.Contains(failed[0], "tried again in 10s") {
			t.Errorf("took %s, failed %q, want no wait and a note", took, failed)
		}
		if n := hung.exacts.Load(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
		// Neither does it hold up a name that nobody knows.
		if took, _ := ask(Query{Pod: "nope"}); took != 0 {
			t.Errorf("took %s, want no wait", took)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if took, _ := ask(Query{Pod: "web-0"}); took != 50*time.Millisecond || hung.exacts.Load() != 2 {
			t.Errorf("took %s, asked %d times, want another try", took, hung.exacts.Load())
		}
	})
}

// One that is slow to list all is still asked for one.
func TestPauseIsOfOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := knows("docker", time.Millisecond, pod("shop", "web-0"))
		slow.list = hangs("", false).list
		r := New(Config{Sources: sources(slow)})
		defer r.Close()
		if _, err, _ := r.found(t.Context(), Query{Pod: "nope"}); err == nil || err.Kind != KindNotFound {
			t.Errorf("got %v, want not_found", err)
		}
		if _, err, reply := r.found(t.Context(), Query{Pod: "web-0"}); err != nil || len(reply.failed) > 0 {
			t.Errorf("got %v, failed %q", err, reply.failed)
		}
		began := time.Now()
		if _, err, _ := r.found(t.Context(), Query{Pod: "nope"}); err == nil || err.Kind != KindNotFound || time.Since(began) != time.Millisecond || slow.lists.Load() != 1 {
			t.Errorf("got %v after %s and %d lists", err, time.Since(began), slow.lists.Load())
		}
	})
}

// One that does not get done with one workload, or with many callers at once,
// but answers others meanwhile, is not left alone.
func TestNoPauseWhileOthersAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		docker := knows("docker", time.Millisecond, pod("shop", "web-0"))
		answer := docker.exact
		docker.exact = func(ctx context.Context, q Query) ([]Workload, error) {
			if q.Pod == "stuck" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(ctx, q)
		}
		r := New(Config{Sources: sources(docker)})
		defer r.Close()
		done := make(chan *Error)
		go func() {
			_, err, _ := r.found(t.Context(), Query{Pod: "stuck"})
			done <- err
		}()
		time.Sleep(r.limits.source / 2)
		asked := func(when string) {
			t.Helper()
			if _, err, reply := r.found(t.Context(), Query{Pod: "web-0"}); err != nil || len(reply.failed) > 0 {
				t.Errorf("%s: got %v, failed %q", when, err, reply.failed)
			}
		}
		asked("meanwhile")
		if err := <-done; err == nil || err.Kind != KindSource {
			t.Errorf("got %v, want source_unavailable", err)
		}
		asked("afterwards")
	})
}

func TestPauseUsesTheConfiguredClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Unix(0, 0)
		hung := hangs("docker", false)
		r := New(Config{Sources: sources(hung), Now: func() time.Time { return now }})
		defer r.Close()
		for i, want := range []int64{1, 1, 2} {
			_, _, _ = r.found(t.Context(), Query{Pod: "web"})
			if got := hung.exacts.Load(); got != want {
				t.Errorf("round %d: asked %d times, want %d", i, got, want)
			}
			synctest.Wait()
			now = now.Add(6 * time.Second)
		}
	})
}

// A source that ignores its context costs a bounded number of goroutines.
func TestDeafSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deaf := hangs("docker", true)
		r := New(Config{Sources: sources(deaf)})
		defer r.Close()
		for range 3 * maxHanging {
			_, err, _ := r.found(t.Context(), Query{Pod: "web"})
			if err == nil || err.Kind != KindSource {
				t.Fatalf("got %v, want source_unavailable", err)
			}
			time.Sleep(11 * time.Second) // past its pause
		}
		if n := deaf.exacts.Load(); n != maxHanging {
			t.Errorf("asked %d times, want %d", n, maxHanging)
		}
		time.Sleep(2 * time.Hour) // all have come back
		if _, _, _ = r.found(t.Context(), Query{Pod: "web"}); deaf.exacts.Load() != maxHanging+1 {
			t.Error("not asked again after it came back")
		}
		time.Sleep(2 * time.Hour)
	})
}

// Many callers of a hung source all get their answer in time, and only a few of
// them reach the source.
func TestManyCallersOfAHungSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := hangs("docker", false)
		r := New(Config{Sources: sources(hung)})
		defer r.Close()
		began := time.Now()
		done := make(chan time.Duration)
		for range 500 {
			go func() {
				_, _, _ = r.found(t.Context(), Query{Pod: "web"})
				done <- time.Since(began)
			}()
		}
		for range 500 {
			if took := <-done; took > 2*time.Second {
				t.Errorf("an answer took %s", took)
			}
		}
		if n := hung.exacts.Load(); n > maxParallel {
			t.Errorf("%d requests at the source, want at most %d", n, maxParallel)
		}
	})
}

func TestDiscoverSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		many := make([]Workload, 0, 300)
		for i := range 300 {
			many = append(many, bare("many", fakeID(strings.Repeat("x", i))))
		}
		r := New(Config{
			Home: testHome(t),
			Root: t.TempDir(), Node: "node-1",
			Sources: sources(knows("docker", time.Millisecond, many...), hangs("cri", false), fails("files", ErrAbsent), fails("dead", errors.New("refused"))),
		})
		defer r.Close()
		began := time.Now()
		got, err := r.Discover(t.Context())
		if err != nil || time.Since(began) > 2*time.Second {
			t.Fatalf("got %v after %s", err, time.Since(began))
		}
		if len(got.Workloads) != MaxInventory || got.Total != 300 || got.Node != "node-1" || got.Netns == nil {
			t.Errorf("got %d of %d workloads on %q", len(got.Workloads), got.Total, got.Node)
		}
		want := []string{"docker ok", "cri hung", "files absent", "dead failed"}
		for i, s := range got.Sources {
			if s.Name+" "+s.State != want[i] || s.State != "ok" && s.Error == "" {
				t.Errorf("source %+v, want %s", s, want[i])
			}
		}
		if got.NoRuntime || got.NoNames || got.Troubled != 0 {
			t.Errorf("no runtime %v, no names %v, %d in trouble", got.NoRuntime, got.NoNames, got.Troubled)
		}
		if got, _ := r.Discover(t.Context()); got.Sources[1].State != "skipped" {
			t.Errorf("source %+v, want skipped", got.Sources[1])
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var e *Error
		if _, err := r.Discover(ctx); !errors.As(err, &e) || e.Kind != KindCanceled {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

// A cgroup tells no name, and a runtime that fails tells nothing.
func TestListsWithoutNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		runtime, cluster     *fake
		noRuntime, noNames   bool
		nobodyInTheWholeList bool
	}{
		"it answers":           {knows("docker", 0), fails("kubernetes", ErrAbsent), false, false, false},
		"it fails":             {fails("docker", errors.New("refused")), fails("kubernetes", ErrAbsent), false, true, true},
		"there is none":        {fails("docker", ErrAbsent), fails("kubernetes", ErrAbsent), true, true, true},
		"the cluster has them": {fails("docker", ErrAbsent), knows("kubernetes", 0), true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			r := New(Config{Home: testHome(t), Root: root, Sources: append(sources(test.runtime), NewCgroups(root)), Cluster: sources(test.cluster)})
			t.Cleanup(r.Close)
			here, err := r.Discover(t.Context())
			if err != nil || here.NoRuntime != test.noRuntime || here.NoNames != test.noNames {
				t.Errorf("no runtime %v, no names %v, %v", here.NoRuntime, here.NoNames, err)
			}
			list, err := r.Pods(t.Context(), true)
			if err != nil || list.NoNames != test.nobodyInTheWholeList {
				t.Errorf("list: no names %v, %v", list.NoNames, err)
			}
		})
	}
}

// Whoever reads a message reads one line, whatever a runtime or an API has said.
func TestMessagesAreOneLine(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"":                                       "",
		"plain":                                  "plain",
		"rpc error:\n\tdesc = no\r\n\r\nagain\n": "rpc error:; desc = no; again",
	} {
		if got := words.OneLine(said); got != want {
			t.Errorf("%q becomes %q, want %q", said, got, want)
		}
	}
	loud := errors.New("refused:\n\tby\r\nsomebody")
	r := New(Config{Root: t.TempDir(), Sources: sources(fails("docker", loud)), Cluster: sources(fails("kubernetes", loud))})
	t.Cleanup(r.Close)
	_, err := r.Resolve(t.Context(), Query{Pod: "web-0"})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "somebody") {
		t.Fatalf("got %v", err)
	}
	texts := []string{e.Message, e.Hint}
	for _, s := range e.Steps {
		texts = append(texts, s.Reason)
	}
	list, err := r.Pods(t.Context(), true)
	if err != nil || len(list.Sources) != 2 {
		t.Fatalf("got %+v, %v", list.Sources, err)
	}
	for _, s := range list.Sources {
		texts = append(texts, s.Error)
	}
	target := &Target{}
	target.note("any", "%v", loud)
	texts = append(texts, target.Notes[0].Message)
	if len(texts) < 7 {
		t.Errorf("only %d texts to look at", len(texts))
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "\n\r") {
			t.Errorf("%q is several lines", text)
		}
	}
}

// testHome is for resolvers that look at the node's files.
func testHome(t *testing.T) *nsexec.Home {
	t.Helper()
	home, err := nsexec.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = home.Close() })
	return home
}
