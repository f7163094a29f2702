package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// wide returns what is wider than the screen, if the page can be moved sideways.
const wide = `(() => {
	const root = document.documentElement;
	if (root.scrollWidth <= innerWidth && innerWidth === WIDTH) return "";
	const out = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > WIDTH + 1 && !e.closest(".scroll"));
	return root.scrollWidth + " of " + innerWidth + ": " + out.slice(0, 5).map((e) => e.tagName + "." + e.className).join(", ");
})()`

func TestTheLivePageFitsAPhone(t *testing.T) {
	for _, width := range []int64{320, 375, 599} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			l := watch(t, "plain")
			l.do(chromedp.EmulateViewport(width, 740, chromedp.EmulateMobile))
			l.open(l.site.URL + "/").sees("Signed in as alice")
			for _, scene := range []string{"tabs", "expire"} {
				l.play(scene)
				if s := l.look(); !s.Good {
					t.Error(s.Said)
				}
				if out, err := js[string](l.tab, strings.ReplaceAll(wide, "WIDTH", fmt.Sprint(width))); err != nil || out != "" {
					t.Errorf("%s: it is wider than the screen: %s %v", scene, out, err)
				}
			}
			l.play("tabs")
			if one, err := js[bool](l.tab, `[".tiles > *", ".tabs > *"].every((s) => new Set([...document.querySelectorAll(s)].map((e) => e.getBoundingClientRect().left)).size === 1)`); err != nil || !one {
				t.Error("not one column", err)
			}
			if small, err := js[string](l.tab, `[...document.querySelectorAll("button")].filter((b) => b.getBoundingClientRect().height < 44).map((b) => b.textContent).join()`); err != nil || small != "" {
				t.Errorf("too small for a finger: %s %v", small, err)
			}
			if _, err := js[bool](l.tab, `document.getElementById("counts").scrollIntoView(), true`); err != nil {
				t.Error(err)
			}
			l.picture(fmt.Sprintf("live-phone-%d", width))
			l.quiet()
		})
	}
}

// media has the tab believe in a preference of its user.
func (l *live) media(feature, value string) {
	l.t.Helper()
	_, err := chromedp.Call(l.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
	must(l.t, err)
}

// faint returns the texts whose contrast with what is behind them is below 4.5 to
// 1 (WCAG 2.2, 1.4.3), but for those of buttons that cannot be pressed.
const faint = `(() => {
	const channels = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => channels(c).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor, [, , , alpha = 1] = channels(c);
			if (alpha > 0) return c;
		}
		return "rgb(255, 255, 255)";
	};
	const out = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (!own || e.closest(":disabled, noscript, title") || !e.getClientRects().length) continue;
		const style = getComputedStyle(e), ink = light(e.closest("svg") ? style.fill : style.color), paper = light(behind(e));
		const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
		if (ratio < 4.5) out.push(ratio.toFixed(2) + ": " + e.textContent.trim().slice(0, 40));
	}
	return out;
})()`

func TestTheLivePageCanBeReadInLightAndDark(t *testing.T) {
	l := watch(t, "plain")
	for _, scheme := range []string{"light", "dark"} {
		l.media("prefers-color-scheme", scheme)
		for _, scene := range []string{"stream", "tabs"} {
			l.play(scene)
			if out, err := js[[]string](l.tab, faint); err != nil || len(out) > 0 {
				t.Errorf("%s, %s: %q %v", scheme, scene, out, err)
			}
		}
		l.picture("live-" + scheme)
	}
	dark, err := js[string](l.tab, `getComputedStyle(document.body).backgroundColor`)
	if l.media("prefers-color-scheme", "light"); err != nil || dark == "rgb(245, 246, 248)" {
		t.Error("it is not dark", dark, err)
	}
}

// Who does not want motion sees a picture that changes when something happens.
func TestTheLivePageHoldsStillForWhoWantsThat(t *testing.T) {
	for motion, moves := range map[string]bool{"no-preference": true, "reduce": false} {
		l := watch(t, "plain")
		l.media("prefers-reduced-motion", motion)
		l.open(l.site.URL + "/").sees("Signed in as alice")
		l.click("[data-scene=slow]:enabled")
		l.until(`document.querySelector("#picture rect.refresh.going")`)
		l.until(`(window.first ??= performance.now()) + 500 < performance.now()`) // all have come by now
		if _, err := js[bool](l.tab, `new MutationObserver(() => window.changes = (window.changes || 0) + 1).observe(document.getElementById("picture"), { childList: true }), true`); err != nil {
			t.Fatal(err)
		}
		l.until(`window.first + 1500 < performance.now()`)
		changes, err := js[int](l.tab, `window.changes || 0`)
		if err != nil || (changes > 3) != moves {
			t.Errorf("%s: it is drawn %d times in a second in which nothing happens, %v", motion, changes, err)
		}
		l.until(`document.querySelector("#result .good")`)
		if n, err := js[int](l.tab, `document.getAnimations().length`); err != nil || n != 0 {
			t.Errorf("%s: %d animations, %v", motion, n, err)
		}
	}
}

// controls are the roles of what a screen reader stops at.
var controls = []string{"button", "link", "textbox", "image", "table", "region", "navigation", "Iframe", "heading", "columnheader"}

func TestTheLivePageHasANameForEverything(t *testing.T) {
	l := watch(t, "plain")
	l.play("tabs")
	tree, err := chromedp.Call(l.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	must(t, err)
	seen, live := map[string]int{}, false
	for _, n := range tree.Nodes {
		role, name := text(n.Role), text(n.Name)
		if n.Ignored || role == "" {
			continue
		}
		seen[role]++
		if slices.Contains(controls, role) && name == "" && role != "table" {
			t.Errorf("a %s has no name", role)
		}
		live = live || role == "status"
		if role == "image" && !strings.Contains(name, "5 requests and 1 refresh") {
			t.Errorf("the picture is called %q", name)
		}
	}
	if !live || seen["button"] < 15 || seen["image"] != 1 || seen["table"] != 2 || seen["Iframe"] != 5 {
		t.Errorf("there are %v", seen)
	}
	said, err := js[string](l.tab, `document.querySelector("[aria-live=polite]").innerText`)
	if err != nil || !strings.Contains(said, "5 of 5 pages are there, by 1 refresh.") || !strings.Contains(said, "1 refresh token presented, none of them twice.") {
		t.Errorf("a screen reader says %q, %v", said, err)
	}
	focused, err := js[string](l.tab, `document.activeElement.dataset.scene`)
	if err != nil || focused != "tabs" {
		t.Errorf("the focus is on %q, %v", focused, err)
	}
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal([]byte(v.Value), &s) != nil {
		return ""
	}
	return s
}
