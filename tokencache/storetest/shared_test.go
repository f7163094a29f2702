package storetest_test

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/storetest"
)

var errAway = errors.New("connection refused")

// node is a Store on a server that can be cut off.
type node struct {
	tokencache.Store
	away *atomic.Bool
}

func (n node) err() error {
	if n.away.Load() {
		return errAway
	}
	return nil
}

func (n node) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	if err := n.err(); err != nil {
		return tokencache.Entry{}, err
	}
	return n.Store.Load(ctx, key)
}

func (n node) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	if err := n.err(); err != nil {
		return tokencache.Entry{}, false, err
	}
	return n.Store.Swap(ctx, key, old, value, ttl)
}

// server makes nodes of one MemoryStore.
func server(wrap func(tokencache.Store, *atomic.Bool) tokencache.Store) storetest.Server {
	memory, away := &tokencache.MemoryStore{}, new(atomic.Bool)
	return storetest.Server{
		Open: func(*testing.T) tokencache.Store { return wrap(memory, away) },
		Cut:  func() { away.Store(true) },
		Heal: func() { away.Store(false) },
	}
}

func TestASharedMemoryStore(t *testing.T) {
	storetest.RunShared(t, server(func(s tokencache.Store, away *atomic.Bool) tokencache.Store { return node{s, away} }))
}

var brokenServers = map[string]struct {
	wrap  func(tokencache.Store, *atomic.Bool) tokencache.Store
	fails []string
}{
	"separate": { // shares nothing
		func(tokencache.Store, *atomic.Bool) tokencache.Store { return &tokencache.MemoryStore{} },
		[]string{"one_reads_what_the_other_has_written"},
	},
	"hasty": { // looks and writes in two steps
		func(s tokencache.Store, _ *atomic.Bool) tokencache.Store { return &hasty{Store: s} },
		[]string{"of_concurrent_swaps_by_both_one_wins"},
	},
	"drowsy": { // reads now and then, instead of being told
		func(s tokencache.Store, _ *atomic.Bool) tokencache.Store { return drowsy{s} },
		[]string{"Wait_wakes_soon,_and_not_by_chance"},
	},
	"hopeful": { // takes what it cannot read for absent
		func(s tokencache.Store, away *atomic.Bool) tokencache.Store { return hopeful{node{s, away}} },
		[]string{"what_cannot_be_read_is_an_error_and_not_absent", "a_swap_that_cannot_be_made_is_an_error_and_not_lost_to_somebody"},
	},
	"lagging": { // reads from a replica
		func(s tokencache.Store, _ *atomic.Bool) tokencache.Store { return &lagging{Store: s} },
		[]string{"one_reads_what_the_other_has_written", "Wait_returns_nothing_older_than_what_it_was_given"},
	},
}

func TestABrokenServerFails(t *testing.T) {
	if name := os.Getenv(variable); name != "" {
		storetest.RunShared(t, server(brokenServers[name].wrap))
		return
	}
	for name, s := range brokenServers {
		t.Run(name, func(t *testing.T) { mustFail(t, "TestABrokenServerFails", name, s.fails) })
	}
}

type drowsy struct{ tokencache.Store }

func (d drowsy) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	select {
	case <-time.After(300 * time.Millisecond):
		return d.Load(ctx, key)
	case <-ctx.Done():
		return tokencache.Entry{}, ctx.Err()
	}
}

type hopeful struct{ node }

func (h hopeful) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	e, err := h.node.Load(ctx, key)
	if err == errAway {
		err = nil
	}
	return e, err
}

func (h hopeful) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	e, ok, err := h.node.Swap(ctx, key, old, value, ttl)
	if err == errAway {
		err = nil
	}
	return e, ok, err
}

// lagging answers a Load with what there was at the one before.
type lagging struct {
	tokencache.Store
	was tokencache.Entry
}

func (l *lagging) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	e, err := l.Store.Load(ctx, key)
	e, l.was = l.was, e
	return e, err
}
