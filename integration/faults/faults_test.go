//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	long = flag.Duration("faults.for", 0, "how long faults come and go, with 200 users; if zero, some seconds with 20")
	logs = flag.String("faults.log", "", "where to write what the replicas log; if empty, nowhere")
	seed = flag.Uint64("faults.seed", 1, "what the schedule of faults follows from")
)

// extent is how long a run is, and for how many.
type extent struct {
	users  int
	warm   time.Duration // load without faults, before and after
	storm  time.Duration
	fault  time.Duration // the longest, and the longest time between two
	revoke time.Duration // every so often all access tokens end at once
	// Timeout is that of a presentation. What comes at 1 KB/s comes in that time, and
	// is no answer that was lost.
	timeout time.Duration
	// Within it every session works, from the end of the faults on: the timeout, and
	// as much again for connections that stay silent.
	within time.Duration
}

// extentOf reads the flag, and the variable that means the same.
func extentOf(t *testing.T) extent {
	d := *long
	if v := os.Getenv("REBEARER_TEST_LONG"); v != "" && d == 0 {
		var err error
		if d, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	if d == 0 {
		t.Parallel() // they wait, most of the time
		return extent{users: 20, warm: time.Second, storm: 8 * time.Second, fault: time.Second, revoke: 5 * time.Second, timeout: 10 * time.Second, within: 30 * time.Second}
	}
	return extent{users: 200, warm: 20 * time.Second, storm: d, fault: 6 * time.Second, revoke: 20 * time.Second, timeout: 30 * time.Second, within: time.Minute}
}

// Whatever fails, and however often: nobody is given what is another's, nothing
// is posted twice, nobody has to sign in again, and all works when it is over.
//
// One thing is kept out, since a strict authorization server ends a session for
// it: no answer of it is cut after its effect.
func TestNothingIsLostWhileEverythingFails(t *testing.T) {
	run(t, extentOf(t), true)
}

// As above, with that. What ends a session has to be it, or another thing that
// docs/replicas.md admits.
func TestNothingButWhatIsDocumentedEndsASession(t *testing.T) {
	e := extentOf(t)
	e.storm = min(e.storm, time.Minute)
	run(t, e, false)
}

// run lets the users click while the ways fail, that to the authorization server
// mildly or not; see deckOf.
func run(t *testing.T, e extent, mild bool) {
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t, e, mild)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer w.tabs.Wait()
	defer cancel()
	watching.Go(func() { watchStalls(ctx, w.stalls.add) })
	w.signInAll(ctx)
	w.load(ctx, e.warm)
	w.before = w.held()
	w.clicking.Store(true)
	w.open(ctx)
	w.storm(ctx, e)
	w.as.RevokeAccess() // so that each session has to be renewed
	took := w.recover(ctx, e.within)
	w.clicking.Store(false)
	w.tabs.Wait()
	w.load(ctx, e.warm)
	w.settle()
	w.check()
	w.checkTwice(mild)
	w.report(e, took)
}

func (w *world) signInAll(ctx context.Context) {
	for _, b := range w.browsers {
		b.signIn(ctx)
	}
}

// open gives each user one to three tabs.
func (w *world) open(ctx context.Context) {
	for i, b := range w.browsers {
		for tab := range 1 + i%3 {
			w.tabs.Go(func() { b.tab(ctx, rand.New(rand.NewPCG(*seed, uint64(i*10+tab)))) })
		}
	}
}

// load has the users click for some time while nothing fails.
func (w *world) load(ctx context.Context, d time.Duration) {
	w.clicking.Store(true)
	w.open(ctx)
	pause(ctx, d)
	w.clicking.Store(false)
	w.tabs.Wait()
}

// storm has all ways fail, and now and then every access token at once.
func (w *world) storm(ctx context.Context, e extent) {
	revoking, stop := context.WithCancel(ctx)
	var all, ways sync.WaitGroup
	all.Go(func() {
		for pause(revoking, e.revoke) {
			w.as.RevokeAccess()
		}
	})
	for _, way := range w.ways {
		ways.Go(func() { way.storm(ctx, e.storm, *seed) })
	}
	ways.Wait()
	stop()
	all.Wait()
}

// recover returns how long it takes until every user has a page.
func (w *world) recover(ctx context.Context, within time.Duration) (slowest time.Duration) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, b := range w.browsers {
		all.Go(func() {
			last := b.untilWorks(ctx)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(began))
			if last != "" {
				w.t.Errorf("%s: no page %v after the last fault: %s", b.user, within, last)
			}
		})
	}
	all.Wait()
	return slowest
}

// untilWorks loads pages until one is as it should be, and returns what the last
// one said otherwise.
func (b *browser) untilWorks(ctx context.Context) (last outcome) {
	for {
		b.tabs.RLock()
		session := b.session
		came := b.page(ctx, 3, nil)
		left := b.leaving.Load()
		b.tabs.RUnlock()
		if came == "" {
			return ""
		}
		if ctx.Err() == nil {
			last = came
			ended := strings.HasPrefix(string(came), loggedOut)
			if ended && !left {
				b.world.loseSession(loss{user: b.user, family: session, why: string(came), at: time.Now()})
			}
			if left || ended {
				b.again(ctx, session)
			}
		}
		if !pause(ctx, 200*time.Millisecond) {
			return last
		}
	}
}

// held asks the replicas.
func (w *world) held() []held {
	var all []held
	for _, r := range w.replicas {
		w.clean.CloseIdleConnections()
		resp, err := http.Get("http://" + r.addr + "/figures")
		if err != nil {
			w.t.Fatal(err)
		}
		var h held
		err = json.NewDecoder(resp.Body).Decode(&h)
		resp.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

// settle asks until what the replicas hold is what they held before, or for long
// enough: connections that stay silent are given up one after the other.
func (w *world) settle() {
	for until := time.Now().Add(40 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		w.after = w.held()
		all := true
		for i := range w.after {
			all = all && back(w.before[i], w.after[i])
		}
		if all || time.Now().After(until) {
			return
		}
	}
}

// back reports whether a replica holds what it held before, or little more. Redis's
// client has filled its pool by then.
func back(before, after held) bool {
	pool := 10 * runtime.GOMAXPROCS(0)
	return after.Goroutines <= before.Goroutines+10 && after.Files <= before.Files+10+pool && after.Rest <= before.Rest+3<<20
}

// stacks returns what the goroutines of a replica do.
func (r *replica) stacks() string {
	resp, err := http.Get("http://" + r.addr + "/figures?stacks=1")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return fmt.Sprint(string(text), err)
}
