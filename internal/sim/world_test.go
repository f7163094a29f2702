package sim_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/middleware"
)

// world is one schedule of one seed.
type world struct {
	seed  uint64
	rnd   *rand.Rand
	skip  map[int]bool // faults that do not happen, by their number
	quiet bool         // nothing is written down

	// Drawn at the beginning.
	server    *server
	several   bool          // there are two APIs, each with access tokens of its own
	opaque    bool          // access tokens are no JWTs
	scoped    bool          // browsers show the refresh token to scope only
	store     *shelf        // nil: one replica, and its memory
	grace     time.Duration // of the server
	life      time.Duration // of access tokens
	skew      time.Duration // how far the server's clock is ahead
	lag       time.Duration // of responses
	relative  bool          // its answers say how long a token lives, and not until when
	clocks    bool          // those of the replicas differ
	alone     bool          // AloneWhenStoreFails
	siege     bool          // few requests, all at once, and faults at what becomes of them
	hasty     bool          // much happens within a second, and most of it is that the API rejects what it has accepted
	hold      time.Duration // 0: longer than this lasts
	redirects middleware.Mode
	replicas  []*replica
	browsers  []*browser
	left      int // requests that the tabs will still begin by themselves
	budget    int // of faults

	mu      sync.Mutex
	arrived []*call
	labels  map[string]*generation // by the id of the entry
	notes   []note
	over    bool
	ended   chan struct{}

	pending      []*call
	live         []*request
	next         []func() // what follows from answers
	failures     []string
	trace        []string
	happened     []string // the faults
	numbers      []int    // theirs
	steps        int
	arrivals     int
	requests     int
	started      int
	faults       int
	wrong        time.Duration // how long something was
	calm         bool          // no faults any more, and nothing new
	full         time.Time     // the Store takes no writes until then
	rejected     bool          // the API has not accepted a token that it should
	emptied      bool          // the Store has lost something
	presents     int
	counts       map[string]int
	calls        map[string]int       // of the API, by name
	unauthorized map[string]time.Time // when the API's 401 arrived, by name of the call
}

// result is what became of a schedule.
type result struct {
	failures, trace, faults []string
	numbers                 []int // of the faults
	steps, presentations    int
	counts                  map[string]int
}

// simulate runs the schedule of a seed.
func simulate(t *testing.T, seed uint64, skip map[int]bool, quiet bool) (res result) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, skip, quiet)
		before := runtime.NumGoroutine()
		w.run()
		w.settle()
		w.close(before)
		res = result{w.failures, w.trace, w.happened, w.numbers, w.steps, w.presents, w.counts}
	})
	return res
}

func newWorld(seed uint64, skip map[int]bool, quiet bool) *world {
	w := &world{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 7)), skip: skip, quiet: quiet, labels: map[string]*generation{},
		ended: make(chan struct{}), counts: map[string]int{}, calls: map[string]int{}, unauthorized: map[string]time.Time{},
	}
	w.server = &server{w: w, mode: pick(w, strict, strict, graceful, plain, lasting), byToken: map[string]*generation{}, byAccess: map[string]*generation{}}
	w.several = w.server.mode != lasting && w.chance(25)
	w.opaque, w.scoped = w.chance(20), w.chance(20)
	w.grace = pick(w, time.Second, 30*time.Second)
	w.life = pick(w, 8*time.Second, 20*time.Second, time.Minute, time.Hour)
	w.skew = pick(w, 0, 0, 10*time.Second, -10*time.Second)
	if w.life < 10*time.Second {
		w.skew = max(w.skew, 0) // else they are dead on arrival
	}
	w.lag = pick(w, time.Second, 20*time.Second)
	w.relative = w.chance(50)
	w.redirects = pick(w, middleware.Inline, middleware.Inline, middleware.Redirect)
	w.left = 6 + w.rnd.IntN(40)
	w.budget = pick(w, 0, 1, 2, 2, 3, 5)
	places := pick(w, 0, 1, 2, 2, 3)
	w.replicas = make([]*replica, max(1, places))
	if places > 0 {
		w.store = &shelf{w: w, entries: map[string]*entry{}}
		w.manners()
	}
	if w.hasty = seed%8 == 4; w.hasty {
		w.siege, w.life, w.left = false, time.Hour, 40
	}
	for i := range w.replicas {
		w.start(i)
	}
	users := pick(w, 1, 1, 2)
	if w.siege {
		users = 1
	}
	for i := range users {
		b := &browser{w: w, name: fmt.Sprintf("b%d", i+1), user: []string{"alice", "bob"}[i]}
		g := w.server.signIn(b.user)
		b.access, b.refresh = g.access, g.refresh
		w.browsers = append(w.browsers, b)
	}
	w.say("seed %d: %v server, grace %v, life %v, skew %v, lag %v, redirects %d, %d replicas, store %v, two APIs %v, opaque %v, scoped %v, clocks %v, alone %v, siege %v, hasty %v, hold %v, %d browsers, %d requests, %d faults",
		seed, w.server.mode, w.grace, w.life, w.skew, w.lag, w.redirects, len(w.replicas), w.store != nil, w.several, w.opaque, w.scoped, w.clocks, w.alone, w.siege, w.hasty, w.hold, len(w.browsers), w.left, w.budget)
	return w
}

// manners are what some worlds with a Store have.
func (w *world) manners() {
	w.clocks, w.alone = w.chance(25), w.chance(6)
	w.hold = pick(w, 0, 0, 0, 0, 0, 90*time.Second)
	if w.siege = len(w.replicas) > 1 && w.chance(30); w.siege {
		w.left = 4 + w.rnd.IntN(12)
		w.budget = 2 + w.rnd.IntN(4)
	}
}

func pick[T any](w *world, from ...T) T { return from[w.rnd.IntN(len(from))] }

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func (w *world) now() time.Time { return time.Now() }

// began is when every bubble begins.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) say(format string, args ...any) {
	if w.quiet {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("%4d %9.3fs ", w.steps, time.Since(began).Seconds())+fmt.Sprintf(format, args...))
}

// fail notes that a promise was broken.
func (w *world) fail(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) < 20 {
		w.failures = append(w.failures, fmt.Sprintf("step %d: %s", w.steps, what))
	}
	w.trace = append(w.trace, "     !!! "+what)
}

// lull runs the world, without faults, until nothing is on its way any more.
func (w *world) lull() {
	w.calm = true
	for range 5000 {
		w.tick()
		if len(w.pending) == 0 && len(w.live) == 0 && len(w.next) == 0 {
			return
		}
		w.act()
	}
	var stuck []string
	for _, c := range w.pending {
		stuck = append(stuck, c.String())
	}
	for _, q := range w.live {
		stuck = append(stuck, q.name)
	}
	w.fail("it does not end: %s", strings.Join(stuck, ", "))
}

// settle ends the faults, and looks whether every jar works, at the second
// request.
func (w *world) settle() {
	w.heal()
	w.lull()
	w.sleep(20*time.Second + time.Duration(w.rnd.Int64N(int64(20*time.Second))))
	for _, b := range w.browsers {
		b.last()
	}
	w.lull()
	w.sleep(time.Duration(w.rnd.Int64N(int64(5 * time.Second))))
	for _, b := range w.browsers {
		q := b.comesBack()
		if (w.opaque || w.hasty) && w.server.mode == lasting && q.status == http.StatusUnauthorized {
			w.counts["limit: two replicas have access tokens that work no more, nobody can tell which is newer, and each serves its own"]++
			q = b.comesBack()
		}
		w.works(q)
	}
}

// last is a request from whose answer nothing follows.
func (b *browser) last() *request {
	return b.ask(pick(b.w, b.w.replicas...), "/page", func(q *request, h http.Header) {
		q.page, q.last = true, true
		h.Set("Sim-Calls", "x")
	})
}

// comesBack opens a page, and does what that says: a redirect to itself, or what the
// script of the boundary does, which gives up at the third time.
func (b *browser) comesBack() *request {
	for range 2 {
		q := b.last()
		b.w.lull()
		switch {
		case q.status == http.StatusUnauthorized && q.spent != "" && b.w.scoped:
			b.ask(pick(b.w, b.w.replicas...), "/auth/refresh", func(next *request, h http.Header) {
				next.last = true
				h.Set("Rebearer-Spent", q.spent)
			})
			b.w.lull()
		case q.status != http.StatusTemporaryRedirect:
			return q
		}
	}
	q := b.last()
	b.w.lull()
	return q
}

// sleep lets time pass in which things may still happen.
func (w *world) sleep(d time.Duration) {
	for end := w.now().Add(d); w.now().Before(end); {
		w.tick()
		if len(w.pending) > 0 {
			w.act()
			continue
		}
		w.pass(end.Sub(w.now()))
	}
}

// close ends the world, and looks for what is left of it.
func (w *world) close(before int) {
	w.tick()
	for _, r := range w.replicas {
		if err := r.idle(); err != nil {
			w.fail("%s is not idle: %v", r.name, err)
		}
	}
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	close(w.ended)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<16)
		w.fail("%d goroutines are left: %s", n-before, buf[:runtime.Stack(buf, true)])
	}
}

func (w *world) remove(q *request) {
	w.live = slices.DeleteFunc(w.live, func(l *request) bool { return l == q })
}
