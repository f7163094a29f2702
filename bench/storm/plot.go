//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rebearer/rebearer/bench/internal/chart"
)

// plots writes how often the refresh token was presented, and how long it took, in
// the largest storm that everybody took part in.
func (r *storms) plots(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	n := r.plan.sizes[len(r.plan.sizes)-1]
	if err := draw(filepath.Join(dir, "storm-presentations.svg"), r.presented(n)); err != nil {
		return err
	}
	return draw(filepath.Join(dir, "storm-wall.svg"), r.walls(n))
}

func draw(path string, b chart.Bars) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := b.Write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// plotted are the shapes that are worth a look.
func (r *storms) plotted() (shapes []string) {
	for _, s := range r.plan.shapes {
		if s == "at once" || s == "late" {
			shapes = append(shapes, s)
		}
	}
	return shapes
}

// bars has a bar for each contender that took part.
func (r *storms) bars(b chart.Bars, n int, shapes []string, bar func(shape, name string, of []outcome) chart.Bar) chart.Bars {
	for _, shape := range shapes {
		g := chart.Group{Title: fmt.Sprintf("%d requests, %s", n, shape)}
		for _, name := range r.names {
			of := r.all[setting{shape, n, name}]
			if len(of) == 0 || name == oracleName || strings.HasSuffix(name, floorName) {
				continue
			}
			one := bar(shape, name, of)
			one.Name, one.Strong = name, strings.HasPrefix(name, "rebearer")
			one.Hollow = slices.Max(pick(of, failed)) > 0
			g.Bars = append(g.Bars, one)
		}
		if len(g.Bars) > 0 {
			b.Groups = append(b.Groups, g)
		}
	}
	return b
}

func (r *storms) presented(n int) chart.Bars {
	return r.bars(chart.Bars{
		Title: "How often a refresh token was presented",
		About: "The most of all rounds, on a logarithmic scale. A strict server ends the session at the second use of a token. Hollow: callers failed.",
		Log:   true,
	}, n, r.plotted(), func(_, _ string, of []outcome) chart.Bar {
		presented := pick(of, func(o outcome) int { return o.Presentations })
		text := extent(presented)
		if lost := pick(of, failed); slices.Max(lost) > 0 {
			text += fmt.Sprintf(", %s failed", extent(lost))
		}
		return chart.Bar{Value: float64(slices.Max(presented)), Text: text}
	})
}

func (r *storms) walls(n int) chart.Bars {
	return r.bars(chart.Bars{
		Title: "How long a storm takes, as a multiple of the floor",
		About: "Median of the rounds. The floor: 401, refresh and replay with nothing else done, by the same HTTP client. Hollow: callers failed.",
		Mark:  1, MarkText: "the floor", Cut: 5,
	}, n, r.plan.shapes, func(shape, name string, of []outcome) chart.Bar {
		over := r.byRound(shape, n, name, outcome.wall)
		text := fmt.Sprintf("%.2f", over)
		lost := pick(of, failed)
		switch {
		case of[len(of)-1].gaveUp:
			text = "gave up"
		case slices.Max(lost) > 0:
			text += fmt.Sprintf(", %s failed", extent(lost))
		}
		return chart.Bar{Value: over, Text: text}
	})
}
