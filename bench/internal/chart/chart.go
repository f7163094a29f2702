// Package chart draws bars into an SVG file that can be read on a light and on a
// dark page, and by who does not see it: each bar says its value in text, and all of
// it stands in the description.
package chart

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Bars are groups of horizontal bars, one below the other.
type Bars struct {
	Title string
	// About is a sentence on how to read the bars.
	About  string
	Log    bool // the scale is logarithmic, from 1 on, and a 0 has no length
	Groups []Group
	// Mark is a value at which a line is drawn, with a text; none if 0.
	Mark     float64
	MarkText string
	// Cut is the greatest length. What is longer ends there, and says so by an
	// arrow. None if 0.
	Cut float64
}

// Group is bars that belong together.
type Group struct {
	Title string
	Bars  []Bar
}

// Bar is a value with its name.
type Bar struct {
	Name   string
	Value  float64
	Text   string // the value as it is printed
	Strong bool   // drawn in the colour of who is looked for
	Hollow bool   // drawn as an outline: what it stands for went wrong
}

const (
	width   = 860
	names   = 280 // where the bars begin
	numbers = 170 // room behind the longest bar
	height  = 20  // of a bar with its gap
)

// Write draws the bars.
func (b Bars) Write(w io.Writer) error {
	total := 84
	for _, g := range b.Groups {
		total += 34 + height*len(g.Bars)
	}
	s := &strings.Builder{}
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title desc">`+"\n", width, total, width, total)
	fmt.Fprintf(s, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n<style>%s</style>\n", escape(b.Title), escape(b.described()), style)
	fmt.Fprintf(s, `<rect class="page" width="%d" height="%d"/>`+"\n", width, total)
	fmt.Fprintf(s, `<text class="title" x="16" y="28">%s</text><text class="about" x="16" y="48">%s</text>`+"\n", escape(b.Title), escape(b.About))
	y := 60
	for _, g := range b.Groups {
		y += 24
		fmt.Fprintf(s, `<text class="group" x="16" y="%d">%s</text>`+"\n", y, escape(g.Title))
		y += 10
		b.mark(s, y, y+height*len(g.Bars))
		for _, bar := range g.Bars {
			b.draw(s, bar, y)
			y += height
		}
	}
	s.WriteString("</svg>\n")
	_, err := io.WriteString(w, s.String())
	return err
}

func (b Bars) draw(s *strings.Builder, bar Bar, y int) {
	class, text := "bar", bar.Text
	if bar.Strong {
		class = "strong"
	}
	if bar.Hollow {
		class += " hollow"
	}
	if b.Cut > 0 && bar.Value > b.Cut {
		text = "→ " + text
	}
	long := b.length(bar.Value)
	fmt.Fprintf(s, `<text class="name" x="%d" y="%d">%s</text>`, names-8, y+14, escape(bar.Name))
	fmt.Fprintf(s, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, names, y+3, long, height-6)
	fmt.Fprintf(s, `<text class="value" x="%.1f" y="%d">%s</text>`+"\n", names+long+6, y+14, escape(text))
}

func (b Bars) mark(s *strings.Builder, top, bottom int) {
	if b.Mark == 0 {
		return
	}
	x := names + b.length(b.Mark)
	fmt.Fprintf(s, `<line class="mark" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, x, top-2, x, bottom)
	fmt.Fprintf(s, `<text class="about" x="%.1f" y="%d">%s</text>`+"\n", x+4, top-4, escape(b.MarkText))
}

// length is in pixels.
func (b Bars) length(value float64) float64 {
	longest := b.Mark
	for _, g := range b.Groups {
		for _, bar := range g.Bars {
			longest = max(longest, bar.Value)
		}
	}
	if b.Cut > 0 {
		longest, value = min(longest, b.Cut), min(value, b.Cut)
	}
	scale := func(v float64) float64 { return v }
	if b.Log {
		scale = func(v float64) float64 {
			if v < 1 {
				return 0
			}
			return 1 + math.Log10(v) // a 1 can be seen
		}
	}
	if scale(longest) <= 0 {
		return 0
	}
	return (width - names - numbers) * scale(max(0, value)) / scale(longest)
}

// described is the chart in words.
func (b Bars) described() string {
	s := &strings.Builder{}
	s.WriteString(b.About)
	for _, g := range b.Groups {
		fmt.Fprintf(s, " %s:", g.Title)
		for i, bar := range g.Bars {
			end := ","
			if i == len(g.Bars)-1 {
				end = "."
			}
			fmt.Fprintf(s, " %s %s%s", bar.Name, bar.Text, end)
		}
	}
	return s.String()
}

func escape(text string) string {
	s := &strings.Builder{}
	xml.EscapeText(s, []byte(text)) // a Builder returns no error
	return s.String()
}

// style has a page of its own, for viewers that paint none.
const style = `
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.page { fill: #ffffff } .title { font-size: 16px; font-weight: 600 } .about { font-size: 12px; fill: #59636e }
.group { font-weight: 600 } .name { text-anchor: end } .bar { fill: #8c959f; stroke: #8c959f } .strong { fill: #0969da; stroke: #0969da } .hollow { fill-opacity: .15 }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 5px }
.mark { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #0d1117 } .about { fill: #9198a1 } .bar { fill: #6e7681; stroke: #6e7681 } .strong { fill: #4493f8; stroke: #4493f8 }
.value { stroke: #0d1117 } .mark { stroke: #f85149 }
}
`
