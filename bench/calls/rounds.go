package main

import (
	"fmt"
	"time"
)

// result is what a route has come to: for each lane its samples, round by round.
type result struct {
	route   route
	n       int // calls in a turn
	names   []string
	samples map[string][]sample
	locks   map[string]contention
}

// plan is how the routes are measured.
type plan struct {
	rounds int
	slice  time.Duration // how long a turn of the baseline takes
}

// measured runs a route. Contenders take turns, and each begins a round as often as
// the others, as far as the rounds go.
func (p plan) measured(r route) (*result, error) {
	lanes := r.open()
	defer func() {
		for _, l := range lanes {
			l.close()
		}
	}()
	out := &result{route: r, samples: map[string][]sample{}, locks: map[string]contention{}}
	for _, l := range lanes {
		out.names = append(out.names, l.name)
		if err := l.run(20); err != nil { // to warm up
			return nil, fmt.Errorf("%s, %s: %w", r.name, l.name, err)
		}
	}
	var err error
	if out.n, err = p.calibrate(lanes, r.baseline); err != nil {
		return nil, err
	}
	for round := range p.rounds {
		for i := range lanes {
			l := lanes[(i+round*len(lanes)/p.rounds)%len(lanes)]
			s, err := l.turn(out.n)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", r.name, l.name, err)
			}
			out.samples[l.name] = append(out.samples[l.name], s)
		}
	}
	if r.contended {
		for _, l := range lanes {
			if out.locks[l.name], err = contentionOf(func() error { return l.run(out.n) }); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// calibrate returns how many calls of the baseline take a slice. All others make
// as many.
func (p plan) calibrate(lanes []*lane, baseline string) (int, error) {
	for _, l := range lanes {
		if l.name != baseline {
			continue
		}
		for n := 8; ; n *= 2 {
			s, err := l.turn(n)
			if err != nil {
				return 0, err
			}
			if took := time.Duration(s.wall * float64(n)); took > p.slice/4 {
				return max(1, int(float64(n)*float64(p.slice)/float64(took))), nil
			}
		}
	}
	return 0, fmt.Errorf("nobody is called %q", baseline)
}
