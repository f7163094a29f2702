package tokencache_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// B32, B48, T-D12: the Store fails before the token was presented.
func TestAStoreThatFailsBeforeThePresentation(t *testing.T) {
	for name, row := range map[string]struct {
		fault fault
		told  reason.Reason // "" is a success
		takes time.Duration // at most
	}{
		"down":                            {down, reason.Store, 0},
		"full, or read-only":              {readOnly, reason.Store, 0},
		"hanging":                         {hung, reason.Store, 4500 * time.Millisecond},
		"hanging when it should write":    {during("swap held", hung), reason.Store, 1500 * time.Millisecond},
		"slow":                            {slow(time.Second), "", 5 * time.Second},
		"too slow for the lease":          {slow(2 * time.Second), reason.Store, 14 * time.Second},
		"one that does but never answers": {mute, "", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				a, b, wire := replicas(server)
				wire.on(row.fault)
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				got, err := a.Refresh(ctx, alice)
				if took := time.Since(began); took > row.takes {
					t.Errorf("took %v", took)
				}
				if row.told == "" {
					is(t, "alice-access-1", got, err)
				} else {
					because(t, row.told, err)
					server.saw(t, 0)
				}
				wire.on(nil)
				time.Sleep(time.Second)
				for _, c := range []*tokencache.Coordinator{b, a} { // recovery by itself
					got, err = c.Refresh(t.Context(), alice)
					is(t, "alice-access-1", got, err)
				}
				server.saw(t, 1)
			})
		})
	}
}

// B32, B48, T-D12, invariant 4: the Store fails once the token is presented.
func TestAStoreThatFailsAfterThePresentation(t *testing.T) {
	for name, row := range map[string]struct {
		fault fault
		lasts time.Duration
	}{
		"for a while":                   {down, 5 * time.Second},
		"for a while, by hanging":       {hung, 5 * time.Second},
		"for a while, by refusing":      {readOnly, 5 * time.Second},
		"by losing its answers":         {mute, time.Hour},
		"for longer than is waited for": {down, time.Hour},
		"and hangs for longer":          {hung, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				a, b, wire := replicas(server)
				var log bytes.Buffer
				a.Log = slog.New(slog.NewTextHandler(&log, nil))
				server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
					wire.on(row.fault)
					time.AfterFunc(row.lasts, func() { wire.on(nil) })
					return as.exchange(ctx, spent)
				})
				began := time.Now()
				for range 2 { // the second finds it in this process
					got, err := a.Refresh(t.Context(), alice)
					is(t, "alice-access-1", got, err)
				}
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("took %v", took)
				}
				unstored := row.lasts == time.Hour && name != "by losing its answers"
				if strings.Contains(log.String(), "unstored") != unstored {
					t.Errorf("unstored is %v, but the log says %q", unstored, &log)
				}
				time.Sleep(row.lasts)
				got, err := a.Refresh(t.Context(), alice) // and brings it to the Store
				is(t, "alice-access-1", got, err)
				got, err = b.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
				server.saw(t, 1)
			})
		})
	}
}

// B31: what a process keeps for itself does not outlive the session.
func TestALogoutElsewhereEndsWhatTheStoreDidNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			return as.exchange(ctx, spent)
		})
		got, err := a.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		if err := b.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		wire.on(nil)
		_, err = a.Refresh(t.Context(), alice)
		because(t, reason.LoggedOut, err)
	})
}

// B33: without the Store there is no proof.
func TestARefusalIsNoProofWhileTheStoreCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.end("alice")
		a, _, wire := replicas(server)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			return as.exchange(ctx, spent)
		})
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Store, err)
		wire.on(nil)
		_, err = a.Refresh(t.Context(), alice)
		because(t, reason.Ambiguous, err)
	})
}

// B32: what could not be stored of a failure holds nobody up.
func TestAFailureThatCannotBeStoredIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, _, wire := replicas(server)
		server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			return tokencache.Token{}, unavailable()
		})
		began := time.Now()
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Unavailable, err)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("told after %v", took)
		}
	})
}

// foreign is a Store that another version has written to.
type foreign struct{ tokencache.Store }

func (s foreign) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	return tokencache.Entry{Value: []byte("\x03 who knows what this is"), Version: "1"}, nil
}

func (s foreign) Swap(ctx context.Context, key, _ string, _ []byte, _ time.Duration) (tokencache.Entry, bool, error) {
	e, err := s.Load(ctx, key)
	return e, false, err
}

// B32, B51
func TestAnUnknownFormatIsTransientAndNeverAbsent(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server, Store: foreign{&tokencache.MemoryStore{}}, Realm: "r"}
	_, err := c.Refresh(t.Context(), alice)
	because(t, reason.StoreFormat, err)
	server.saw(t, 0)
}

// T-I6: the value of one session does not pass for another's.
type swapped struct{ tokencache.Store }

func (s swapped) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	return s.Store.Load(ctx, "the one key")
}

func (s swapped) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	return s.Store.Swap(ctx, "the one key", old, value, ttl)
}

func TestAValueUnderAnotherKeyDoesNotOpen(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server, Store: swapped{&tokencache.MemoryStore{}}, Realm: "r"}
	c.Refresh(t.Context(), alice)
	n := server.presentations()
	_, err := c.Refresh(t.Context(), bob)
	because(t, reason.StoreFormat, err)
	if server.presentations() != n {
		t.Error("it was presented")
	}
}

// impatient is a Store whose Wait always returns early, as it may.
type impatient struct {
	tokencache.Store
	asked atomic.Int64
}

func (s *impatient) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	s.asked.Add(1)
	return s.Store.Load(ctx, key)
}

func TestAStoreThatReturnsEarlyIsNotAskedInATightLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		a, _, wire := replicas(server)
		store := &impatient{Store: wire.Store}
		b := &tokencache.Coordinator{Refresher: server, Store: store, Realm: a.Realm}
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			got, err := []*tokencache.Coordinator{a, b}[i].Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		})
		if n := store.asked.Load(); n > 150 {
			t.Errorf("asked %d times", n)
		}
	})
}

// Named as it is: dangerous.
func TestAloneWhenStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		a.AloneWhenStoreFails = true
		wire.on(down)
		for range 3 {
			got, err := a.Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		}
		wire.on(nil)
		got, err := a.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		got, err = b.Refresh(t.Context(), alice) // it was brought to the Store
		is(t, "alice-access-1", got, err)
		server.saw(t, 1)
	})
}

// A failure that was read from the Store is no failure of the Store.
func TestAloneIsNotForTheFailureOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		a.Cooldown, b.AloneWhenStoreFails = time.Minute, true
		wire.on(slow(2 * time.Second))
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Store, err)
		_, err = b.Refresh(t.Context(), alice)
		because(t, reason.Store, err)
		server.saw(t, 0)
	})
}
