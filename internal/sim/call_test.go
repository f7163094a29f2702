package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// kind is what a message is about.
type kind string

const (
	load     kind = "load"
	swap     kind = "swap"
	wait     kind = "wait"
	refresh  kind = "refresh"
	revoke   kind = "revoke"
	api      kind = "api"
	response kind = "response"
	think    kind = "think" // a handler takes its time
)

func (k kind) ofStore() bool { return k == load || k == swap || k == wait }

// call is a message on its way, and its answer on the way back. What it does to
// the other side is done when the scheduler says so, and by its goroutine.
type call struct {
	kind    kind
	name    string // the same in each run of the seed
	replica *replica
	to      string      // the state that a swap writes
	renewal bool        // it holds the entry already
	about   *generation // whose refresh token it is about, if that is known
	access  string      // what it is signed with
	again   bool        // its request has signed others with that, too
	effect  func() answer
	ready   func() bool // nil: at once

	presentation *presentation // what became of it
	request      *request      // whose response it is
	n            int           // how many came before it
	by           int           // whose it is
	at           time.Time     // when it was sent
	due          time.Time     // it is not later than this, unless something is wrong
	applied      bool
	answer       answer
	reply        chan answer
	gone         bool // nobody waits for the answer any more
	woken        bool // it has been ready before
	excuse       string
	lossy        bool // what comes of it may be forgotten
}

type answer struct {
	value any
	err   error
}

var (
	errCut   = errors.New("the connection broke")
	errEnded = errors.New("the world has ended")
)

func (c *call) String() string {
	return fmt.Sprintf("#%d %s %s %s", c.n, c.replica.name, c.kind, c.name)
}

// await hands the call to the scheduler and waits for its answer.
func (w *world) await(ctx context.Context, c *call) answer {
	c.reply = make(chan answer, 1)
	if !w.post(c) {
		return answer{err: errEnded}
	}
	select {
	case a := <-c.reply:
		return a
	case <-ctx.Done():
		w.stand(c.replica)
		w.mu.Lock()
		defer w.mu.Unlock()
		c.gone = true
		return answer{err: ctx.Err()}
	case <-w.ended:
		return answer{err: errEnded}
	}
}

// stand keeps a goroutine of a process that stands still from noticing what its
// clock has come to.
func (w *world) stand(r *replica) {
	w.mu.Lock()
	rest := time.Until(r.stalled)
	w.mu.Unlock()
	if rest <= 0 {
		return
	}
	select {
	case <-time.After(rest):
	case <-w.ended:
	}
}

// post hands the scheduler a message that nobody waits for.
func (w *world) post(c *call) bool {
	c.by = goroutine()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.arrived = append(w.arrived, c)
	return true
}

// goroutine returns the number of the one that runs, which tells what was begun before
// what. Of timers that end at one moment, a bubble does not say which comes first.
func goroutine() (n int) {
	var buf [32]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// collect takes in what has arrived since the last step, in an order that does
// not depend on which goroutine was faster.
func (w *world) collect() {
	w.mu.Lock()
	arrived := w.arrived
	w.arrived = nil
	w.mu.Unlock()
	for _, c := range slices.Clone(w.pending) {
		if c.gone {
			w.pending = slices.DeleteFunc(w.pending, func(p *call) bool { return p == c })
			w.abandoned(c)
		}
	}
	slices.SortStableFunc(arrived, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.replica.name, b.replica.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name), cmp.Compare(a.by, b.by))
	})
	for _, c := range arrived {
		w.arrivals++
		c.n = w.arrivals
		c.at = w.now()
		c.due = c.at.Add(w.patience(c))
		w.say("      %v", c)
		w.arrival(c)
		if !c.gone {
			w.pending = append(w.pending, c)
		}
	}
}

// patience is how long a message takes, where nothing is wrong but that the Store
// may be slow.
func (w *world) patience(c *call) time.Duration {
	k := c.kind
	most := map[kind]time.Duration{
		load: lease / 12, swap: lease / 12, wait: lease / 12,
		refresh: 4 * timeout / 5, revoke: timeout / 2, api: 5 * time.Second, response: w.lag, think: 3 * cutTo,
	}[k]
	if k == refresh && w.chance(50) {
		most = time.Second
	}
	if k.ofStore() && w.now().Before(c.replica.slow) {
		most = lease
	}
	if w.calm { // a token that lives for seconds must not end on the way
		most = min(most, 200*time.Millisecond)
	}
	return time.Duration(w.rnd.Int64N(int64(most)))
}

// free reports whether nothing but time keeps the call.
func (w *world) free(c *call) bool { return w.open(c) && (c.ready == nil || c.ready()) }

// open reports whether the way of the call is open.
func (w *world) open(c *call) bool {
	switch r := c.replica; {
	case c.kind == response:
	case r.dead, w.now().Before(r.stalled):
		return false
	case c.kind.ofStore() && w.cut(r):
		return false
	}
	return true
}

// deliver lets the message arrive, and its answer, unless that is to take a
// while of its own.
func (w *world) deliver(c *call) {
	if !c.applied {
		c.applied, c.answer = true, c.effect()
		if c.reply != nil && c.kind != wait && w.chance(25) {
			c.due = w.now().Add(w.patience(c) / 2)
			w.say("%v arrives", c)
			return
		}
	}
	w.say("%v is answered%s", c, outcomeOf(c.answer))
	w.finish(c, c.answer)
}

// finish answers the call.
func (w *world) finish(c *call, a answer) {
	w.pending = slices.DeleteFunc(w.pending, func(p *call) bool { return p == c })
	w.answered(c, a)
	if c.reply != nil {
		c.reply <- a
	}
}

func outcomeOf(a answer) string {
	switch v := a.value.(type) {
	case tokencache.Token:
		if a.err != nil {
			return ": " + a.err.Error()
		}
		return ": " + v.Refresh()
	case swapped:
		return fmt.Sprintf(": ok %v, %s", v.ok, stateOf(v.now.Value))
	case tokencache.Entry:
		return ": " + stateOf(v.Value)
	case string:
		return ": " + v
	}
	if a.err != nil {
		return ": " + a.err.Error()
	}
	return ""
}
