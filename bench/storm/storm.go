//go:build unix

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// setting is one kind of round.
type setting struct {
	shape string
	n     int
	name  string
}

// storms are the outcomes of all rounds.
type storms struct {
	plan  plan
	all   map[setting][]outcome
	names []string // those who took part, in order
}

// runner runs one round of somebody.
type runner struct {
	name string
	// elsewhere has another process with connections of its own.
	elsewhere bool
	run       func(st *stage, shape string, n int, cookies pair) (outcome, error)
	// joins reports whether the runner takes part in this round of a setting.
	joins func(shape string, n, round int) bool
}

func always(string, int, int) bool { return true }

// runners are the floor, the oracle and the contenders in Go.
func (p plan) runners() []runner {
	all := []runner{
		{name: floorName, run: (*stage).floor, joins: always},
		{name: oracleName, run: (*stage).oracle, joins: func(shape string, _, _ int) bool { return shape != "late" }},
	}
	for _, c := range contenders {
		all = append(all, c.runner())
	}
	return slices.DeleteFunc(all, func(r runner) bool { return !p.takesPart(r.name) })
}

func (c contender) runner() runner {
	return runner{
		name: c.name,
		run: func(st *stage, shape string, n int, cookies pair) (outcome, error) {
			return st.run(c, shape, n, cookies)
		},
		joins: func(shape string, n, _ int) bool {
			switch {
			case shape == "known expiry":
				return c.expects
			case c.blind:
				return shape == "at once"
			case c.again:
				return shape == "at once" && n <= 1000
			default:
				return true
			}
		},
	}
}

// measureStorms has all take turns. Each begins as often as any other.
func measureStorms(log io.Writer, s *servers, p plan, runners []runner) (*storms, error) {
	result := &storms{plan: p, all: map[setting][]outcome{}}
	for _, r := range runners {
		result.names = append(result.names, r.name)
		if _, err := s.round(p, r, rule{Refresh: p.refresh}, "at once", 100); err != nil {
			return nil, err
		}
	}
	for _, n := range p.sizes {
		for _, shape := range p.shapes {
			if err := result.compete(log, s, runners, rule{Refresh: p.refresh}, shape, n); err != nil {
				return nil, err
			}
		}
	}
	return result, nil
}

// compete has the runners take turns in one setting. Who has left callers without
// their answer, or taken half of the patience, is out after as many rounds as losers
// have: how fast that is, is of no use, and it would go on like that. Who gave up
// is not asked with more requests.
func (r *storms) compete(log io.Writer, s *servers, runners []runner, as rule, shape string, n int) error {
	out := r.exhausted(shape)
	for round := range r.plan.rounds {
		for turn := range runners {
			who := runners[(round+turn)%len(runners)]
			if out[who.name] || !who.joins(shape, n, round) {
				continue
			}
			o, err := s.round(r.plan, who, as, shape, n)
			if err != nil {
				return fmt.Errorf("%s, %d %s: %w", who.name, n, shape, err)
			}
			of := setting{shape, n, who.name}
			r.all[of] = append(r.all[of], o)
			slow, lost := o.Wall > r.plan.patience/2, o.Failed+o.Left > 0 && !as.Dead
			out[who.name] = slow || lost && len(r.all[of]) >= r.plan.losersHave(n)
			if r.plan.verbose {
				fmt.Fprintf(log, "%d %s, round %d, %s: %s\n", n, shape, round, who.name, o)
			}
		}
	}
	return nil
}

// exhausted are those who gave up in this shape.
func (r *storms) exhausted(shape string) map[string]bool {
	names := map[string]bool{}
	for of, outcomes := range r.all {
		if of.shape == shape && outcomes[len(outcomes)-1].gaveUp {
			names[of.name] = true
		}
	}
	return names
}

// losersHave is half of it in storms that take long.
func (p plan) losersHave(n int) int {
	if n >= 10_000 {
		return p.losers / 2
	}
	return p.losers
}

func (s *servers) round(p plan, r runner, as rule, shape string, n int) (outcome, error) {
	here := n
	if r.elsewhere {
		here = 1
	}
	st, err := s.open(here, p.patience)
	if err != nil {
		return outcome{}, err
	}
	first, err := s.begin(as)
	if err != nil {
		return outcome{}, err
	}
	return r.run(st, shape, n, cookiesOf(first, shape))
}

func (o outcome) String() string {
	text := fmt.Sprintf("%d presented (%d refused), %d failed, %d calls (%d good, %d old, %d other), %v, CPU %v",
		o.Presentations, o.Refused, o.Failed+o.Left, o.calls(), o.Good, o.Old, o.Other,
		o.Wall.Round(10*time.Microsecond), o.CPU.Round(10*time.Microsecond))
	if o.why != "" {
		text += ", " + o.why
	}
	return text
}
