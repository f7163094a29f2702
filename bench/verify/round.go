package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// plan is how the contenders are measured.
type plan struct {
	rounds int
	slice  time.Duration
}

// sample is what a turn cost, for one request, in ns.
type sample struct{ cpu, wall, allocs, bytes float64 }

// run has the contenders take turns. Each begins a round as often as the others,
// as far as the rounds go.
func (p plan) run(contenders []*contender) error {
	for round := range p.rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			s, err := c.turn(p.slice)
			if err != nil {
				return errors.New(c.name + ": " + err.Error())
			}
			c.samples = append(c.samples, s)
		}
	}
	return nil
}

// turn serves requests for so long, in a fresh heap.
func (c *contender) turn(slice time.Duration) (sample, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, cpu, n := time.Now(), measure.CPU(), 0
	for time.Since(begin) < slice {
		for range 100 {
			if err := c.serve(); err != nil {
				return sample{}, err
			}
		}
		n += 100
	}
	wall, spent := time.Since(begin), measure.CPU()-cpu
	runtime.ReadMemStats(&after)
	each := func(v float64) float64 { return v / float64(n) }
	return sample{
		cpu: each(float64(spent)), wall: each(float64(wall)),
		allocs: each(float64(after.Mallocs - before.Mallocs)), bytes: each(float64(after.TotalAlloc - before.TotalAlloc)),
	}, nil
}

func (c *contender) column(of func(sample) float64) (values []float64) {
	for _, s := range c.samples {
		values = append(values, of(s))
	}
	return values
}

// table writes the results as markdown. What a contender adds is told against
// the page alone, the first of them; what has no page around it adds all of
// itself.
func table(contenders []*contender) string {
	var b strings.Builder
	cpu := func(s sample) float64 { return s.cpu }
	page := measure.Min(contenders[0].column(cpu))
	adds := func(c *contender) float64 {
		if c.alone {
			return measure.Min(c.column(cpu))
		}
		return measure.Min(c.column(cpu)) - page
	}
	fmt.Fprintf(&b, "%d rounds. Adds is the least CPU time less that of the page alone; × is against what rebearer adds with the same algorithm.\n\n", len(contenders[0].samples))
	b.WriteString("| contender | CPU ns: min, median | wall ns: min, median | adds ns | × rebearer | allocs | bytes |\n|---|---|---|---|---|---|---|\n")
	for _, c := range contenders {
		wall := c.column(func(s sample) float64 { return s.wall })
		ratio := ""
		for _, ours := range contenders {
			if ours.ours && !c.ours && ours.alg == c.alg {
				ratio = fmt.Sprintf("%.1f", adds(c)/adds(ours))
			}
		}
		fmt.Fprintf(&b, "| %s | %.0f, %.0f | %.0f, %.0f | %.0f | %s | %.0f | %.0f |\n", c.name,
			measure.Min(c.column(cpu)), measure.Median(c.column(cpu)), measure.Min(wall), measure.Median(wall), adds(c), ratio,
			measure.Median(c.column(func(s sample) float64 { return s.allocs })), measure.Median(c.column(func(s sample) float64 { return s.bytes })))
	}
	return b.String() + "\n"
}
