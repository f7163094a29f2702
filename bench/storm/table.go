//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// report carries the plan out and prints what came of it.
func report(w io.Writer, p plan) error {
	s, err := startServers()
	if err != nil {
		return err
	}
	defer s.end()
	if p.measures("storm") {
		runners := p.runners()
		if p.node > 0 {
			n, err := startNode()
			if err == nil {
				defer n.end()
				runners = append(runners, n.runners(p)...)
			} else {
				fmt.Fprintf(w, "Skipped what runs in Node: %v.\n\n", err)
			}
		}
		r, err := measureStorms(os.Stderr, s, p, runners)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, r.table())
		if p.plots != "" {
			if err := r.plots(p.plots); err != nil {
				return err
			}
		}
	}
	if p.measures("ahead") {
		all, err := s.measureAheads(p)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, aheadTable(all))
	}
	if p.measures("dead") {
		r, once, err := measureDead(os.Stderr, s, p)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, deadTable(r, once))
	}
	if p.measures("cost") {
		costs, err := measureCosts(p)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, costTable(costs))
	}
	return nil
}

// table is the result, in Markdown.
func (r *storms) table() string {
	b := &strings.Builder{}
	fmt.Fprintln(b, "| N, how | contender | rounds | presented | callers that failed | session afterwards | API calls | wall, ms: min / median | ÷ floor: minima / medians / round by round | CPU, ms: median | ÷ floor, round by round |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, shape := range r.plan.shapes {
		for _, n := range r.plan.sizes {
			for _, name := range r.names {
				if of := r.all[setting{shape, n, name}]; len(of) > 0 {
					fmt.Fprintf(b, "| %d %s | %s | %s\n", n, shape, name, r.row(shape, n, name))
				}
			}
		}
	}
	return b.String()
}

func (r *storms) row(shape string, n int, name string) string {
	of := r.all[setting{shape, n, name}]
	walls := pick(of, outcome.wall)
	alive := 0
	for _, o := range of {
		if o.Alive {
			alive++
		}
	}
	session := "lives"
	if alive < len(of) {
		session = fmt.Sprintf("lost in %d", len(of)-alive)
	}
	took := milliseconds(measure.Min(walls)) + " / " + milliseconds(measure.Median(walls))
	if of[len(of)-1].gaveUp {
		took = fmt.Sprintf("gave up after %s ms", milliseconds(measure.Median(walls)))
	}
	cpu := pick(of, outcome.cpu)
	return fmt.Sprintf("%d | %s | %s | %s | %s | %s | %s | %s | %s |", len(of),
		extent(pick(of, func(o outcome) int { return o.Presentations })),
		extent(pick(of, failed)), session,
		extent(pick(of, outcome.calls)), took,
		r.ratios(shape, n, name), milliseconds(measure.Median(cpu)), ratio(r.byRound(shape, n, name, outcome.cpu)))
}

// ratios are those of the walls to the floor's, taken in three ways: the load of
// the machine may change while a setting is measured.
func (r *storms) ratios(shape string, n int, name string) string {
	of := func(pickOne func([]time.Duration) time.Duration) string {
		mine, floor := r.all[setting{shape, n, name}], r.all[setting{shape, n, floorOf(name)}]
		if len(floor) == 0 {
			return ""
		}
		return ratio(float64(pickOne(pick(mine, outcome.wall))) / float64(pickOne(pick(floor, outcome.wall))))
	}
	return of(measure.Min) + " / " + of(measure.Median) + " / " + ratio(r.byRound(shape, n, name, outcome.wall))
}

// byRound is the median of what a round took over what the floor took in the same
// round, 0 if there is none.
func (r *storms) byRound(shape string, n int, name string, took func(outcome) time.Duration) float64 {
	mine, floor := r.all[setting{shape, n, name}], r.all[setting{shape, n, floorOf(name)}]
	var over []float64
	for i := range min(len(mine), len(floor)) {
		over = append(over, float64(took(mine[i]))/float64(took(floor[i])))
	}
	if len(over) == 0 {
		return 0
	}
	return measure.Median(over)
}

func ratio(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

func failed(o outcome) int { return o.Failed + o.Left }

func (o outcome) wall() time.Duration { return o.Wall }
func (o outcome) cpu() time.Duration  { return o.CPU }

// floorOf is who measures the floor for a contender.
func floorOf(name string) string {
	for _, c := range inNode {
		if c.name == name {
			return c.floor
		}
	}
	return floorName
}

func pick[T any](of []outcome, f func(outcome) T) []T {
	values := make([]T, len(of))
	for i, o := range of {
		values[i] = f(o)
	}
	return values
}

// extent is what a count was in all rounds.
func extent(counts []int) string {
	least, most := counts[0], counts[0]
	for _, n := range counts {
		least, most = min(least, n), max(most, n)
	}
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d..%d", least, most)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }
