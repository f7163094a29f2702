//go:build unix

package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(variable) != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

// n requests are a storm that is over soon.
const n = 50

// small is a plan that every machine can carry out in time.
var small = plan{rounds: 1, losers: 1, node: 1, refresh: 20 * time.Millisecond, patience: time.Minute, waiters: n}

func start(t *testing.T) *servers {
	t.Helper()
	s, err := startServers()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	return s
}

func named(t *testing.T, name string) contender {
	t.Helper()
	for _, c := range contenders {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("there is no contender %q", name)
	return contender{}
}

// together has the API hold its 401s until all requests are there that meet one,
// where they come at the same time: what is counted then depends on no clock.
func together(shape string) rule {
	r := rule{Refresh: small.refresh}
	if shape == "at once" {
		r.Gather = n
	}
	return r
}

func play(t *testing.T, s *servers, r runner, shape string) outcome {
	t.Helper()
	o, err := s.round(small, r, together(shape), shape, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s: %s", r.name, shape, o)
	return o
}

// wantWhole checks a storm that nobody was hurt in.
func wantWhole(t *testing.T, o outcome) {
	t.Helper()
	if o.Presentations != 1 || o.Refused != 0 || !o.Alive {
		t.Errorf("%d presentations, %d refused, the session lives: %t", o.Presentations, o.Refused, o.Alive)
	}
	if o.Failed+o.Left != 0 || o.Good != n || o.Other != 0 {
		t.Errorf("%d failed (%s), %d of %d calls were good, %d met a 401 with a new token", o.Failed+o.Left, o.why, o.Good, n, o.Other)
	}
}

func TestRebearerPresentsOnceAndNobodyFails(t *testing.T) {
	s := start(t)
	for _, name := range []string{"rebearer", "rebearer, a page per request"} {
		for shape, old := range map[string]struct{ least, most int }{
			"at once":      {n, n},
			"spread":       {1, n},
			"late":         {1, n},
			"known expiry": {0, 0},
		} {
			t.Run(name+", "+shape, func(t *testing.T) {
				o := play(t, s, named(t, name).runner(), shape)
				wantWhole(t, o)
				if o.Old < old.least || o.Old > old.most {
					t.Errorf("%d calls met a 401, want %d to %d", o.Old, old.least, old.most)
				}
			})
		}
	}
}

func TestTheFloorDoesItsPartsAndTheOracleOneLess(t *testing.T) {
	s := start(t)
	for _, r := range (plan{}).runners()[:2] {
		for shape := range shapeOf {
			if !r.joins(shape, n, 0) {
				continue
			}
			t.Run(r.name+", "+shape, func(t *testing.T) {
				rules := together(shape)
				if r.name == oracleName {
					rules.Gather = 0
				}
				o, err := s.round(small, r, rules, shape, n)
				if err != nil {
					t.Fatal(err)
				}
				wantWhole(t, o)
				if want := map[string]int{floorName: n, oracleName: 0}[r.name]; o.Old != want {
					t.Errorf("%d calls met a 401, want %d", o.Old, want)
				}
			})
		}
	}
}

// What is said of the others is what cannot come out otherwise.
func TestTheOthersDoAsTheTableSays(t *testing.T) {
	s := start(t)
	whole := func(t *testing.T, o outcome) {
		if o.Presentations < 1 || o.Failed != 0 || o.Good != n || o.Old != n {
			t.Error("somebody failed")
		}
	}
	once := func(t *testing.T, o outcome) { wantWhole(t, o) }
	each := func(t *testing.T, o outcome) {
		if o.Presentations < n || o.Failed < n-1 || o.Alive {
			t.Error("somebody shared the exchange")
		}
	}
	passedOn := func(t *testing.T, o outcome) {
		if o.Presentations != 0 || o.Failed != n || o.calls() != n {
			t.Error("something was done about a 401")
		}
	}
	secondHalf := func(t *testing.T, o outcome) {
		if o.Presentations < 2 || o.Failed != n/2 || o.Alive {
			t.Error("old cookies did no harm")
		}
	}
	for _, row := range []struct {
		name, shape string
		check       func(*testing.T, outcome)
	}{
		{"singleflight alone", "at once", whole},
		{"singleflight alone", "late", secondHalf},
		{"lock and compare", "at once", once},
		{"lock and compare", "late", secondHalf},
		{"the memo's way", "at once", each},
		{"azcore", "at once", whole},
		{"azcore", "late", secondHalf},
		{"resty v2, hook", "at once", each},
		{"resty v2, hook with lock", "at once", once},
		{"resty v3, hook", "at once", each},
		{"resty v3, hook with lock", "at once", once},
		{"retryablehttp, hook", "at once", each},
		{"retryablehttp, hook with lock", "at once", once},
		{"client-go", "at once", passedOn},
		{"x/oauth2", "at once", passedOn},
		{"x/oauth2", "known expiry", once},
		{"azcore", "known expiry", once},
		{"client-go", "known expiry", once},
	} {
		t.Run(row.name+", "+row.shape, func(t *testing.T) {
			row.check(t, play(t, s, named(t, row.name).runner(), row.shape))
		})
	}
}

func TestNodeHasItsFloorsAndItsOutcomes(t *testing.T) {
	node, err := startNode()
	if err != nil && os.Getenv("REBEARER_TEST_REQUIRE") == "all" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("the contenders in Node take no part: ", err)
	}
	t.Cleanup(node.end)
	s := start(t)
	for _, r := range node.runners(small) {
		t.Run(r.name, func(t *testing.T) {
			switch o := play(t, s, r, "at once"); r.name {
			case "axios floor", "fetch floor":
				wantWhole(t, o)
			case "axios, the memo's interceptor", "ky, hook":
				if o.Presentations < n || o.Failed < n-1 || o.Alive {
					t.Error("somebody shared the exchange")
				}
			default:
				if o.Presentations < 1 || o.Left != 0 || o.Good+o.Failed != n {
					t.Error("a caller was lost")
				}
			}
		})
	}
}

func TestARefreshAheadBlocksNobody(t *testing.T) {
	s := start(t)
	for name, blocked := range map[string]int{"rebearer": 0, "rebearer, a page per request": 0, "x/oauth2": n} {
		t.Run(name, func(t *testing.T) {
			r, err := s.measureAhead(small, named(t, name), n)
			if err != nil {
				t.Fatal(err)
			}
			if r.Blocked != blocked || r.Presentations != 1 || r.Failed != 0 {
				t.Errorf("%d were blocked, want %d; %d presentations, %d failed", r.Blocked, blocked, r.Presentations, r.Failed)
			}
		})
	}
}

func TestADeadSessionIsPresentedOnceAndAllAreTold(t *testing.T) {
	s := start(t)
	p := small
	p.only = []string{"rebearer"}
	r, once, err := measureDead(io.Discard, s, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.all) != 4 {
		t.Errorf("%d settings were measured", len(r.all))
	}
	for of, outcomes := range r.all {
		if o := outcomes[0]; o.Presentations != 1 || o.Failed != n || o.Told != n {
			t.Errorf("%+v: %s", of, o)
		}
	}
	if text := deadTable(r, once); strings.Count(text, "\n") != 8 {
		t.Errorf("the table is\n%s", text)
	}
}

// A caller may allocate maxAllocated bytes from its request to its answer, and hold
// maxHeld of them while it waits. Its stack, of up to 8 KiB, is beside that.
const maxAllocated, maxHeld = 10 << 10, 3 << 10

func TestAWaitingRequestCostsLittle(t *testing.T) {
	for _, name := range []string{"rebearer", "rebearer, a page per request"} {
		t.Run(name, func(t *testing.T) {
			if _, err := measureCost(named(t, name), n, nil); err != nil {
				t.Fatal(err)
			}
			const callers = 1000
			r, err := measureCost(named(t, name), callers, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", costTable([]cost{r}))
			if r.Presentations != 1 || r.Failed != 0 || r.calls() != 2*callers {
				t.Errorf("%d presentations, %d failed, %d calls", r.Presentations, r.Failed, r.calls())
			}
			if r.Waiting > callers+4 || r.Goroutines > callers+4 {
				t.Errorf("%d callers have %d goroutines while they wait, and %d at most", callers, r.Waiting, r.Goroutines)
			}
			if !underRace && (r.Allocated > maxAllocated || r.Held > maxHeld) {
				t.Errorf("a caller allocates %.0f bytes and holds %.0f, want at most %d and %d", r.Allocated, r.Held, maxAllocated, maxHeld)
			}
		})
	}
}

func TestTheReportHasWhatIsAskedFor(t *testing.T) {
	p := small
	p.sizes, p.shapes, p.only, p.node, p.parts, p.plots = []int{n}, []string{"at once", "late"}, []string{"rebearer"}, 0, "storm", t.TempDir()
	out := &strings.Builder{}
	if err := report(out, p); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n| 50 "); lines != 6 {
		t.Errorf("%d rows in\n%s", lines, out)
	}
	for _, name := range []string{"storm-presentations.svg", "storm-wall.svg"} {
		if text, err := os.ReadFile(p.plots + "/" + name); err != nil || !strings.Contains(string(text), "rebearer, a page per request") {
			t.Errorf("%s: %v, %d bytes", name, err, len(text))
		}
	}
}
