package tokencache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// B30
func TestASignInEndsTheSessionThatWasShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server, Log: slog.New(slog.NewTextHandler(&log, nil))}
		grow(t, c, 3)
		if err := c.Replace(t.Context(), alice, bob); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			_, err := c.Refresh(t.Context(), generation("alice", i))
			because(t, reason.Replaced, err)
		}
		got, err := c.Refresh(t.Context(), bob)
		is(t, "bob-access-1", got, err)
		if !slices.Equal(server.revoked, []string{"alice-refresh-3"}) {
			t.Errorf("revoked %v", server.revoked)
		}
		if !strings.Contains(log.String(), `"rebearer: session ended" reason=replaced`) {
			t.Errorf("logged %s", &log)
		}
	})
}

// B30, T-D6: the exchange in flight opens no refresh, and no cookie is set.
func TestASignInDuringARefreshWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server}
		old := tokencache.New(c, alice)
		server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
			return generation("alice", 1), nil
		})
		together(2, func(i int) {
			if i == 0 {
				_, err := old.Refresh(t.Context(), alice)
				because(t, reason.Replaced, err)
				return
			}
			time.Sleep(500 * time.Millisecond)
			if err := c.Replace(t.Context(), alice, bob); err != nil {
				t.Error(err)
			}
		})
		c.Wait(t.Context())
		if _, changed := old.Changed(); changed {
			t.Error("the late result would be written")
		}
		if !slices.Contains(server.revoked, "alice-refresh-1") {
			t.Errorf("revoked only %v", server.revoked)
		}
		server.saw(t, 1)
	})
}

// B30: a session is not ended by what is its own.
func TestASignInWithTheSameSessionEndsNothing(t *testing.T) {
	for name, row := range map[string]struct {
		grown   int
		wait    time.Duration
		old, by tokencache.Token
	}{
		"the same token":                      {0, 0, alice, alice},
		"the same refresh token":              {0, 0, alice, lasting(generation("alice", 0), time.Hour)},
		"its successor":                       {1, 0, alice, generation("alice", 1)},
		"one of its successors":               {3, 0, alice, generation("alice", 2)},
		"the newest":                          {3, 0, alice, generation("alice", 3)},
		"one of 40 successors":                {40, 0, alice, generation("alice", 40)},
		"its successor, which was cut":        {2, time.Hour, alice, generation("alice", 2)},
		"nothing shown":                       {1, 0, tokencache.Token{}, generation("alice", 1)},
		"the same access token, and no other": {0, 0, accessOnly("a"), accessOnly("a")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: 2 * time.Hour}
				c := &tokencache.Coordinator{Refresher: server, Revoker: server}
				grow(t, c, row.grown)
				time.Sleep(row.wait)
				if err := c.Replace(t.Context(), row.old, row.by); err != nil {
					t.Error(err)
				}
				if len(server.revoked) != 0 {
					t.Errorf("revoked %v", server.revoked)
				}
				if _, err := c.Refresh(t.Context(), generation("alice", row.grown)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func accessOnly(access string) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{Access: access})
}

func TestWhatASignInDoesNotTakeForTheSameSession(t *testing.T) {
	for name, by := range map[string]tokencache.Token{
		"no token": {}, "no refresh token": accessOnly("alice-access-0"), "another user's": bob,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &tokencache.Coordinator{Refresher: &as{}}
				if err := c.Replace(t.Context(), alice, by); err != nil {
					t.Error(err)
				}
				_, err := c.Refresh(t.Context(), alice)
				because(t, reason.Replaced, err)
			})
		})
	}
}

// B31: why a session ended first is why it ended.
func TestASignInAfterALogoutChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tokencache.Coordinator{Refresher: &as{}}
		grow(t, c, 1)
		c.Revoke(t.Context(), alice)
		if err := c.Replace(t.Context(), alice, bob); err != nil {
			t.Error(err)
		}
		for i := range 2 {
			_, err := c.Refresh(t.Context(), generation("alice", i))
			because(t, reason.LoggedOut, err)
		}
	})
}

// Without the Store nobody knows whose session it is, and nothing is ended.
func TestASignInThatCannotReadTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		wire := newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Revoker: server, Store: wire, Realm: "r"}
		grow(t, c, 2)
		wire.on(down)
		because(t, reason.Store, c.Replace(t.Context(), alice, generation("alice", 2)))
		go func() { // a short interruption is waited out
			time.Sleep(time.Second)
			wire.on(nil)
		}()
		if err := c.Replace(t.Context(), alice, generation("alice", 2)); err != nil {
			t.Error(err)
		}
		if len(server.revoked) != 0 {
			t.Errorf("revoked %v", server.revoked)
		}
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-2", got, err)
	})
}

// B51: what another version wrote may be the way to the new tokens.
func TestASignInThatCannotReadTheFormat(t *testing.T) {
	store := &spoiled{}
	c := &tokencache.Coordinator{Refresher: &as{}, Store: store, Realm: "r"}
	because(t, reason.StoreFormat, c.Replace(t.Context(), alice, bob))
	if store.written {
		t.Error("something was ended")
	}
}

// spoiled is a Store that holds values of another format.
type spoiled struct {
	tokencache.Store // none
	written          bool
}

func (s *spoiled) Load(context.Context, string) (tokencache.Entry, error) {
	return tokencache.Entry{Value: []byte("what is this?"), Version: "1"}, nil
}

func (s *spoiled) Swap(context.Context, string, string, []byte, time.Duration) (tokencache.Entry, bool, error) {
	s.written = true
	return tokencache.Entry{}, false, errors.New("not here")
}
