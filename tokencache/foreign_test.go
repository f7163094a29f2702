package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// What others wrote may do anything, and must cost no more than its own call.

type deaf struct{}

func (deaf) Error() string { panic("an error without a text") }

// handler is a slog.Handler.
type handler func(ctx context.Context)

func (h handler) Enabled(context.Context, slog.Level) bool        { return true }
func (h handler) Handle(ctx context.Context, _ slog.Record) error { h(ctx); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler              { return h }
func (h handler) WithGroup(string) slog.Handler                   { return h }

// B23: the key is usable again.
func TestARefresherThatReturnsAStrangeError(t *testing.T) {
	var none *tokencache.Error
	because := func(t *testing.T, err error, want reason.Reason) {
		t.Helper()
		var e *tokencache.Error
		if !errors.As(err, &e) || e.Reason != want {
			t.Errorf("not %s", want)
		}
	}
	for name, row := range map[string]struct {
		err error
		is  reason.Reason
	}{
		"a nil of its type":            {none, reason.Unrecognised},
		"one that panics for its text": {deaf{}, reason.Panicked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				server.next(fails(row.err))
				c := &tokencache.Coordinator{Refresher: server, Store: &tokencache.MemoryStore{}, Realm: "r"}
				_, err := c.Refresh(t.Context(), alice)
				because(t, err, row.is)
				time.Sleep(time.Second)
				got, err := c.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
			})
		})
	}
}

// A refresh that worked has worked, whatever becomes of its record.
func TestALogHandlerThatPanicsCostsItsRecord(t *testing.T) {
	c := &tokencache.Coordinator{Refresher: &as{}, Log: slog.New(handler(func(context.Context) { panic("log") }))}
	got, err := c.Refresh(t.Context(), alice)
	is(t, "alice-access-1", got, err)
}

// B23: neither a log handler nor a Revoker nor a Store that panics ends the process.
func TestWhatPanicsEndsNoProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{takes: 5 * time.Second}, newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{
			Refresher: server, Revoker: revokes(func() error { panic("revoker") }), Store: store, Realm: "r",
			Log: slog.New(handler(func(context.Context) { panic("log") })),
		}
		swaps := 0
		store.on(func(_ context.Context, op string, when moment) error {
			if op == "swap held" && when == before {
				if swaps++; swaps == 2 { // the first renewal
					panic("store")
				}
			}
			return nil
		})
		go c.Refresh(t.Context(), alice)
		time.Sleep(4 * time.Second)
		if err := c.Revoke(t.Context(), alice); err == nil {
			t.Error("the Revoker panicked, and Revoke says nothing")
		}
		if err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		_, err := c.Refresh(t.Context(), alice)
		because(t, reason.LoggedOut, err)
	})
}

type revokes func() error

func (r revokes) Revoke(context.Context, tokencache.Token) error { return r() }

// B84: who is called while an exchange runs cannot wait for one.
func TestALogHandlerThatCallsTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *tokencache.Coordinator
		calls := 0
		c = &tokencache.Coordinator{Refresher: &as{}, Log: slog.New(handler(func(ctx context.Context) {
			calls++
			if _, err := c.Refresh(ctx, alice); !errors.Is(err, tokencache.ErrReentrant) {
				t.Errorf("%v", err)
			}
		}))}
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		if calls == 0 {
			t.Error("nothing was logged")
		}
	})
}

// B27: a token is stored byte for byte.
func TestARefreshTokenThatIsNotUTF8(t *testing.T) {
	c := &tokencache.Coordinator{Refresher: refresher(func(context.Context, tokencache.Token) (tokencache.Token, error) {
		return tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r\xff"}), nil
	})}
	for range 2 { // the second finds it
		got, err := c.Refresh(t.Context(), alice)
		if err != nil || got.Refresh() != "r\xff" {
			t.Errorf("%q, %v", got.Refresh(), err)
		}
	}
}

// B78: one goroutine for all requests that show the token.
func TestRenewingAheadIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 5 * time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		shown := tokencache.NewToken(tokencache.TokenFields{
			Access: alice.Access(), Refresh: alice.Refresh(), Issued: time.Now().Add(-50 * time.Second), Expiry: time.Now().Add(10 * time.Second),
		})
		before := runtime.NumGoroutine()
		for range 1000 {
			got, err := tokencache.New(c, shown).Fresh(t.Context())
			is(t, alice.Access(), got, err)
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 10 {
			t.Errorf("%d goroutines", n)
		}
		time.Sleep(5 * time.Second)
		server.saw(t, 1)
	})
}

// B9: what cannot be sent is replaced, if that is possible.
func TestAnAccessTokenThatCannotBeSentIsRefreshed(t *testing.T) {
	c := &tokencache.Coordinator{Refresher: &as{}}
	shown := tokencache.NewToken(tokencache.TokenFields{Access: "bad token\n", Refresh: alice.Refresh()})
	got, err := tokencache.New(c, shown).Fresh(t.Context())
	is(t, "alice-access-1", got, err)
}

// T-L3: anybody can log out with tokens of his invention.
func TestLogoutsOfUnknownTokensDoNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &tokencache.MemoryStore{MaxBytes: 200_000}
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server, Revoker: revokes(func() error { return nil }), Store: store, Realm: "r"}
		full := false
		for i := range 2000 {
			if c.Revoke(t.Context(), tokencache.NewToken(tokencache.TokenFields{Refresh: fmt.Sprint("junk-", i)})) != nil {
				full = true
				break
			}
		}
		if !full {
			t.Fatal("the memory was never full: this shows nothing")
		}
		time.Sleep(20 * time.Second)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
	})
}

// B31: what the server has not confirmed stays ended here for Hold.
func TestALogoutThatIsNotConfirmedIsNotForgotten(t *testing.T) {
	for name, r := range map[string]tokencache.Revoker{
		"nobody is asked":  nil,
		"the server fails": revokes(func() error { return unavailable() }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server, Revoker: r}
				c.Revoke(t.Context(), alice)
				time.Sleep(23 * time.Hour)
				_, err := c.Refresh(t.Context(), alice)
				because(t, reason.LoggedOut, err)
				server.saw(t, 0)
			})
		})
	}
}
