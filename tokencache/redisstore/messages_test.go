//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/redisd"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/redisstore"
	"github.com/redis/go-redis/v9"
)

// told is what a Wait returned.
type told struct {
	tokencache.Entry
	err  error
	took time.Duration // since the change was made
}

// changed waits through a for the change that b makes.
func changed(t *testing.T, a, b *redisstore.Store, key string) told {
	t.Helper()
	one, _, err := b.Swap(t.Context(), key, "", []byte("one"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	woken, waiting := make(chan told, 1), make(chan struct{})
	go func() {
		close(waiting)
		e, err := a.Wait(ctx, key, one.Version)
		woken <- told{e, err, time.Duration(time.Now().UnixNano())}
	}()
	<-waiting
	two, ok, err := b.Swap(t.Context(), key, one.Version, []byte("two"), time.Minute)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	written := time.Now().UnixNano()
	w := <-woken
	w.took -= time.Duration(written)
	if w.err != nil || w.Version != two.Version || string(w.Value) != "two" {
		t.Fatalf("Wait returned %q in version %q, %v", w.Value, w.Version, w.err)
	}
	return w
}

// listens returns once the Store waits for messages, rather than reading.
func listens(t *testing.T, s *redisstore.Store, through *redisd.Proxy) {
	t.Helper()
	eventually(t, "it listens", func() bool {
		through.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		s.Wait(ctx, "a key of nobody", "some version....")
		return through.Counts()["GET"] == 0
	})
}

// prompt is before Wait reads for the first time.
const prompt = 200 * time.Millisecond

// areWokenByMessages fails the test unless changes are told without reading.
func areWokenByMessages(t *testing.T, a, b *redisstore.Store, through *redisd.Proxy) {
	t.Helper()
	listens(t, a, through)
	const rounds = 20
	soon := 0
	for i := range rounds {
		through.Reset()
		if w := changed(t, a, b, fmt.Sprint("key ", time.Now().UnixNano(), i)); w.took > prompt {
			continue // the machine is busy
		}
		soon++
		if n := through.Counts()["GET"]; n != 0 {
			t.Errorf("round %d: %d GETs", i, n)
		}
	}
	if soon < rounds/2 {
		t.Errorf("%d of %d were told within %v", soon, rounds, prompt)
	}
}

// B45, B50
func TestWaitIsWokenByMessagesAndNotByReading(t *testing.T) {
	server := redisd.Start(t)
	proxy := redisd.StartProxy(t, server.Addr())
	areWokenByMessages(t, storeOn(t, proxy.Addr()), storeOn(t, server.Addr()), proxy)
}

// B48: a message is a hint.
func TestWaitDoesNotRestOnMessages(t *testing.T) {
	server := redisd.Start(t)
	proxy := redisd.StartProxy(t, server.Addr())
	a, b := storeOn(t, proxy.Addr()), storeOn(t, server.Addr())
	listens(t, a, proxy)
	proxy.Deafen()
	for i := range 3 {
		w := changed(t, a, b, fmt.Sprint("key ", i))
		if w.took > time.Second {
			t.Errorf("it took %v", w.took)
		}
		t.Logf("told by reading after %v", w.took.Round(time.Millisecond))
	}
}

// B48: a subscription that broke comes back, and what was said meanwhile is read.
func TestASubscriptionComesBack(t *testing.T) {
	server := redisd.Start(t)
	proxy := redisd.StartProxy(t, server.Addr())
	a, b := storeOn(t, proxy.Addr()), storeOn(t, server.Addr())
	listens(t, a, proxy)
	one, _, err := b.Swap(t.Context(), "key", "", []byte("one"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan told, 1)
	go func() {
		e, err := a.Wait(t.Context(), "key", one.Version)
		woken <- told{Entry: e, err: err}
	}()
	proxy.Cut()
	two, _, err := b.Swap(t.Context(), "key", one.Version, []byte("two"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case w := <-woken:
		t.Fatalf("cut off, it was told %q, %v", w.Value, w.err)
	case <-time.After(100 * time.Millisecond):
	}
	proxy.Heal()
	healed := time.Now()
	if w := <-woken; w.err != nil || w.Version != two.Version {
		t.Errorf("Wait returned %q in version %q, %v", w.Value, w.Version, w.err)
	}
	t.Logf("told %v after the way was there again", time.Since(healed).Round(time.Millisecond))
	areWokenByMessages(t, a, b, proxy)
	t.Logf("told by messages again %v after", time.Since(healed).Round(time.Millisecond))
}

// B50: one subscription serves a whole process, from the first moment.
func TestOneSubscriptionServesAllWaiters(t *testing.T) {
	server := redisd.Start(t)
	proxy := redisd.StartProxy(t, server.Addr())
	a, b := storeOn(t, proxy.Addr()), storeOn(t, server.Addr())
	const keys = 10
	var old [keys]tokencache.Entry
	for i := range old {
		var err error
		if old[i], _, err = b.Swap(t.Context(), fmt.Sprint(i), "", []byte("one"), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var waiters sync.WaitGroup
	for i := range 100 {
		waiters.Go(func() {
			for {
				e, err := a.Wait(ctx, fmt.Sprint(i%keys), old[i%keys].Version)
				if err == nil && e.Version == old[i%keys].Version {
					continue // it may return early
				}
				if err != nil || string(e.Value) != fmt.Sprint("two ", i%keys) {
					t.Errorf("waiter %d was told %q, %v", i, e.Value, err)
				}
				return
			}
		})
	}
	eventually(t, "it listens", func() bool { return proxy.Counts()["SUBSCRIBE"] > 0 })
	time.Sleep(50 * time.Millisecond) // a second one would come by now
	for i, e := range old {
		if _, ok, err := b.Swap(t.Context(), fmt.Sprint(i), e.Version, fmt.Append(nil, "two ", i), time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	waiters.Wait()
	if c := proxy.Counts(); c["SUBSCRIBE"] != 1 || c["PSUBSCRIBE"]+c["SSUBSCRIBE"] != 0 {
		t.Errorf("%v", c)
	}
}

// patient is a client that waits for long, and looks at no context.
func patient(o *redis.Options) {
	o.ContextTimeoutEnabled = false
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Minute, time.Minute, time.Minute, time.Minute
}

// B21, B48: whatever the client's options say.
func TestWhoseContextEndsIsNotHeldUpByRedis(t *testing.T) {
	for name, used := range map[string]bool{"before the first use": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redisd.Start(t)
			s := storeOn(t, server.Addr(), patient)
			if used {
				if _, err := s.Load(t.Context(), "key"); err != nil {
					t.Fatal(err)
				}
			}
			server.Pause()
			for op, run := range map[string]func(context.Context) error{
				"Load": func(ctx context.Context) error { _, err := s.Load(ctx, "key"); return err },
				"Wait": func(ctx context.Context) error { _, err := s.Wait(ctx, "key", ""); return err },
				"SwapFirst": func(ctx context.Context) error {
					_, _, err := s.Swap(ctx, "key", "", []byte("v"), time.Minute)
					return err
				},
				"Swap": func(ctx context.Context) error {
					_, _, err := s.Swap(ctx, "key", "some version....", nil, time.Minute)
					return err
				},
			} {
				for range 5 {
					ctx, cancel := context.WithCancel(t.Context())
					timer := time.AfterFunc(50*time.Millisecond, cancel)
					began := time.Now()
					err := run(ctx)
					if took := time.Since(began); !errors.Is(err, context.Canceled) || took > time.Second {
						t.Errorf("%s: %v after %v", op, err, took)
					}
					timer.Stop()
					began = time.Now()
					if err := run(ctx); !errors.Is(err, context.Canceled) || time.Since(began) > 100*time.Millisecond {
						t.Errorf("%s with a context that has ended: %v after %v", op, err, time.Since(began))
					}
				}
			}
			server.Kill()
		})
	}
}

// B48: Close must not keep a process from ending because Redis stands still.
func TestCloseDoesNotWaitForRedis(t *testing.T) {
	for name, used := range map[string]bool{"before its subscription": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redisd.Start(t)
			proxy := redisd.StartProxy(t, server.Addr())
			s := storeOn(t, proxy.Addr(), patient)
			if used {
				listens(t, s, proxy)
			}
			server.Pause()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			s.Load(ctx, "key")
			closed := make(chan error)
			began := time.Now()
			go func() { closed <- s.Close() }()
			select {
			case err := <-closed:
				if err != nil {
					t.Error(err)
				}
				t.Logf("it took %v", time.Since(began))
			case <-time.After(2 * time.Second):
				t.Error("it hangs")
				server.Kill()
				<-closed
			}
			server.Kill()
		})
	}
}

// hasty is a client that tries again soon, and for long.
func hasty(o *redis.Options) {
	o.ReadTimeout, o.DialTimeout, o.MaxRetries, o.MaxRetryBackoff = 200*time.Millisecond, time.Second, 20, 20*time.Millisecond
}

// B48: a write whose answer was lost, and that the client sends again, meets
// itself.
func TestAWriteWhoseAnswerWasLostIsOurs(t *testing.T) {
	for name, row := range map[string]struct {
		first bool // nothing was there before
		again bool // the client tries again
	}{
		"the first under its key":           {true, true},
		"one that replaces":                 {false, true},
		"the first, never sent again":       {true, false},
		"one that replaces, not sent again": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redisd.Start(t)
			proxy := redisd.StartProxy(t, server.Addr())
			other := storeOn(t, server.Addr())
			a := storeOn(t, proxy.Addr(), hasty, func(o *redis.Options) {
				if !row.again {
					o.MaxRetries = -1
				}
			})
			old := ""
			if !row.first {
				e, _, err := other.Swap(t.Context(), "key", "", []byte("theirs"), time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				old = e.Version
				other.Swap(t.Context(), "key", "no such version.", nil, 0) // Redis knows the script
			}
			if _, err := a.Load(t.Context(), "key"); err != nil { // it has a connection
				t.Fatal(err)
			}
			proxy.Mute()
			stored := func() bool { is, _ := other.Load(t.Context(), "key"); return string(is.Value) == "mine" }
			if row.again {
				go func() {
					for until := time.Now().Add(time.Second); !stored() && time.Now().Before(until); {
						time.Sleep(time.Millisecond)
					}
					proxy.Unmute()
				}()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			now, ok, err := a.Swap(ctx, "key", old, []byte("mine"), time.Minute)
			if err == nil && !ok || ok && string(now.Value) != "mine" {
				t.Errorf("%v, %q: our own write is taken for somebody else's", ok, now.Value)
			}
			if row.again && err != nil || !row.again && err == nil {
				t.Errorf("%v", err)
			}
			is, err := other.Load(t.Context(), "key")
			if err != nil || string(is.Value) != "mine" || ok && is.Version != now.Version {
				t.Errorf("there is %q in version %q, %v", is.Value, is.Version, err)
			}
			if keys := server.Keys(); len(keys) != 1 {
				t.Errorf("keys %q", keys)
			}
		})
	}
}
