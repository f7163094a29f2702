package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// lagging is a Store whose reads come from a copy that is behind by one write, as
// those of a replica are. Its writes, and what it says of them, are those of the
// original.
type lagging struct {
	tokencache.Store
	mu   sync.Mutex
	last map[string]tokencache.Entry // before the newest write
}

func (s *lagging) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, written := s.last[key]; written {
		return e, nil
	}
	return s.Store.Load(ctx, key)
}

func (s *lagging) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, _ := s.Store.Load(ctx, key)
	now, ok, err := s.Store.Swap(ctx, key, old, value, ttl)
	if ok {
		s.last[key] = was
	}
	return now, ok, err
}

// T-D13: who reads what is no longer so presents nothing because of it: the
// refresh token is taken by its version, and whoever has taken it before is found
// then. And no session is ended for it.
func TestAStoreThatIsReadFromACopy(t *testing.T) {
	for _, takes := range []time.Duration{0, 50 * time.Millisecond, 5 * time.Second} {
		for _, behind := range []bool{false, true} {
			t.Run(fmt.Sprint(takes, ", late ", behind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &as{takes: takes, lives: time.Hour}
					store := &lagging{Store: &tokencache.MemoryStore{}, last: map[string]tokencache.Entry{}}
					var all []*tokencache.Coordinator
					for range 4 {
						all = append(all, &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"})
					}
					together(len(all), func(i int) {
						if behind {
							time.Sleep(time.Duration(i) * time.Second)
						}
						got, err := all[i].Refresh(t.Context(), alice)
						is(t, "alice-access-1", got, err)
					})
					server.saw(t, 1)
					together(len(all), func(i int) { // a generation later, who shows the first one, too
						shown := []tokencache.Token{alice, ended(generation("alice", 1))}[i%2]
						time.Sleep(2 * time.Hour)
						got, err := all[i].Refresh(t.Context(), shown)
						if errors.Is(err, tokencache.ErrLoginRequired) {
							t.Errorf("%v", err)
						}
						is(t, "alice-access-2", got, err)
					})
					server.saw(t, 2)
				})
			})
		}
	}
}

// T-L1: refresh tokens that nobody has issued, by the thousand. So many at a time
// are presented, each of them once; whoever is signed in may have to wait or be
// told to come again, and is neither signed out nor presented twice.
func TestRefreshTokensThatNobodyIssued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond}
		for range 4000 {
			server.next(unknown)
		}
		store := &tokencache.MemoryStore{MaxBytes: 1 << 20}
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r", MaxInFlight: 8}
		together(6100, func(i int) {
			if user := i - 6000; user >= 0 { // in the middle of it
				time.Sleep(time.Duration(user) * 200 * time.Millisecond)
				_, err := c.Refresh(t.Context(), generation(fmt.Sprint("user", user), 0))
				if errors.Is(err, tokencache.ErrLoginRequired) {
					t.Errorf("user %d is signed out: %v", user, err)
				}
				return
			}
			if _, err := c.Refresh(t.Context(), generation(fmt.Sprint("nobody", i%3000), 0)); err == nil {
				t.Error("a token for nobody")
			}
		})
		if server.most > 8 || server.reused > 0 || server.presentations() > 3100 {
			t.Errorf("%d presentations of 3100 refresh tokens, %d of them again, %d at a time", server.presentations(), server.reused, server.most)
		}
		if store.Evicted() != 0 {
			t.Error("a successor had to make way")
		}
		time.Sleep(20 * time.Second)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
	})
}

// unknown is what the server does with a token that it has not issued.
func unknown(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	if strings.HasPrefix(userOf(spent), "nobody") {
		return tokencache.Token{}, invalidGrant()
	}
	return a.exchange(ctx, spent)
}
