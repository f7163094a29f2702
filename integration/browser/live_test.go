package browser

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "take docs/live.png anew")

// live is the page of examples/bff with servers of its own.
type live struct {
	*site
	*tab
	user *user

	mu         sync.Mutex
	complaints []string // of the browser about the page
}

// watch starts the program with nothing set but where the tokens live, and signs
// somebody in.
func watch(t *testing.T, place string) *live {
	t.Helper()
	u := person(t)
	l := &live{site: start(t).bff("BFF_API_URL=", "BFF_JWT_SECRET=", "BFF_TOKENS="+place), tab: u.tab(), user: u}
	must(t, chromedp.Listen(l.ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			l.complain("exception: " + e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				l.complain(fmt.Sprintf("console: %v", e.Args))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				l.complain(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
			}
		}
	}))
	_, err := chromedp.Call(l.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", (e) => console.error("policy", e.violatedDirective, e.blockedURI))`,
	})
	must(t, err)
	l.open(l.site.URL + "/").arrives("/login")
	l.click("form button")
	l.arrives("/").sees("Signed in as alice")
	return l
}

func (l *live) complain(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complaints = append(l.complaints, text)
}

// quiet fails if the browser complains of anything but answers of these statuses,
// which are what some scenes are about.
func (l *live) quiet(statuses ...string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.complaints {
		if !slices.ContainsFunc(statuses, func(s string) bool { return strings.Contains(c, "responded with a status of "+s) }) {
			l.t.Errorf("the browser complains: %s", c)
		}
	}
	l.complaints = nil
}

// play presses a button, and waits for its verdict.
func (l *live) play(scene string) {
	l.t.Helper()
	l.click(fmt.Sprintf("[data-scene=%s]:enabled", scene))
	l.until(`document.querySelector("#result .verdict") && document.querySelector("[data-scene]:enabled")`)
	l.picture("live-" + scene)
}

// shown is what the page shows.
type shown struct {
	Counts    map[string]int
	Good      bool
	Said      string
	Bars      int // requests
	Replicas  int // whose they are
	Refreshes int
	Rows      int // of the table that says the same
	Middle    bool
	Spanned   bool
	Marks     map[string]int
}

const look = `(() => {
	const all = (s) => [...document.querySelectorAll(s)], box = (e) => e.getBoundingClientRect();
	const bars = all("#picture rect.visit"), refreshes = all("#picture rect.refresh");
	const of = (r) => bars.filter((b) => b.classList.contains(r)).map((b) => box(b).top);
	return {
		Counts: Object.fromEntries(all("[data-count]").map((d) => [d.dataset.count, Number(d.textContent)])),
		Good: !!document.querySelector("#result .good"), Said: document.getElementById("result").innerText,
		Bars: bars.length, Refreshes: refreshes.length, Rows: all("#requests tbody tr").length,
		Replicas: new Set(bars.map((b) => b.getAttribute("class"))).size,
		Middle: refreshes.every((x) => box(x).top > Math.max(...of("r1")) && box(x).top < Math.min(...of("r2"))),
		Spanned: refreshes.every((x) => bars.some((b) => box(b).left <= box(x).left && box(b).right >= box(x).right)),
		Marks: Object.fromEntries(["unauthorized", "served", "replay", "delivered", "parked", "ended"].map((k) => [k, all("#picture path." + k + ", #picture rect.strip." + k).length])),
	};
})()`

func (l *live) look() shown {
	l.t.Helper()
	// What is drawn next shows all that has come.
	s, err := js[shown](l.tab, "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))).then(() => "+look+")")
	must(l.t, err)
	return s
}

// server asks what the servers have counted since the program began.
func (l *live) server() map[string]int {
	l.t.Helper()
	resp, err := http.Get(l.site.URL + "/demo/counts")
	must(l.t, err)
	defer resp.Body.Close()
	var state struct{ Counts map[string]int }
	must(l.t, json.NewDecoder(resp.Body).Decode(&state))
	return state.Counts
}

// scene is a button, and what must be there to see when it has been pressed.
type scene struct {
	name          string
	bars          int // at least
	presentations int
	check         func(s shown) bool
	statuses      []string // of answers that the browser may call errors
}

// scenes are those of a place: of the others than plain, what the place is a part
// of.
func scenes(place string) []scene {
	all := everyScene(place)
	if place != "plain" {
		all = slices.DeleteFunc(all, func(s scene) bool { return slices.Contains([]string{"calls", "slow", "upload", "outage"}, s.name) })
	}
	return all
}

func everyScene(place string) []scene {
	parked := 1
	if place == "sessions" {
		parked = 0
	}
	c := func(s shown, name string) int { return s.Counts[name] }
	return []scene{
		{"expire", 1, 1, func(s shown) bool {
			return s.Bars == 1 && c(s, "calls") == 2 && c(s, "unauthorized") == 1 && c(s, "replays") == 1 && c(s, "delivered") == 1 && s.Spanned
		}, nil},
		{"tabs", 5, 1, func(s shown) bool {
			return s.Bars == 5 && s.Replicas == 2 && s.Middle && s.Spanned && c(s, "delivered") >= 1 && c(s, "unauthorized") >= 1 &&
				c(s, "calls")-c(s, "unauthorized") == 15
		}, nil},
		{"calls", 1, 1, func(s shown) bool { return s.Bars == 1 && c(s, "calls")-c(s, "unauthorized") == 10 }, nil},
		{"stream", 2, 1, func(s shown) bool {
			return s.Bars == 2 && c(s, "parked") == parked && s.Marks["parked"] == parked && c(s, "delivered") >= 1
		}, nil},
		{"slow", 3, 1, func(s shown) bool { return s.Bars == 3 && strings.Contains(s.Said, "3 of 3 requests") && s.Spanned }, nil},
		{"boundary", 11, 1, func(s shown) bool { return c(s, "replays") == 0 && c(s, "unauthorized") >= 5 }, []string{"401"}},
		{"upload", 1, 1, func(s shown) bool { return s.Bars == 1 && strings.Contains(s.Said, "12,000,000 bytes") }, nil},
		{"outage", 2, 2, func(s shown) bool { return c(s, "ended") == 0 && strings.Contains(s.Said, "Nobody was signed out") }, []string{"503"}},
		{"logout", 3, 1, func(s shown) bool { return s.Bars == 3 && c(s, "ended") == 1 && s.Marks["ended"] == 1 }, []string{"401"}},
	}
}

// Each button, with tokens in each place: what the page then shows is what its
// verdict says, and what the servers have counted.
func TestTheLivePageShowsWhatEachButtonDoes(t *testing.T) {
	for _, place := range []string{"plain", "sealed", "sessions"} {
		t.Run(place, func(t *testing.T) {
			l := watch(t, place)
			l.quiet()
			for _, scene := range scenes(place) {
				before := l.server()
				l.play(scene.name)
				s, after := l.look(), l.server()
				for _, name := range []string{"calls", "unauthorized", "presentations", "reuses"} {
					if s.Counts[name] != after[name]-before[name] {
						t.Errorf("%s: %s are shown as %d, and the servers say %d", scene.name, name, s.Counts[name], after[name]-before[name])
					}
				}
				n := s.Counts["presentations"]
				exact := n == scene.presentations || scene.name == "outage" && n >= scene.presentations
				if !s.Good || !exact || s.Counts["reuses"] != 0 || s.Refreshes != n || s.Bars < scene.bars || s.Rows != s.Bars || !scene.check(s) {
					t.Errorf("%s: the page shows %+v", scene.name, s)
				}
				if u := s.Counts["unauthorized"]; scene.name != "logout" && scene.name != "outage" && scene.name != "boundary" &&
					(s.Counts["replays"] != u || s.Marks["replay"] < u || s.Marks["served"] < u || s.Marks["unauthorized"] != u) {
					t.Errorf("%s: not each 401 is sent again, or drawn: %+v", scene.name, s)
				}
				l.quiet(scene.statuses...)
			}
			l.follow("#again").arrives("/").sees("Signed in as alice")
			l.play("expire")
			if s := l.look(); !s.Good {
				t.Errorf("after another sign-in: %s", s.Said)
			}
			l.quiet()
		})
	}
}

// What somebody did before the page was loaded is there, and what other tabs do
// comes.
func TestTheLivePageShowsWhatOtherTabsDo(t *testing.T) {
	l := watch(t, "plain")
	other := l.user.tab().open(l.site.URL + "/")
	l.play("tabs")
	other.until(`document.querySelectorAll("#picture rect.visit").length >= 5 && document.querySelector("#picture rect.refresh")`)
	third := l.user.tab().open(l.site.URL + "/")
	third.sees("Since the last control").sees("1 refresh token presented, none of them twice")
	l.quiet()
}

// The picture in the README is of five tabs.
func TestTheLivePageInAPicture(t *testing.T) {
	l := watch(t, "plain")
	l.do(chromedp.EmulateViewport(1000, 1200))
	l.play("tabs")
	if s := l.look(); !s.Good || !s.Middle {
		t.Fatalf("not a picture to show: %+v", s)
	}
	clip, err := js[page.Viewport](l.tab, `(() => {
		const top = document.getElementById("outcome").getBoundingClientRect(), end = document.querySelector(".picture").getBoundingClientRect();
		return { x: end.left - 12, y: top.top + scrollY - 8, width: end.width + 24, height: end.bottom - top.top + 20, scale: 1 };
	})()`)
	must(t, err)
	yes := true
	shot, err := chromedp.Call(l.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &clip, CaptureBeyondViewport: &yes})
	must(t, err)
	if n := len(shot.Data); n < 10<<10 || n > 200<<10 {
		t.Errorf("the picture has %d bytes", n)
	}
	if *update {
		must(t, os.WriteFile(filepath.Join("..", "..", "docs", "live.png"), shot.Data, 0o644))
	}
}
