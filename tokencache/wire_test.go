package tokencache_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// together calls f n times at once, and returns when all have returned.
func together(n int, f func(i int)) {
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { f(i) })
	}
	calls.Wait()
}

// wire is what lies between a replica and its Store, and where things go wrong.
type wire struct {
	tokencache.Store

	mu    sync.Mutex
	fault fault
}

// fault is asked before each operation, and again after it. An error stands for
// the operation's, and in the first case the Store is not reached. op is
// "load", "wait", or "swap" with the state that is written, as in "swap held".
type fault func(ctx context.Context, op string, when moment) error

type moment int

const (
	before moment = iota
	behind
)

func newWire(s tokencache.Store) *wire { return &wire{Store: s} }

func (w *wire) on(f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *wire) meet(ctx context.Context, op string, when moment) error {
	w.mu.Lock()
	f := w.fault
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, op, when)
}

func (w *wire) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	if err := w.meet(ctx, "load", before); err != nil {
		return tokencache.Entry{}, err
	}
	e, err := w.Store.Load(ctx, key)
	if err := w.meet(ctx, "load", behind); err != nil {
		return tokencache.Entry{}, err
	}
	return e, err
}

var states = map[byte]string{'b': " born", 'h': " held", 'd': " done", 'r': " received", 'f': " failed", 'o': " over"}

func (w *wire) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	op := "swap"
	if len(value) > 1 {
		op += states[value[1]]
	}
	if err := w.meet(ctx, op, before); err != nil {
		return tokencache.Entry{}, false, err
	}
	e, ok, err := w.Store.Swap(ctx, key, old, value, ttl)
	if err := w.meet(ctx, op, behind); err != nil {
		return tokencache.Entry{}, false, err
	}
	return e, ok, err
}

func (w *wire) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	if err := w.meet(ctx, "wait", before); err != nil {
		return tokencache.Entry{}, err
	}
	return w.Store.Wait(ctx, key, old)
}

var errCut = errors.New("connection refused")

// down is a Store that cannot be reached.
func down(context.Context, string, moment) error { return errCut }

// readOnly is a Store that is full, or a failover's wrong end.
func readOnly(_ context.Context, op string, when moment) error {
	if when == before && op != "load" && op != "wait" {
		return errCut
	}
	return nil
}

// mute does as it is told, but the answers get lost.
func mute(_ context.Context, op string, when moment) error {
	if when == behind && op != "load" {
		return errCut
	}
	return nil
}

// hung is a Store that does not answer.
func hung(ctx context.Context, _ string, _ moment) error {
	<-ctx.Done()
	return ctx.Err()
}

// slow is a Store whose answers take d. Waiting costs nothing beside.
func slow(d time.Duration) fault {
	return func(ctx context.Context, op string, when moment) error {
		if when == before || op == "wait" {
			return nil
		}
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// during applies f to one operation only.
func during(op string, f fault) fault {
	return func(ctx context.Context, now string, when moment) error {
		if now != op {
			return nil
		}
		return f(ctx, now, when)
	}
}

// nth applies f from the nth occurrence on, counted before it happens.
func nth(n int, f fault) fault {
	var mu sync.Mutex
	seen := 0
	return func(ctx context.Context, op string, when moment) error {
		mu.Lock()
		if when == before {
			seen++
		}
		now := seen
		mu.Unlock()
		if now < n {
			return nil
		}
		return f(ctx, op, when)
	}
}
