package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/leak"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/storetest"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokencache.Store { return &tokencache.MemoryStore{} })
}

// broken are Stores with one fault each, and the sentences that each must fail.
var broken = map[string]struct {
	make  func() tokencache.Store
	fails []string
}{
	"hasty": { // looks and writes in two steps
		func() tokencache.Store { return &hasty{Store: &tokencache.MemoryStore{}} },
		[]string{"of_concurrent_swaps_one_wins"},
	},
	"patient": { // does not leave with its context, but later
		func() tokencache.Store { return patient{&tokencache.MemoryStore{}} },
		[]string{"Wait_ends_with_its_context"},
	},
	"careless": { // does not compare
		func() tokencache.Store { return careless{&tokencache.MemoryStore{}} },
		[]string{"a_swap_from_another_version_changes_nothing", "of_concurrent_swaps_one_wins"},
	},
	"deaf": { // hears of no change, and gives up
		func() tokencache.Store { return deaf{&tokencache.MemoryStore{}} },
		[]string{
			"Wait_wakes_when_the_entry_changes", "Wait_wakes_when_the_entry_appears", "Wait_wakes_when_the_entry_is_deleted",
			"Wait_wakes_when_the_entry_expires", "Wait_wakes_everybody",
		},
	},
	"immortal": { // forgets the time to live
		func() tokencache.Store { return immortal{&tokencache.MemoryStore{}} },
		[]string{"an_entry_ends_with_its_time_to_live", "a_swap_gives_it_a_new_one"},
	},
	"repeating": { // makes the version of the value
		func() tokencache.Store { return &repeating{} },
		[]string{"a_version_never_comes_back"},
	},
	"shared": { // keeps the caller's slice
		func() tokencache.Store { return &shared{m: map[string]tokencache.Entry{}} },
		[]string{"values_are_copied"},
	},
}

const variable = "STORETEST_BROKEN"

// The suite is run over each of them in a process of its own, since its
// failures are a test's failures.
func TestABrokenStoreFails(t *testing.T) {
	if name := os.Getenv(variable); name != "" {
		storetest.Run(t, func(*testing.T) tokencache.Store { return broken[name].make() })
		return
	}
	for name, store := range broken {
		t.Run(name, func(t *testing.T) { mustFail(t, "TestABrokenStoreFails", name, store.fails) })
	}
}

func mustFail(t *testing.T, test, name string, sentences []string) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$/^("+strings.Join(sentences, "|")+")$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), variable+"="+name)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it passes:\n%s", out)
	}
	for _, sentence := range sentences {
		if !bytes.Contains(out, []byte("--- FAIL: "+test+"/"+sentence+" ")) {
			t.Errorf("%s is not noticed:\n%s", strings.ReplaceAll(sentence, "_", " "), out)
		}
	}
}

type hasty struct {
	tokencache.Store
}

func (s *hasty) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	now, err := s.Load(ctx, key)
	if err != nil || now.Version != old {
		return now, false, err
	}
	time.Sleep(time.Millisecond)
	return careless{s.Store}.Swap(ctx, key, old, value, ttl)
}

type careless struct{ tokencache.Store }

func (s careless) Swap(ctx context.Context, key, _ string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	for {
		now, err := s.Load(ctx, key)
		if err != nil {
			return now, false, err
		}
		if now, ok, err := s.Store.Swap(ctx, key, now.Version, value, ttl); ok || err != nil {
			return now, ok, err
		}
	}
}

type deaf struct{ tokencache.Store }

func (s deaf) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	if e, err := s.Load(ctx, key); err != nil || e.Version != old {
		return e, err
	}
	select {
	case <-ctx.Done():
		return tokencache.Entry{}, ctx.Err()
	case <-time.After(300 * time.Millisecond):
		return tokencache.Entry{}, errors.New("heard nothing")
	}
}

type patient struct{ tokencache.Store }

func (s patient) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	e, _ := s.Store.Wait(ctx, key, old)
	return e, nil
}

type immortal struct{ tokencache.Store }

func (s immortal) Swap(ctx context.Context, key, old string, value []byte, _ time.Duration) (tokencache.Entry, bool, error) {
	return s.Store.Swap(ctx, key, old, value, time.Hour)
}

type repeating struct {
	tokencache.MemoryStore
	mu sync.Mutex
}

func (s *repeating) rename(e tokencache.Entry) tokencache.Entry {
	if e.Version != "" {
		e.Version = "v" + string(e.Value)
	}
	return e
}

func (s *repeating) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	e, err := s.MemoryStore.Load(ctx, key)
	return s.rename(e), err
}

func (s *repeating) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.MemoryStore.Load(ctx, key)
	if err != nil || s.rename(e).Version != old {
		return s.rename(e), false, err
	}
	e, ok, err := s.MemoryStore.Swap(ctx, key, e.Version, value, ttl)
	return s.rename(e), ok, err
}

// shared is a map, and no more than that.
type shared struct {
	mu sync.Mutex
	m  map[string]tokencache.Entry
	n  int
}

func (s *shared) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], ctx.Err()
}

func (s *shared) Swap(ctx context.Context, key, old string, value []byte, _ time.Duration) (tokencache.Entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.m[key]; now.Version != old || ctx.Err() != nil {
		return now, false, ctx.Err()
	}
	s.n++
	s.m[key] = tokencache.Entry{Value: value, Version: strings.Repeat("i", s.n)}
	if value == nil {
		delete(s.m, key)
	}
	return s.m[key], true, nil
}

func (s *shared) Wait(ctx context.Context, key, _ string) (tokencache.Entry, error) {
	time.Sleep(time.Millisecond)
	return s.Load(ctx, key)
}
