package tokencache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// seen is what was observed.
type seen struct {
	mu     sync.Mutex
	events []event.Event
	from   []any // the value under fromKey of each context
}

type fromKey struct{}

func (s *seen) observe(ctx context.Context, e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.from = append(s.events, e), append(s.from, ctx.Value(fromKey{}))
}

// lines returns an event as a line each. Those who are served together have no
// order.
func (s *seen) lines() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	together := 0
	for _, e := range s.events {
		words := strings.Fields(fmt.Sprint(e.Kind, " ", e.Outcome, " ", e.Reason, " ", e.Resource))
		if e.Status != 0 {
			words = append(words, fmt.Sprint(e.Status))
		}
		if all = append(all, strings.Join(append(words, e.Took.String()), " ")); e.Kind != event.Served || e.Took == 0 {
			together = len(all)
		}
		slices.Sort(all[together:])
	}
	return all
}

func (s *seen) want(t *testing.T, lines ...string) {
	t.Helper()
	if got := s.lines(); !slices.Equal(got, lines) {
		t.Errorf("observed\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// watched returns a Coordinator whose server takes a second, and what is observed
// of it.
func watched() (*tokencache.Coordinator, *as, *seen) {
	server, s := &as{takes: time.Second}, &seen{}
	return &tokencache.Coordinator{Refresher: server, Revoker: server, Observe: s.observe}, server, s
}

// B37
func TestWhatIsToldOfARefresh(t *testing.T) {
	down := func(_ context.Context, op string, _ moment) error {
		if op == "swap done" {
			return errCut
		}
		return nil
	}
	refresh := func(c *tokencache.Coordinator) { c.Refresh(context.Background(), alice) }
	for name, row := range map[string]struct {
		store  fault
		server answer
		do     func(c *tokencache.Coordinator)
		want   []string
	}{
		"one presents, the others join it, and who comes later adopts": {nil, (*as).exchange, func(c *tokencache.Coordinator) {
			together(3, func(int) { refresh(c) })
			refresh(c)
		}, []string{"presentation stored 1s", "served joined 1s", "served joined 1s", "served presented 1s", "served adopted 0s"}},
		"a Cache adopts without asking": {nil, (*as).exchange, func(c *tokencache.Coordinator) {
			cache := tokencache.New(c, alice)
			for range 2 {
				cache.Refresh(context.Background(), alice)
			}
		}, []string{"presentation stored 1s", "served presented 1s", "served adopted 0s"}},
		"a server that fails, and the cooldown after that": {nil, fails(unavailable()), func(c *tokencache.Coordinator) {
			refresh(c)
			refresh(c)
		}, []string{"presentation failed unavailable 500 1s", "served failed unavailable 1s", "served failed unavailable 0s"}},
		"what was never sent is no presentation": {nil, fails(&tokencache.Error{Reason: reason.Network, Unsent: true}), refresh,
			[]string{"presentation unsent network 1s", "served failed network 1s"}},
		"a dead grant ends the session, once": {nil, fails(invalidGrant()), func(c *tokencache.Coordinator) {
			refresh(c)
			refresh(c)
		}, []string{"presentation failed refused 400 1s", "ended refused 400 1s", "served failed refused 1s", "served failed refused 0s"}},
		"an answer that was lost before makes it ambiguous": {nil, fails(&tokencache.Error{Reason: reason.Timeout}), func(c *tokencache.Coordinator) {
			refresh(c)
			time.Sleep(time.Minute)
			c.Refresher.(*as).next(fails(invalidGrant()))
			refresh(c)
		}, []string{"presentation failed timeout 1s", "served failed timeout 1s",
			"presentation failed ambiguous 400 1s", "ended ambiguous 400 1s", "served failed ambiguous 1s"}},
		"a Store that does not take the successor": {down, (*as).exchange, refresh,
			[]string{"presentation unstored store 15.1s", "served presented 15.1s"}},
		"a caller that leaves": {nil, (*as).exchange, func(c *tokencache.Coordinator) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			c.Refresh(ctx, alice)
			c.Wait(context.Background())
		}, []string{"served left 1ms", "presentation stored 1s"}},
		"a logout meanwhile": {nil, (*as).exchange, func(c *tokencache.Coordinator) {
			c.Revoker = nil
			together(2, func(i int) {
				if time.Sleep(time.Duration(i) * time.Millisecond); i == 0 {
					refresh(c)
				} else {
					c.Revoke(context.Background(), alice)
				}
			})
		}, []string{"ended logged_out 0s", "presentation dropped logged_out 1s", "served failed logged_out 1s"}},
		"a logout, and once more": {nil, nil, func(c *tokencache.Coordinator) {
			c.Revoke(context.Background(), alice)
			c.Revoke(context.Background(), alice)
			c.Replace(context.Background(), alice, bob)
		}, []string{"ended logged_out 0s"}},
		"a sign-in": {nil, nil, func(c *tokencache.Coordinator) { c.Replace(context.Background(), alice, bob) }, []string{"ended replaced 0s"}},
		"a renewal ahead": {nil, (*as).exchange, func(c *tokencache.Coordinator) {
			now := lasting(alice, time.Hour)
			time.Sleep(time.Hour - time.Second)
			tokencache.New(c, now).Fresh(context.Background())
			c.Wait(context.Background())
		}, []string{"presentation stored 1s", "ahead presented 1s"}},
		"another resource": {nil, (*as).exchange, func(c *tokencache.Coordinator) {
			tokencache.New(c, alice).FreshFor(context.Background(), "files")
		}, []string{"presentation stored files 1s", "served presented files 1s"}},
		"nothing to refresh with": {nil, nil, func(c *tokencache.Coordinator) {
			shown := tokencache.NewToken(tokencache.TokenFields{Access: "a"})
			tokencache.New(c, shown).Refresh(context.Background(), shown)
		}, []string{"served failed 0s"}},
		"a token that works": {nil, nil, func(c *tokencache.Coordinator) {
			tokencache.New(c, lasting(alice, time.Hour)).Fresh(context.Background())
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server, s := watched()
				if row.server != nil {
					server.next(row.server)
				}
				if row.store != nil {
					wire := newWire(&tokencache.MemoryStore{})
					wire.on(row.store)
					c.Store, c.Realm = wire, "r"
				}
				row.do(c)
				c.Wait(t.Context())
				s.want(t, row.want...)
			})
		})
	}
}

// With two replicas, each tells its own, and nothing is told twice.
func TestWhatReplicasTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s := &as{takes: time.Second}, &seen{}
		a, b, _ := replicas(server)
		a.Observe, b.Observe = s.observe, s.observe
		together(2, func(i int) { []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice) })
		a.Revoke(t.Context(), alice)
		b.Revoke(t.Context(), alice)
		b.Refresh(t.Context(), alice)
		a.Wait(t.Context())
		b.Wait(t.Context())
		lines := s.lines()
		slices.Sort(lines)
		if want := []string{"ended logged_out 0s", "presentation stored 1s", "served adopted 1s", "served failed logged_out 0s", "served presented 1s"}; !slices.Equal(lines, want) {
			t.Errorf("%q, want %q", lines, want)
		}
	})
}

// A refusal that proves nothing, since somebody else has the successor, is still a
// presentation, and no failure.
func TestAPresentationInVainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s := &as{}, &seen{}
		a, b, wire := replicas(server)
		a.Observe, b.Observe = s.observe, s.observe
		// a holds the entry, stalls with the answer, and is taken for dead.
		wire.on(withoutRenewal())
		server.next(after(5*time.Second, (*as).exchange), after(5*time.Second, fails(invalidGrant())))
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			[]*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
		})
		a.Wait(t.Context())
		b.Wait(t.Context())
		n := map[string]int{}
		for _, e := range s.events {
			n[string(e.Kind)+" "+string(e.Outcome)]++
		}
		if n["presentation stored"] != 1 || n["presentation dropped"] != 1 || n["ended "] != 0 || n["served failed"] != 0 {
			t.Errorf("%v: %q", n, s.lines())
		}
	})
}

// A Served belongs to its caller's trace, and a Presentation to nobody's. All that an
// exchange served lead to it.
func TestWhoseContextAnEventHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, s := watched()
		together(2, func(i int) { c.Refresh(context.WithValue(t.Context(), fromKey{}, i), alice) })
		var of []*event.Exchange
		for i, e := range s.events {
			if (e.Kind == event.Served) != (s.from[i] != nil) {
				t.Errorf("%s has the context of %v", e.Kind, s.from[i])
			}
			of = append(of, e.Exchange)
		}
		if len(of) != 3 || of[0] == nil || of[1] != of[0] || of[2] != of[0] {
			t.Errorf("exchanges %v", of)
		}
		if e := s.events[0]; !e.Began.Add(e.Took).Equal(time.Now()) {
			t.Errorf("began %v, took %v, and it is %v", e.Began, e.Took, time.Now())
		}
	})
}

// Whoever observes must not hurt what is observed.
func TestAnObserverThatMisbehaves(t *testing.T) {
	for name, with := range map[string]any{"panics": "here", "panics with an error": errCut} {
		t.Run(name, func(t *testing.T) {
			c := &tokencache.Coordinator{Refresher: &as{}, Observe: func(context.Context, event.Event) { panic(with) }}
			got, err := c.Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
			if err := c.Revoke(t.Context(), alice); err != nil {
				t.Error(err)
			}
		})
	}
	// B84: with the contexts of callers as well.
	t.Run("calls us", func(t *testing.T) {
		c, calls := &tokencache.Coordinator{Refresher: &as{}}, 0
		c.Observe = func(ctx context.Context, _ event.Event) {
			if calls++; calls > 10 {
				t.Error("it is told of what it does itself")
			} else if _, err := c.Refresh(ctx, alice); !errors.Is(err, tokencache.ErrReentrant) {
				t.Errorf("%v", err)
			}
		}
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
	})
}

// The log has a record for each exchange and each end of a session, in the words
// that are observed; one for an exchange that ended its session.
func TestTheLogAgreesWithWhatIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, server, s := watched()
		c.Log = slog.New(slog.NewJSONHandler(&log, nil))
		for i, how := range []answer{
			fails(unavailable()), fails(&tokencache.Error{Reason: reason.ClientRefused, Status: 401}), losesTo(nil), (*as).exchange,
			fails(&tokencache.Error{Reason: reason.Network, Unsent: true}), fails(invalidGrant()),
		} {
			server.next(how)
			c.Refresh(t.Context(), generation(fmt.Sprint(i), 0))
			c.Revoke(t.Context(), generation(fmt.Sprint(i), 0))
			time.Sleep(time.Minute)
		}
		var want, got []string
		for i, e := range s.events {
			ends := i+1 < len(s.events) && s.events[i+1].Kind == event.Ended && s.events[i+1].Status != 0
			if e.Kind == event.Presentation && !ends || e.Kind == event.Ended {
				want = append(want, fmt.Sprint(e.Outcome, "|", e.Reason, "|", e.Status))
			}
		}
		for line := range strings.Lines(log.String()) {
			var r struct {
				Outcome, Reason string
				Status          int
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(r.Outcome, "|", r.Reason, "|", r.Status))
		}
		if !slices.Equal(got, want) || len(got) != 11 {
			t.Errorf("logged\n%q\nobserved\n%q\n%s", got, want, &log)
		}
	})
}

// Who is not told pays nothing, and neither do those whose token works.
func TestAllocObserve(t *testing.T) {
	none := &tokencache.Coordinator{Refresher: &as{}}
	told := &tokencache.Coordinator{Refresher: &as{}, Observe: func(context.Context, event.Event) {}}
	ctx := context.Background()
	for name, f := range map[string]func(){
		"a token that works, and nobody is told": working(none),
		"a token that works, and somebody is":    working(told),
		"a token that was replaced already":      replacedIn(ctx, none),
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func working(c *tokencache.Coordinator) func() {
	cache := tokencache.New(c, lasting(alice, time.Hour))
	return func() { cache.Fresh(context.Background()) }
}

func replacedIn(ctx context.Context, c *tokencache.Coordinator) func() {
	cache := tokencache.New(c, alice)
	cache.Refresh(ctx, alice)
	return func() { cache.Refresh(ctx, alice) }
}
