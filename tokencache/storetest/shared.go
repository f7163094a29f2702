package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// Server is where Stores of several processes keep what they share.
type Server struct {
	// Open returns one more Store on the server, as another process would have
	// it.
	Open func(t *testing.T) tokencache.Store
	// Cut makes the server unreachable, and Heal reachable again. It has to
	// keep what it holds. If Cut is nil, what they show is not tested.
	Cut, Heal func()
}

// RunShared proves a Store that several processes share, beside [Run].
func RunShared(t *testing.T, server Server) {
	for _, c := range []struct {
		sentence string
		test     func(a, b *store)
		cuts     bool
	}{
		{"one reads what the other has written", readsOther, false},
		{"of concurrent swaps by both one wins", racesOther, false},
		{"Wait wakes when the other changes the entry", wakesOther, false},
		{"Wait wakes soon, and not by chance", wakesSoon, false},
		{"each of many waiters gets the entry of its key", noCrosstalk, false},
		{"Wait returns nothing older than what it was given", neverOlder, false},
		{"what cannot be read is an error and not absent", notAbsent, true},
		{"a swap that cannot be made is an error and not lost to somebody", notLost, true},
		{"Wait outlives an outage", outlives, true},
	} {
		if c.cuts && server.Cut == nil {
			continue
		}
		t.Run(c.sentence, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6*soon)
			defer cancel()
			one := func(s tokencache.Store) *store {
				return &store{T: t, Store: s, ctx: ctx, server: server}
			}
			a, b := one(server.Open(t)), one(server.Open(t))
			a.key = "storetest-" + rand.Text()
			b.key = a.key
			if c.cuts {
				defer server.Heal()
			}
			c.test(a, b)
		})
	}
}

func readsOther(a, b *store) {
	one := a.must("", "one", long)
	b.holds("one", one.Version)
	two := b.must(one.Version, "two", long)
	a.holds("two", two.Version)
	if now, ok := a.swap(one.Version, "three", long); ok || now.Version != two.Version {
		a.Errorf("a swap from a version that the other has replaced returned %v, version %q", ok, now.Version)
	}
	a.delete(two.Version)
	b.holds("", "")
}

func racesOther(a, b *store) {
	version := ""
	for round := range 20 {
		var won atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				s := []*store{a, b}[i%2]
				if _, ok := s.swap(version, strconv.Itoa(i), long); ok {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			a.Fatalf("round %d: %d won", round, won.Load())
		}
		version = b.load(b.key).Version
		a.holds(string(b.load(b.key).Value), version)
	}
}

func wakesOther(a, b *store) {
	one := a.must("", "one", long)
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		time.Sleep(short)
		b.must(one.Version, "two", long)
	})
	if e, err := a.wait(one.Version); err != nil || string(e.Value) != "two" {
		a.Errorf("Wait returned %q, %v", e.Value, err)
	}
}

// wakesSoon takes the median, since the machine may be busy once.
func wakesSoon(a, b *store) {
	const rounds = 21
	version, prompt := a.must("", "0", long).Version, 0
	for range rounds {
		woken := make(chan time.Time, 1)
		go func() {
			a.wait(version)
			woken <- time.Now()
		}()
		time.Sleep(10 * time.Millisecond)
		now := b.must(version, "next", long)
		written := time.Now()
		if (<-woken).Sub(written) < short {
			prompt++
		}
		version = now.Version
	}
	if prompt <= rounds/2 {
		a.Errorf("%d of %d were told within %v", prompt, rounds, short)
	}
}

func noCrosstalk(a, b *store) {
	var waiters, writers sync.WaitGroup
	for i := range 50 {
		mine := *a
		mine.key = a.key + "-" + strconv.Itoa(i)
		one := mine.must("", "before", long)
		waiters.Go(func() {
			if e, err := mine.wait(one.Version); err != nil || string(e.Value) != mine.key {
				a.Errorf("who waits for %q got %q, %v", mine.key, e.Value, err)
			}
		})
		writers.Go(func() {
			other := *b
			other.key = mine.key
			other.must(one.Version, other.key, long)
		})
	}
	writers.Wait()
	waiters.Wait()
}

// neverOlder follows a counter that the other counts up.
func neverOlder(a, b *store) {
	const last = 100
	now := b.must("", "0", long)
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		version := now.Version
		for n := 1; n <= last; n++ {
			version = b.must(version, strconv.Itoa(n), long).Version
		}
	})
	for seen := 0; seen < last; {
		e, err := a.wait(now.Version)
		if err != nil {
			a.Fatalf("Wait after %d: %v", seen, err)
		}
		n, _ := strconv.Atoi(string(e.Value))
		if n < seen {
			a.Fatalf("%d came after %d", n, seen)
		}
		// A look must show nothing older, either.
		if e = a.load(a.key); string(e.Value) == "" {
			a.Fatal("the entry is gone")
		}
		if seen, _ = strconv.Atoi(string(e.Value)); seen < n {
			a.Fatalf("Load returned %d after Wait %d", seen, n)
		}
		now = e
	}
}

// away is how long an operation is given while the server cannot be reached.
const away = 10 * short

func notAbsent(a, b *store) {
	one := b.must("", "one", long)
	a.holds("one", one.Version)
	a.server.Cut()
	ctx, cancel := context.WithTimeout(a.ctx, away)
	defer cancel()
	began := time.Now()
	if e, err := a.Load(ctx, a.key); err == nil {
		a.Errorf("Load returned %q in version %q", e.Value, e.Version)
	}
	if took := time.Since(began); took > soon {
		a.Errorf("Load took %v", took)
	}
	a.server.Heal()
	if now := a.recovers(); now.Version != one.Version {
		a.Errorf("after the outage: %q in version %q", now.Value, now.Version)
	}
}

func notLost(a, b *store) {
	one := b.must("", "one", long)
	a.holds("one", one.Version)
	a.server.Cut()
	ctx, cancel := context.WithTimeout(a.ctx, away)
	defer cancel()
	began := time.Now()
	if now, ok, err := a.Swap(ctx, a.key, one.Version, []byte("two"), long); err == nil {
		a.Errorf("Swap returned %v, version %q", ok, now.Version)
	}
	if took := time.Since(began); took > soon {
		a.Errorf("Swap took %v", took)
	}
	a.server.Heal()
	// The outcome is unknown: it may yet be made.
	if now := a.recovers(); now.Version != one.Version && string(now.Value) != "two" {
		a.Errorf("after the outage: %q in version %q", now.Value, now.Version)
	}
}

// recovers returns what is there once the Store has found its server again.
func (s *store) recovers() tokencache.Entry {
	s.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(short / 10) {
		e, err := s.Load(s.ctx, s.key)
		if err == nil {
			return e
		}
		if time.Now().After(end) {
			s.Fatalf("after the outage: %v", err)
		}
	}
}

func outlives(a, b *store) {
	one := b.must("", "one", long)
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		time.Sleep(short)
		a.server.Cut()
		time.Sleep(3 * short)
		a.server.Heal()
		b.recovers()
		b.must(one.Version, "two", long)
	})
	ctx, cancel := context.WithTimeout(a.ctx, 2*soon)
	defer cancel()
	for {
		e, err := a.Wait(ctx, a.key, one.Version)
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			time.Sleep(short / 10) // it may say that it cannot
		case err != nil:
			a.Fatalf("Wait: %v", err)
		case e.Version == one.Version: // it may return early
		case string(e.Value) != "two":
			a.Fatalf("Wait returned %q in version %q", e.Value, e.Version)
		default:
			return
		}
	}
}
