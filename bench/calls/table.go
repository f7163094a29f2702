package main

import (
	"fmt"
	"strings"

	"github.com/rebearer/rebearer/bench/internal/measure"
)

// table writes a result as markdown.
func (r *result) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %s\n\n", r.route.name, r.route.title)
	over := r.route.floor
	if over == "" {
		over = r.route.baseline
		fmt.Fprintf(&b, "%d calls a turn, %d rounds. × and + are against *%s*.\n\n", r.n, len(r.samples[over]), over)
	} else {
		fmt.Fprintf(&b, "%d calls a turn, %d rounds. + is against *%s*, which is the base alone with requests that are signed before; × is what comes on top of that, against *%s*.\n\n",
			r.n, len(r.samples[over]), over, r.route.baseline)
	}
	b.WriteString("| contender | CPU ns: min, median | wall ns: min, median | CPU × | CPU × by minima | wall × | CPU × of the cheat | + allocs | + bytes |\n|---|---|---|---|---|---|---|---|---|\n")
	base := r.samples[over]
	for _, name := range r.names {
		s := r.samples[name]
		cpu, wall := column(s, cpuOf), column(s, wallOf)
		fmt.Fprintf(&b, "| %s | %.0f, %.0f | %.0f, %.0f | %.2f | %.2f | %.2f | %s | %s | %s |\n", name,
			measure.Min(cpu), measure.Median(cpu), measure.Min(wall), measure.Median(wall),
			r.ratio(name, r.route.baseline, cpuOf), r.ofMinima(name), r.ratio(name, r.route.baseline, wallOf), r.ofCheat(name),
			count(measure.Median(column(s, allocsOf))-measure.Median(column(base, allocsOf)), 1),
			count(measure.Median(column(s, bytesOf))-measure.Median(column(base, bytesOf)), 0))
	}
	if r.route.contended {
		b.WriteString("\n" + r.lockTable())
	}
	return b.String() + "\n"
}

// ofCheat is the ratio to the least that a signed call can cost.
func (r *result) ofCheat(name string) string {
	if r.samples[cheat.name] == nil {
		return ""
	}
	return fmt.Sprintf("%.2f", r.ratio(name, cheat.name, cpuOf))
}

// ofMinima is the ratio of the least CPU time to that of the baseline.
func (r *result) ofMinima(name string) float64 {
	least := func(name string) float64 { return measure.Min(column(r.samples[name], cpuOf)) }
	below := 0.0
	if r.route.floor != "" {
		below = least(r.route.floor)
	}
	return (least(name) - below) / (least(r.route.baseline) - below)
}

// ratio is the median of the rounds' ratios to the baseline.
func (r *result) ratio(name, baseline string, of func(sample) float64) float64 {
	mine, base, floor := r.samples[name], r.samples[baseline], r.samples[r.route.floor]
	ratios := make([]float64, len(mine))
	for i := range mine {
		below := 0.0
		if floor != nil {
			below = of(floor[i])
		}
		ratios[i] = (of(mine[i]) - below) / (of(base[i]) - below)
	}
	return measure.Median(ratios)
}

func cpuOf(s sample) float64    { return s.cpu }
func wallOf(s sample) float64   { return s.wall }
func allocsOf(s sample) float64 { return s.allocs }
func bytesOf(s sample) float64  { return s.bytes }

func column(samples []sample, of func(sample) float64) []float64 {
	var out []float64
	for _, s := range samples {
		out = append(out, of(s))
	}
	return out
}

// count writes a number without a trailing zero.
func count(v float64, digits int) string {
	text := strings.TrimSuffix(fmt.Sprintf("%.*f", digits, v), ".0")
	if text == "-0" {
		return "0"
	}
	return text
}
