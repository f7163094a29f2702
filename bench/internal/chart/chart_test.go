package chart_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/bench/internal/chart"
)

func bars(log bool, values ...float64) chart.Bars {
	b := chart.Bars{Title: "One & <two>", About: "Less is better.", Log: log, Groups: []chart.Group{{Title: "at once"}}}
	for _, v := range values {
		b.Groups[0].Bars = append(b.Groups[0].Bars, chart.Bar{Name: `a "name"`, Value: v, Text: "text of it"})
	}
	return b
}

// element is any part of the drawing.
type element struct {
	XMLName  xml.Name
	Class    string    `xml:"class,attr"`
	Width    float64   `xml:"width,attr"`
	Text     string    `xml:",chardata"`
	Elements []element `xml:",any"`
}

func draw(t *testing.T, b chart.Bars) (svg element, widths []float64) {
	t.Helper()
	s := &strings.Builder{}
	if err := b.Write(s); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal([]byte(s.String()), &svg); err != nil {
		t.Fatalf("%v in\n%s", err, s)
	}
	for _, e := range svg.Elements {
		if e.XMLName.Local == "rect" && e.Class != "page" {
			widths = append(widths, e.Width)
		}
	}
	return svg, widths
}

func TestABarIsAsLongAsItsValue(t *testing.T) {
	_, widths := draw(t, bars(false, 1, 2, 0))
	if len(widths) != 3 || widths[1] != 2*widths[0] || widths[1] == 0 || widths[2] != 0 {
		t.Errorf("1, 2 and 0 are %v long", widths)
	}
}

func TestALogarithmicBarGrowsByTheSameForEachTenfold(t *testing.T) {
	_, widths := draw(t, bars(true, 0, 1, 10, 100))
	if len(widths) != 4 || widths[0] != 0 || widths[1] == 0 {
		t.Fatalf("0, 1, 10 and 100 are %v long", widths)
	}
	if a, b := widths[2]-widths[1], widths[3]-widths[2]; a < b-0.2 || a > b+0.2 {
		t.Errorf("from 1 to 10 it grows by %.1f, from 10 to 100 by %.1f", a, b)
	}
}

func TestWhatIsTooLongEndsAtTheCutAndSaysSo(t *testing.T) {
	b := bars(false, 1, 4, 400)
	b.Cut = 4
	svg, widths := draw(t, b)
	if widths[1] != widths[2] {
		t.Errorf("4 and 400 are %v long", widths[1:])
	}
	arrows := 0
	for _, e := range svg.Elements {
		if strings.HasPrefix(e.Text, "→") {
			arrows++
		}
	}
	if arrows != 1 {
		t.Errorf("%d bars say that they go on", arrows)
	}
}

func TestAChartCanBeRead(t *testing.T) {
	svg, _ := draw(t, bars(false, 1))
	said := map[string]string{}
	for _, e := range svg.Elements {
		said[e.XMLName.Local] += e.Text
	}
	if said["title"] != "One & <two>" {
		t.Errorf("the title is %q", said["title"])
	}
	if want := `Less is better. at once: a "name" text of it.`; said["desc"] != want {
		t.Errorf("the description is %q, want %q", said["desc"], want)
	}
	if !strings.Contains(said["style"], "prefers-color-scheme: dark") {
		t.Error("there are no colours for a dark page")
	}
}

func TestABarIsDrawnAsWhatItIs(t *testing.T) {
	b := bars(false, 1, 2, 3)
	b.Groups[0].Bars[1].Strong, b.Groups[0].Bars[2].Hollow = true, true
	svg, _ := draw(t, b)
	var classes []string
	for _, e := range svg.Elements {
		if e.XMLName.Local == "rect" {
			classes = append(classes, e.Class)
		}
	}
	if got := strings.Join(classes, ", "); got != "page, bar, strong, bar hollow" {
		t.Errorf("they are drawn as %s", got)
	}
}

func TestWithoutAnyValueNothingBreaks(t *testing.T) {
	for _, log := range []bool{false, true} {
		if _, widths := draw(t, bars(log, 0)); widths[0] != 0 {
			t.Errorf("a 0 is %v long", widths[0])
		}
	}
}
