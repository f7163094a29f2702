package tokencache_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

var (
	alice = generation("alice", 0)
	bob   = generation("bob", 0)
)

// B14, T-D1
func TestFailuresThatArriveAfterTheRefreshPresentNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 30 * time.Millisecond}
		c := &tokencache.Coordinator{Refresher: server}
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				got, err := c.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
			})
		}
		calls.Wait()
		server.saw(t, 1)
	})
}

// B20, T-D3
func TestTheExchangeOutlivesTheCallerThatBeganIt(t *testing.T) {
	for name, waiters := range map[string]int{
		"and serves nobody, but is stored": 0,
		"and serves one follower":          1,
		"and serves 1,000 followers":       1000,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: time.Second}
				c := &tokencache.Coordinator{Refresher: server}
				ctx, leave := context.WithCancel(t.Context())
				var calls sync.WaitGroup
				calls.Go(func() {
					if _, err := c.Refresh(ctx, alice); !errors.Is(err, context.Canceled) {
						t.Errorf("the caller that left was told %v", err)
					}
				})
				synctest.Wait()
				for range waiters {
					calls.Go(func() {
						got, err := c.Refresh(t.Context(), alice)
						is(t, "alice-access-1", got, err)
					})
				}
				synctest.Wait()
				leave()
				calls.Wait()
				c.Wait(t.Context())
				got, err := c.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
				server.saw(t, 1)
			})
		})
	}
}

// B21, B24, T-D16
func TestAWaiterLeavesAtTheInstantItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		began := time.Now()
		var calls sync.WaitGroup
		calls.Go(func() {
			got, err := c.Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := c.Refresh(ctx, alice)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 100*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
		calls.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(300*time.Millisecond, cancel)
			_, err := c.Refresh(ctx, alice)
			if !errors.Is(err, context.Canceled) || time.Since(began) != 300*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
		calls.Wait()
		server.saw(t, 1)
	})
}

func TestACallerThatHasLeftBeforeBeginsNothing(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Refresh(ctx, alice); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	server.saw(t, 0)
}

// B22, T-B9
func TestAServerThatHangsBlocksNobodyLongerThanTimeout(t *testing.T) {
	deaf := func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
		time.Sleep(5 * time.Second) // does not look at its context
		return tokencache.Token{}, nil
	}
	for name, how := range map[string]answer{"and sees its context end": hangs, "and sees nothing": deaf} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				server.next(how)
				c := &tokencache.Coordinator{Refresher: server, Timeout: 2 * time.Second}
				began := time.Now()
				_, err := c.Refresh(t.Context(), alice)
				because(t, reason.Timeout, err)
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("took %v", took)
				}
				time.Sleep(3 * time.Second) // until the deaf one ends
			})
		})
	}
}

// B23, T-D4
func TestAPanicOrGoexitOfTheRefresherIsAnErrorForAllWaiters(t *testing.T) {
	for name, how := range map[string]answer{
		"panic": func(_ *as, _ context.Context, spent tokencache.Token) (tokencache.Token, error) {
			panic("while holding " + spent.Refresh())
		},
		"panic with nil": func(*as, context.Context, tokencache.Token) (tokencache.Token, error) { panic(nil) },
		"Goexit": func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
			runtime.Goexit()
			return tokencache.Token{}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: time.Millisecond}
				server.next(how)
				c := &tokencache.Coordinator{Refresher: server}
				var calls sync.WaitGroup
				for range 10 {
					calls.Go(func() {
						_, err := c.Refresh(t.Context(), alice)
						because(t, reason.Panicked, err)
						if strings.Contains(err.Error(), alice.Refresh()) {
							t.Error("the value of the panic is told")
						}
					})
				}
				calls.Wait()
				server.saw(t, 1)
				time.Sleep(time.Second) // the cooldown
				got, err := c.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
			})
		})
	}
}

// B24
func TestACancellationIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		for range 20 {
			ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
			c.Refresh(ctx, alice)
			leave()
		}
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		server.saw(t, 1)
	})
}

// B25
func TestTheRefreshTokenAloneTellsSessionsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				got, err := c.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
			})
			calls.Go(func() {
				got, err := c.Refresh(t.Context(), bob)
				is(t, "bob-access-1", got, err)
			})
			calls.Go(func() { // of another Token of Alice's session
				got, err := c.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: alice.Refresh()}))
				is(t, "alice-access-1", got, err)
			})
		}
		calls.Wait()
		server.saw(t, 2)
	})
}

// B25, T-D10
func TestEqualTokensOfTwoRealmsHaveNothingInCommon(t *testing.T) {
	server, store := &as{rotation: grace}, &tokencache.MemoryStore{}
	for i, realm := range []string{"https://a.example client", "https://b.example client"} {
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: realm}
		if _, err := c.Refresh(t.Context(), alice); err != nil || server.presentations() != i+1 {
			t.Errorf("%s: %v, %d presentations", realm, err, server.presentations())
		}
	}
}

// B81
func TestWithoutARefreshTokenNothingIsShared(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	for _, access := range []string{"alice-access", "bob-access", ""} {
		got, err := c.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: access}))
		if !errors.Is(err, tokencache.ErrNoRefreshToken) || !errors.Is(err, tokencache.ErrUnauthorized) || !got.IsZero() {
			t.Errorf("%q: %v, %v", access, got, err)
		}
	}
	server.saw(t, 0)
}

// B84
func TestTheExchangeSeesNothingOfTheRequest(t *testing.T) {
	type key struct{}
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	server.next(func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
		if ctx.Value(key{}) != nil || tokencache.FromContext(ctx) != nil {
			t.Error("a value of the request is visible")
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		return a.exchange(ctx, spent)
	})
	ctx := tokencache.NewContext(context.WithValue(t.Context(), key{}, "span"), tokencache.New(c, alice))
	got, err := c.Refresh(ctx, alice)
	is(t, "alice-access-1", got, err)
}

// B84
func TestAnExchangeStartsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server}
		var inner error
		nested := func(call func(ctx context.Context) error) answer {
			return func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
				inner = call(ctx)
				return tokencache.Token{}, inner
			}
		}
		for name, call := range map[string]func(context.Context) error{
			"Refresh": func(ctx context.Context) error { _, err := c.Refresh(ctx, bob); return err },
			"Revoke":  func(ctx context.Context) error { return c.Revoke(ctx, bob) },
			"Cache": func(ctx context.Context) error {
				_, err := tokencache.New(c, bob).Refresh(ctx, bob)
				return err
			},
		} {
			server.next(nested(call))
			_, err := c.Refresh(t.Context(), generation(name, 0))
			if !errors.Is(inner, tokencache.ErrReentrant) || !errors.Is(err, tokencache.ErrReentrant) {
				t.Errorf("%s: inside %v, outside %v", name, inner, err)
			}
		}
	})
}

// T-D1, B76
func TestTenThousandCallersShareOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond}
		c := &tokencache.Coordinator{Refresher: server}
		var calls sync.WaitGroup
		var good atomic.Int64
		for range 10_000 {
			calls.Go(func() {
				if got, err := c.Refresh(t.Context(), alice); err == nil && got.Access() == "alice-access-1" {
					good.Add(1)
				}
			})
		}
		calls.Wait()
		if good.Load() != 10_000 {
			t.Errorf("%d of 10,000 succeeded", good.Load())
		}
		server.saw(t, 1)
	})
}

func TestACoordinatorThatCannotWorkSaysSo(t *testing.T) {
	for name, c := range map[string]*tokencache.Coordinator{
		"no Refresher":          {},
		"a Store without Realm": {Refresher: &as{}, Store: &tokencache.MemoryStore{}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Refresh(t.Context(), alice)
			because(t, reason.Configuration, err)
		})
	}
}
