//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tally adds rounds up. Durations are in nanoseconds.
type tally struct {
	rounds                           int
	presentations, refused, failures int
	waits                            []int64 // over the ideal, of all who got the successor
	early, late                      []int64 // the same by who was late
	reach                            []int64 // from the beginning until the server was asked
	lags                             []int64 // from when a goroutine should have started until it did
	writes                           []int64 // what the server took to write its answer
	requests                         []int64
	commands                         map[string]int
	slowest                          slowest
}

// slowest is the call that has waited longest.
type slowest struct {
	call
	process int
	wait    int64
}

func newTally() *tally { return &tally{commands: map[string]int{}, slowest: slowest{wait: -1}} }

func (t *tally) add(o outcome) {
	t.rounds++
	t.presentations += o.seen.Presentations
	t.refused += o.seen.Refused
	t.reach = append(t.reach, o.seen.Arrived-o.at)
	t.writes = append(t.writes, o.seen.Written-o.seen.Sent)
	for i, r := range o.reports {
		for _, c := range r.Calls {
			t.call(i, c, o.seen)
		}
	}
	n := int64(0)
	for name, k := range o.requests {
		t.commands[name] += k
		n += int64(k)
	}
	t.requests = append(t.requests, n)
}

// call notes what one goroutine has waited longer than it had to: nobody can have
// the successor before the server has sent it, or before wanting it.
func (t *tally) call(process int, c call, seen exchanges) {
	t.lags = append(t.lags, c.Start-c.Planned)
	if c.Next != seen.Next || c.Next == (pair{}) {
		t.failures++
		return
	}
	wait := c.Got - max(c.Start, seen.Sent)
	t.waits = append(t.waits, wait)
	if c.Late {
		t.late = append(t.late, wait)
	} else {
		t.early = append(t.early, wait)
	}
	if wait > t.slowest.wait {
		t.slowest = slowest{c, process, wait}
	}
}

// quantile sorts.
func quantile(of []int64, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return time.Duration(of[min(int(q*float64(len(of))), len(of)-1)])
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }

// spread is the median, the 99th percentile and the maximum, in milliseconds.
func spread(of []int64) string {
	return milliseconds(quantile(of, .5)) + " / " + milliseconds(quantile(of, .99)) + " / " + milliseconds(quantile(of, 1))
}

func (t *tally) mean() float64 {
	sum := int64(0)
	for _, n := range t.requests {
		sum += n
	}
	return float64(sum) / float64(len(t.requests))
}

// table is the result, in Markdown.
func table(p plan, all map[setting]*tally) string {
	b := &strings.Builder{}
	fmt.Fprintln(b, "| mode, AS takes | contender | rounds | waiting: p50 / p99 / max, ms | presentations per round | refused | failed | Redis requests per refresh: mean, max |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|---|")
	details := &strings.Builder{}
	for _, delay := range p.delays {
		for _, mode := range p.modes {
			for _, name := range p.contenders {
				t := all[setting{mode, delay, name}]
				of := fmt.Sprintf("%s, %v | %s", mode, delay, name)
				fmt.Fprintf(b, "| %s | %d | %s | %.2f | %d | %d of %d | %.1f, %d |\n", of, t.rounds, spread(t.waits),
					float64(t.presentations)/float64(t.rounds), t.refused, t.failures, t.failures+len(t.waits),
					t.mean(), int64(quantile(t.requests, 1)))
				fmt.Fprintf(details, "| %s | %s | %s | %s | %s | %s | %s |\n", of, spread(t.early), spread(t.late),
					spread(t.reach), spread(t.lags), spread(t.writes), t.byCommand())
			}
		}
	}
	fmt.Fprint(b, "\n| mode, AS takes | contender | waiting of the early | waiting of the late | until presented | started behind time | AS wrote for | requests per refresh by command |\n|---|---|---|---|---|---|---|---|\n")
	return b.String() + details.String()
}

// byCommand lists the commands per refresh, the most frequent first.
func (t *tally) byCommand() string {
	names := slices.SortedFunc(maps.Keys(t.commands), func(a, b string) int { return t.commands[b] - t.commands[a] })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.1f", name, float64(t.commands[name])/float64(t.rounds))
	}
	return strings.Join(names, ", ")
}
