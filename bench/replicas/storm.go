//go:build unix

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
)

// plan says what is measured.
type plan struct {
	contenders         []string
	modes              []string // fresh, chain
	delays             []time.Duration
	rounds             int
	convoys            int           // rounds in which redsync takes part; see README.md
	patience           time.Duration // after which a caller gives up
	processes, callers int
	direct             bool // past the Proxy: no requests are counted
	each               bool // log each round
}

// Those who are late start at a random instant between the two.
const sooner, later = 100 * time.Millisecond, 300 * time.Millisecond

// storm has what all rounds share.
type storm struct {
	t       testing.TB
	plan    plan
	as      *server
	proxy   *redisd.Proxy
	workers []*worker
}

// setting is one kind of round.
type setting struct {
	mode      string
	delay     time.Duration
	contender string
}

// measure carries the plan out.
func measure(t testing.TB, p plan) map[setting]*tally {
	t.Helper()
	redis := redisd.Start(t)
	s := &storm{t: t, plan: p, as: startServer(t), proxy: redisd.StartProxy(t, redis.Addr())}
	addr := s.proxy.Addr()
	if p.direct {
		addr = redis.Addr()
	}
	for range p.processes {
		s.workers = append(s.workers, startWorker(t, addr, s.as.URL))
	}
	for _, name := range p.contenders {
		s.acquaint(name)
	}
	all := map[setting]*tally{}
	for _, delay := range p.delays {
		s.as.setDelay(delay)
		for _, mode := range p.modes {
			s.compete(mode, delay, all)
		}
	}
	return all
}

// acquaint has each process make one exchange of its own, so that it has a
// connection to the authorization server, whoever will be the one to present.
func (s *storm) acquaint(name string) {
	s.t.Helper()
	for _, w := range s.workers {
		w.order(s.t, order{Contender: name, Spent: s.as.signIn(), Calls: 1, At: now(), Patience: s.plan.patience})
	}
	for _, w := range s.workers {
		if r := w.report(s.t); len(r.Errors) > 0 {
			s.t.Fatalf("%s cannot refresh: %v", name, r.Errors)
		}
	}
}

// compete has the contenders take turns. Each begins as often as any other. What
// round 0 brings is not counted.
func (s *storm) compete(mode string, delay time.Duration, all map[setting]*tally) {
	s.t.Helper()
	last := map[string]pair{}
	n := len(s.plan.contenders)
	for round := range s.plan.rounds + 1 {
		for turn := range n {
			name := s.plan.contenders[(round+turn)%n]
			if name == "redsync" && round > s.plan.convoys {
				continue
			}
			spent := last[name]
			if mode == "fresh" || round == 0 {
				spent = s.as.signIn()
			}
			o := s.round(round, name, spent)
			last[name] = o.seen.Next
			if s.plan.each {
				s.t.Logf("%s %v round %d: %s", mode, delay, round, o)
			}
			if round == 0 {
				continue
			}
			of := setting{mode, delay, name}
			if all[of] == nil {
				all[of] = newTally()
			}
			all[of].add(o)
		}
	}
}

// outcome is what came of one round.
type outcome struct {
	contender string
	at        int64
	reports   []report // by process
	seen      exchanges
	requests  map[string]int
}

// round has all processes want the successor of spent.
func (s *storm) round(round int, name string, spent pair) outcome {
	s.t.Helper()
	s.as.take()
	s.proxy.Reset()
	o := outcome{contender: name, at: now() + int64(50*time.Millisecond)}
	for i, w := range s.workers {
		w.order(s.t, order{
			Contender: name, Spent: spent, Calls: s.plan.callers, At: o.at,
			Sooner: sooner, Later: later, Patience: s.plan.patience, Seed: [2]uint64{uint64(round), uint64(i)}, // the same for all contenders
		})
	}
	for _, w := range s.workers {
		o.reports = append(o.reports, w.report(s.t))
	}
	o.requests = s.settled()
	o.seen = s.as.take()
	return o
}

// settled returns the requests to Redis once no more have come for a while: what
// a contender does behind its callers' backs belongs to its round.
func (s *storm) settled() map[string]int {
	for last := -1; ; time.Sleep(100 * time.Millisecond) {
		n, counts := requests(s.proxy.Counts())
		if n == last {
			return counts
		}
		last = n
	}
}

// requests leaves out what a connection begins with and what keeps it alive.
func requests(counts map[string]int) (n int, of map[string]int) {
	for _, name := range []string{"SUBSCRIBE", "UNSUBSCRIBE", "HELLO", "CLIENT", "PING", "AUTH", "SELECT"} {
		delete(counts, name)
	}
	for _, k := range counts {
		n += k
	}
	return n, counts
}

// String is one line.
func (o outcome) String() string {
	t := newTally()
	t.add(o)
	worst := ""
	for i, r := range o.reports {
		if len(r.Errors) > 0 {
			worst += fmt.Sprintf(", process %d failed: %v", i, r.Errors)
		}
	}
	w := t.slowest
	return fmt.Sprintf("%-13s presented after %v, p50 %v, p99 %v, max %v (process %d, late %v, started %v, due %v after the beginning), %v%s",
		o.contender, since(o.at, o.seen.Arrived), quantile(t.waits, .5), quantile(t.waits, .99), quantile(t.waits, 1),
		w.process, w.Late, since(o.at, w.Start), since(o.at, max(w.Start, o.seen.Sent)), o.requests, worst)
}

func since(a, b int64) time.Duration { return time.Duration(b - a).Round(10 * time.Microsecond) }
